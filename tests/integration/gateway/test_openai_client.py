"""OpenAI's own SDK, unchanged, through gateway and executor to a worker and back."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from support.bodies import TOOL
from support.upstream import Script

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
CALL = {"id": "call_9", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


async def test_sync_plain(stack: Any) -> None:
    def ask() -> Any:
        return stack.client().chat.completions.with_raw_response.create(
            model="able", messages=MESSAGES, temperature=0.5, seed=4
        )

    raw = await asyncio.to_thread(ask)
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello from the worker."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "able"
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    assert answer.id == raw.headers["x-kubefugu-decision-id"] == raw.request_id
    assert raw.headers["x-kubefugu-worker"] == "able"
    assert raw.headers["x-kubefugu-turns"] == "1"
    sent = stack.upstream.requests[0].body
    assert sent["messages"] == MESSAGES
    assert (sent["temperature"], sent["seed"], sent["model"]) == (0.5, 4, "able-model")
    assert "kubefugu" not in sent


async def test_sync_stream(stack: Any) -> None:
    def ask() -> list[Any]:
        stream = stack.client().chat.completions.create(
            model="able", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        return list(stream)

    chunks = await asyncio.to_thread(ask)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Hello from the worker."
    assert {chunk.model for chunk in chunks} == {"able"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 18


async def test_async_plain_and_stream(stack: Any) -> None:
    async with stack.async_client() as client:
        answer = await client.chat.completions.create(model="able", messages=MESSAGES)
        assert answer.choices[0].message.content == "Hello from the worker."
        stream = await client.chat.completions.create(model="able", messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello from the worker."
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_streaming_helper_assembles_the_completion(stack: Any) -> None:
    async with stack.async_client() as client, client.chat.completions.stream(model="able", messages=MESSAGES) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content == "Hello from the worker."


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_a_tools_round_trip(stack: Any, streamed: bool) -> None:
    stack.upstream.plan(Script(text=None, tool_calls=[CALL], finish_reason="tool_calls"), Script(text="It is 1."))
    messages = list(MESSAGES)
    async with stack.async_client() as client:
        if streamed:
            async with client.chat.completions.stream(model="able", messages=messages, tools=[TOOL]) as stream:
                async for _ in stream:
                    pass
                message = (await stream.get_final_completion()).choices[0].message
        else:
            answer = await client.chat.completions.create(model="able", messages=messages, tools=[TOOL], tool_choice="auto")
            assert answer.choices[0].finish_reason == "tool_calls"
            message = answer.choices[0].message
        assert message.tool_calls[0].id == "call_9"
        assert message.tool_calls[0].function.name == "add"
        assert message.tool_calls[0].function.arguments == '{"a": 1}'
        # As the SDK's users do it: the message object itself goes back, then the result.
        messages += [message, {"role": "tool", "tool_call_id": "call_9", "content": "1"}]
        second = await client.chat.completions.create(model="able", messages=messages, tools=[TOOL])
    assert second.choices[0].message.content == "It is 1."
    first, last = (request.body for request in stack.upstream.requests)
    assert first["tools"] == [TOOL]
    assert last["messages"][2]["tool_calls"][0]["id"] == "call_9"
    assert last["messages"][3] == {"role": "tool", "tool_call_id": "call_9", "content": "1"}


async def test_images_reach_the_worker(stack: Any) -> None:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    async with stack.async_client() as client:
        await client.chat.completions.create(model="able", messages=[{"role": "user", "content": content}])
    assert stack.upstream.requests[0].body["messages"][0]["content"] == content


async def test_a_structured_answer_is_parsed(stack: Any) -> None:
    class City(BaseModel):
        name: str
        people: int

    stack.upstream.plan(Script(text='{"name": "Lima", "people": 10}'))
    async with stack.async_client() as client:
        answer = await client.chat.completions.parse(model="able", messages=MESSAGES, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Lima", people=10)
    sent = stack.upstream.requests[0].body["response_format"]
    assert sent["type"] == "json_schema"
    assert set(sent["json_schema"]["schema"]["properties"]) == {"name", "people"}


async def test_models(stack: Any) -> None:
    async with stack.async_client() as client:
        names = {model.id async for model in client.models.list()}
        assert {"able", "plain", "absent"} <= names
        assert (await client.models.retrieve("able")).id == "able"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nobody")


async def test_the_decision_is_read_back_by_the_completions_id(stack: Any) -> None:
    async with stack.async_client() as client:
        answer = await client.chat.completions.create(model="able", messages=MESSAGES)
        record: Any = await client.get(f"/decisions/{answer.id}", cast_to=object)
        with pytest.raises(openai.NotFoundError):
            await client.get("/decisions/chatcmpl-" + "0" * 32, cast_to=object)
    assert answer.id in str(record)
    assert "Say hello." not in str(record)


SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
UNABLE: dict[str, tuple[dict[str, Any], str]] = {
    "tools": ({"tools": [TOOL]}, "tools"),
    "images": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}]},
        "messages[0].content[0]",
    ),
    "json_object": ({"response_format": {"type": "json_object"}}, "response_format"),
    "json_schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        "response_format",
    ),
    "logprobs": ({"logprobs": True}, "logprobs"),
}


@pytest.mark.parametrize(("options", "param"), UNABLE.values(), ids=UNABLE.keys())
async def test_what_no_worker_can_do_is_refused_and_named(stack: Any, options: dict[str, Any], param: str) -> None:
    async with stack.async_client() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**{"model": "plain", "messages": MESSAGES} | options)
    assert caught.value.code == "unsupported_feature"
    assert str(caught.value.param).startswith(param)
    assert stack.upstream.requests == []


async def test_typed_progress_passes_through_the_sdk(stack: Any) -> None:
    """The loop itself; where no router answers, the pool's fallback worker does."""
    async with stack.async_client() as client:
        stream = await client.chat.completions.create(
            model="fugu",
            messages=MESSAGES,
            stream=True,
            extra_body={"kubefugu": {"progress": True}},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello from the worker."
    told = [chunk.model_extra["kubefugu"] for chunk in chunks if not chunk.choices]
    assert [event["event"] for event in told][:2] == ["routed", "turn_started"]
    assert told[-1]["event"] == "turn_ended"
    assert {event["worker"] for event in told} == {"plain"}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_loops_answer_explains_itself(stack: Any) -> None:
    async with stack.async_client() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="fugu", messages=MESSAGES, extra_body={"kubefugu": {"explain": True}}
        )
    answer = raw.parse()
    assert answer.model == "fugu"
    assert answer.model_extra is not None
    assert answer.model_extra["kubefugu"]["decision_id"] == answer.id
    assert raw.headers["x-kubefugu-worker"] == "plain"
    assert raw.headers["x-kubefugu-role"] == "solver"
    assert answer.usage is not None
    assert answer.usage.model_dump()["prompt_tokens_details"]["orchestration_input_tokens"] == 0
