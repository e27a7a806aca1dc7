"""A worker that misbehaves, seen through OpenAI's SDK: exceptions of the right kind, never a hang, never a false success."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from support.bodies import body
from support.upstream import Script
from support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]

MISBEHAVIOURS: dict[str, tuple[Script, type[openai.APIError], int, str]] = {
    "400": (Script(status=400, body=b'{"error":{"message":"no"}}'), openai.BadRequestError, 400, "worker_rejected_request"),
    "429": (Script(status=429, headers={"Retry-After": "7"}), openai.RateLimitError, 429, "rate_limit_exceeded"),
    "500": (Script(status=500), openai.InternalServerError, 502, "worker_error"),
    "dropped": (Script(drop=True), openai.InternalServerError, 502, ""),
    "nonsense": (Script(body=b"<html>", content_type="text/html"), openai.InternalServerError, 502, "worker_protocol_error"),
    "half a document": (Script(cut_after_chunks=0), openai.InternalServerError, 502, ""),
}


@pytest.mark.parametrize(("script", "error", "status", "code"), MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
async def test_a_plain_request(stack: Any, script: Script, error: type[openai.APIError], status: int, code: str) -> None:
    stack.upstream.default = script
    async with stack.async_client() as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(model=next(stack.fresh), messages=MESSAGES)
    raised: Any = caught.value
    assert raised.status_code == status, raised
    assert raised.code == code or (not code and raised.code.startswith("worker_"))
    assert raised.request_id.startswith("chatcmpl-")


async def test_a_workers_retry_after_reaches_the_client(stack: Any) -> None:
    stack.upstream.default = Script(status=429, headers={"Retry-After": "7"})
    async with stack.async_client() as client:
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model=next(stack.fresh), messages=MESSAGES)
    assert caught.value.response.headers["retry-after"] == "7"


async def test_a_worker_that_is_down(stack: Any) -> None:
    async with stack.async_client() as client:
        for streamed in (False, True):
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(model="absent", messages=MESSAGES, stream=streamed)
            assert caught.value.status_code in (502, 503)


async def test_an_unknown_model(stack: Any) -> None:
    async with stack.async_client() as client:
        for streamed in (False, True):
            with pytest.raises(openai.NotFoundError) as caught:
                await client.chat.completions.create(model="nobody", messages=MESSAGES, stream=streamed)
            assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_an_invalid_request(stack: Any) -> None:
    async with stack.async_client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="able", messages=MESSAGES, extra_body={"kubefugu": {"allow": ["x", 1]}})
    assert caught.value.param == "kubefugu.allow[1]"


async def test_a_stream_that_is_cut_ends_with_an_error_event_and_no_done(stack: Any) -> None:
    stack.upstream.default = Script(text="one two three four five", pieces=5, cut_after_chunks=3)
    async with stack.async_client() as client:
        stream = await client.chat.completions.create(model=next(stack.fresh), messages=MESSAGES, stream=True)
        seen = list[str]()
        with pytest.raises(openai.APIError, match="broke off"):
            async for chunk in stream:
                seen += [choice.delta.content or "" for choice in chunk.choices]
    assert "".join(seen).startswith("one")
    assert "five" not in "".join(seen)
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as raw:
        response = await raw.post("/v1/chat/completions", json=body(model=next(stack.fresh), stream=True))
    assert "[DONE]" not in response.text
    assert '"code":"worker_stream_cut"' in response.text


async def test_a_client_that_leaves_in_mid_stream_closes_the_workers_connection(stack: Any) -> None:
    """Within a second: the shortest of three counts, as a busy machine may hold up a process of the three in between."""
    stack.upstream.default = Script(text="one two three", pieces=3, hang_after_chunks=2)

    async def leave(client: openai.AsyncOpenAI) -> float:
        stream = await client.chat.completions.create(model="able", messages=MESSAGES, stream=True)
        await anext(aiter(stream))
        request = stack.upstream.requests[-1]
        assert request.disconnected_at is None
        await stream.close()
        return await until(lambda: request.disconnected_at is not None, what="the worker sees the client leave")

    async with stack.async_client() as client:
        assert min([await leave(client) for _ in range(3)]) < 1


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_client_that_gives_up_waiting_closes_the_workers_connection(stack: Any, streamed: bool) -> None:
    stack.upstream.default = Script(hang=True)
    async with stack.async_client(timeout=1.5) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model=next(stack.fresh), messages=MESSAGES, stream=streamed)
        await until(lambda: stack.upstream.requests, what="the worker is asked")
        await until(lambda: stack.upstream.requests[0].disconnected_at is not None, what="the worker sees it")


async def test_a_sync_client_that_closes_its_stream(stack: Any) -> None:
    stack.upstream.default = Script(text="one two three", pieces=3, hang_after_chunks=2)

    def start_and_leave() -> None:
        with stack.client() as client:
            stream = client.chat.completions.create(model="able", messages=MESSAGES, stream=True)
            next(iter(stream))
            stream.close()

    await asyncio.to_thread(start_and_leave)
    await until(lambda: stack.upstream.requests[0].disconnected_at is not None, what="the worker sees it")


async def test_the_sdks_own_retries_end_with_an_answer(stack: Any) -> None:
    stack.upstream.plan(Script(status=500), Script(text="third time lucky"))
    stack.upstream.default = Script(text="third time lucky")
    async with stack.async_client(max_retries=3) as client:
        answer = await client.chat.completions.create(model=next(stack.fresh), messages=MESSAGES)
    assert answer.choices[0].message.content == "third time lucky"


async def test_many_at_once(stack: Any) -> None:
    """64 streams and 64 documents at the same time: each is whole and its own."""
    stack.upstream.respond = lambda sent: Script(text=f"You said {sent['messages'][-1]['content']}.", chunk_delay_s=0.01)

    async def one(client: openai.AsyncOpenAI, number: int, *, streamed: bool) -> str:
        messages: Any = [{"role": "user", "content": f"n{number}"}]
        if not streamed:
            answer = await client.chat.completions.create(model="able", messages=messages)
            return answer.choices[0].message.content or ""
        stream = await client.chat.completions.create(model="able", messages=messages, stream=True)
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])

    try:
        async with stack.async_client() as client:
            texts = await asyncio.gather(*(one(client, number, streamed=number % 2 == 0) for number in range(128)))
    finally:
        stack.upstream.respond = None
    assert texts == [f"You said n{number}." for number in range(128)]
