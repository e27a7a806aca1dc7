"""The llama.cpp host with the real SmolLM2: answers, streams, constrained decoding, freed slots, signals."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import openai
import pytest
import pytest_asyncio
from support.processes import Service, service

from kubefugu_core.errors import UnavailableError
from kubefugu_core.models import fetch

pytest.importorskip("xllamacpp", reason="needs the package xllamacpp")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def model() -> str:
    try:
        return str(fetch("smollm2-135m-instruct"))
    except UnavailableError as error:
        pytest.skip(f"needs SmolLM2: {error}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(model: str) -> AsyncIterator[tuple[Service, str]]:
    flags = [
        "--model",
        model,
        "--alias",
        "smollm2",
        "--port",
        "0",
        "--context-tokens",
        "1024",
        "--slots",
        "2",
        "--threads",
        "1",
    ]
    async with service("kubefugu_experts.llamacpp", *flags) as running:
        ready = await running.wait_for("llamacpp_ready", timeout_s=90)
        yield running, ready["address"]


async def test_a_real_model_answers_streams_and_obeys_a_schema(host: tuple[Service, str]) -> None:
    _, url = host
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["smollm2"]
        completion = await client.chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": "Say hello."}], max_tokens=16
        )
        assert completion.choices[0].message.content
        assert completion.usage is not None
        assert 0 < completion.usage.completion_tokens <= 16
        await _streams(client)
        await _obeys_schema(client)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(
                model="smollm2", messages=[{"role": "user", "content": "x " * 3000}], max_tokens=4
            )


async def _streams(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Tell me a story."}],
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    times, pieces, usage = [], [], None
    async for chunk in stream:
        usage = chunk.usage or usage
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.monotonic())
            pieces.append(chunk.choices[0].delta.content)
    assert len(pieces) > 10
    assert len(set(times)) > 5, "the pieces come one after the other, not at once"
    assert usage is not None
    assert usage.completion_tokens >= len(pieces)


async def _obeys_schema(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    completion = await client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "A person named Bob."}],
        max_tokens=64,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": schema}},
    )
    document = json.loads(completion.choices[0].message.content or "")
    assert set(document) == {"name", "age"}
    completion = await client.chat.completions.create(
        model="smollm2", messages=[{"role": "user", "content": "Hi"}], max_tokens=3, logprobs=True, top_logprobs=2
    )
    assert completion.choices[0].logprobs is not None
    assert len((completion.choices[0].logprobs.content or [])[0].top_logprobs) == 2


async def test_a_client_that_goes_away_frees_its_slot(host: tuple[Service, str]) -> None:
    _, url = host
    body = {
        "model": "smollm2",
        "stream": True,
        "max_tokens": 900,
        "messages": [{"role": "user", "content": "Count to one thousand in words, one number a line."}],
        "ignore_eos": True,
    }
    async with httpx.AsyncClient(timeout=90) as http:

        async def busy() -> int:
            return sum(slot["is_processing"] for slot in (await http.get(f"{url}/slots")).json())

        async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            lines = response.aiter_lines()
            for _ in range(5):
                await anext(lines)
            assert await busy() == 1
        deadline = time.monotonic() + 60
        while await busy():
            assert time.monotonic() < deadline, "the slot still decodes"
            await asyncio.sleep(0.02)


async def test_sigterm_lets_an_answer_end_and_leaves_nothing(host: tuple[Service, str]) -> None:
    running, url = host
    body = {
        "model": "smollm2",
        "max_tokens": 40,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": "Tell me a story."}],
    }
    async with httpx.AsyncClient(timeout=90) as http:
        answering = asyncio.create_task(http.post(f"{url}/v1/chat/completions", json=body))

        async def busy() -> bool:
            return any(slot["is_processing"] for slot in (await http.get(f"{url}/slots")).json())

        deadline = time.monotonic() + 60
        while not await busy():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        running.terminate()
        response = await answering
        assert response.json()["usage"]["completion_tokens"] == 40
    assert await running.ended() == 0


async def test_what_is_no_model_is_one_sentence() -> None:
    for name in ("no-such-model", __file__):
        async with service("kubefugu_experts.llamacpp", "--model", name, "--port", "0") as running:
            assert await running.ended() != 0
            assert any("kubefugu-llamacpp: " in line for line in running.lines), running.lines
