"""The experts process as a worker: the real `openai` client, plain and streaming, refusals, errors, signals."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

import httpx
import openai
import psutil
import pytest
import pytest_asyncio
from support.processes import Service, service
from support.waiting import until

from kubefugu_experts.api.chat import count_tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def experts() -> AsyncIterator[tuple[Service, str]]:
    flags = ["--port", "0", "--children", "2", "--answer-cpu-seconds", "2", "--answer-timeout-seconds", "110"]
    async with service("kubefugu_experts", *flags) as running:
        ready = await running.wait_for("experts_ready", timeout_s=60)
        yield running, f"http://127.0.0.1:{ready['port']}"


def _client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


async def test_the_openai_client_gets_answers_refusals_streams_and_errors(experts: tuple[Service, str]) -> None:
    _, url = experts
    async with _client(url) as client:
        await _plain(client)
        await _streamed(client)
        await _refused(client)
        await _streamed_refusal(client)
        await _errors(client, url)
        models = [model.id async for model in client.models.list()]
        assert "geography" in models
        assert (await client.models.retrieve("geography")).id == "geography"


async def _plain(client: openai.AsyncOpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is the capital of Peru?"}]
    completion = await client.chat.completions.create(model="geography", messages=messages)  # type: ignore[arg-type]
    choice = completion.choices[0]
    assert choice.message.content == "The capital of Peru is Lima."
    assert choice.message.refusal is None
    assert choice.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == count_tokens("Be brief.") + count_tokens("What is the capital of Peru?")
    assert completion.usage.completion_tokens == count_tokens("The capital of Peru is Lima.") == 7
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 7
    cut = await client.chat.completions.create(model="geography", messages=messages, max_tokens=2)  # type: ignore[arg-type]
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("The capital", "length")
    stopped = await client.chat.completions.create(model="geography", messages=messages, stop=[" of"])  # type: ignore[arg-type]
    assert stopped.choices[0].message.content == "The capital"


async def _streamed(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="algebra",
        messages=[{"role": "user", "content": "What is the derivative of x^3?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "The derivative is 3*x**2."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert len(chunks) > 4
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == count_tokens(text)
    assert len({chunk.id for chunk in chunks}) == 1


async def _refused(client: openai.AsyncOpenAI) -> None:
    for model in ("algebra", "units", "geography", "dates", "logic"):
        completion = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Tell me a joke."}]
        )
        assert completion.choices[0].message.content is None
        assert completion.choices[0].message.refusal
        assert completion.choices[0].finish_reason == "stop"


async def _streamed_refusal(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="units", messages=[{"role": "user", "content": "Hello!"}], stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks).startswith("I only answer")
    assert not any(chunk.choices[0].delta.content for chunk in chunks)


async def _errors(client: openai.AsyncOpenAI, url: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.BadRequestError, match="does not support tools"):
        await client.chat.completions.create(
            model="units",
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        )
    with pytest.raises(openai.BadRequestError, match="no user message"):
        await client.chat.completions.create(model="units", messages=[{"role": "system", "content": "x"}])
    async with httpx.AsyncClient() as http:
        for body in (
            b"{",
            b"[]",
            b'{"model":"units"}',
            b'{"model":"units","messages":[]}',
            b"\xff\xfe",
            b'{"model":1,"messages":"x"}',
        ):
            response = await http.post(f"{url}/v1/chat/completions", content=body)
            assert response.status_code == 400, body
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        huge = json.dumps({"model": "units", "messages": [{"role": "user", "content": "x" * 2_000_000}]})
        assert (await http.post(f"{url}/v1/chat/completions", content=huge)).status_code == 400
        long = json.dumps({"model": "units", "messages": [{"role": "user", "content": "x" * 10_000}]})
        assert (await http.post(f"{url}/v1/chat/completions", content=long)).json()["error"]["param"] == "messages"
        assert (await http.get(f"{url}/nowhere")).json()["error"]["code"] == "not_found"
        health = (await http.get(f"{url}/health")).json()
        assert health["status"] == "ok"
        assert set(health["engines"]) | set(health["left_out"]) == {
            "algebra",
            "units",
            "geography",
            "definitions",
            "logic",
            "dates",
        }


async def test_hard_questions_are_declined_and_the_server_goes_on(experts: tuple[Service, str]) -> None:
    _, url = experts
    async with _client(url) as client:

        async def ask(text: str) -> str | None:
            completion = await client.chat.completions.create(model="algebra", messages=[{"role": "user", "content": text}])
            return completion.choices[0].message.refusal

        refusals = await asyncio.gather(*(ask("expand (a+b+c+x+y+z)^150") for _ in range(3)))
        assert all(refusal and "within 2 seconds" in refusal for refusal in refusals)
        assert await ask("What is 2 + 2?") is None


async def test_a_client_that_goes_away_frees_its_child(experts: tuple[Service, str]) -> None:
    _, url = experts
    body = {"model": "algebra", "messages": [{"role": "user", "content": "expand (a+b+c+x+y+z)^150"}]}
    async with httpx.AsyncClient() as http:
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                await http.post(f"{url}/v1/chat/completions", json=body, timeout=0.3)
        quick = {"model": "algebra", "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
        response = await http.post(f"{url}/v1/chat/completions", json=quick, timeout=60)
        assert response.json()["choices"][0]["message"]["content"] == "The result is 4."


async def test_sigterm_ends_the_process_and_its_children() -> None:
    async with service("kubefugu_experts", "--port", "0", "--engines", "dates", "--children", "1") as running:
        await running.wait_for("experts_ready", timeout_s=60)
        group = _descendants(running.pid)
        assert group
        running.terminate()
        assert await running.ended() == 0
        assert running.event("experts_stopped")
        await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in group), what="no child is left")


async def test_a_wrong_engine_name_is_one_sentence() -> None:
    async with service("kubefugu_experts", "--port", "0", "--engines", "dates,magic") as running:
        assert await running.ended() != 0
        assert "There is no engine named 'magic'" in "\n".join(running.lines)


def _descendants(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}
