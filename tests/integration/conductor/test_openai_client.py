"""The real `openai` client against gateway, executor and Conductor: a tool loop as any application writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from support.conductors import conductor_service
from support.executors import executor_stand
from support.gateway import running_gateway
from support.upstream import Script
from support.workflows import plan_text

TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALL = {"id": "own", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}


def respond(body: dict[str, Any]) -> Script:
    """alpha asks for the weather and then tells it; writer joins."""
    if body["model"] == "writer-model":
        return Script(text="It rains in Lima, so take an umbrella.")
    if any(message["role"] == "tool" for message in body["messages"]):
        return Script(text="It rains.")
    return Script(text=None, tool_calls=[CALL], finish_reason="tool_calls")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    async with AsyncExitStack() as stack:
        planner, conductor = await stack.enter_async_context(conductor_service())
        planner.default = Script(text=plan_text((1, "How is the weather in Lima?", []), (0, "Advise.", [0])))
        capable = {name: {"capabilities": ["tools"]} for name in ("writer", "alpha")}
        stand = executor_stand(
            tmp_path,
            *("writer", "alpha"),
            members=capable,
            respond=respond,
            conductor_target=conductor,
            state_url=f"sqlite:///{tmp_path}/state.db",
        )
        executor = await stack.enter_async_context(stand)
        gateway = await stack.enter_async_context(running_gateway(executor.target))
        made = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
        yield await stack.enter_async_context(made)


async def test_a_tool_loop(client: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What do I need in Lima?"}]
    first = await client.chat.completions.create(model="fugu-ultra", messages=messages, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls
    messages.append(first.choices[0].message)
    for call in first.choices[0].message.tool_calls:
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Lima"}')
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    second = await client.chat.completions.create(model="fugu-ultra", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "It rains in Lima, so take an umbrella."
    assert second.usage is not None
    assert second.usage.prompt_tokens == 22, "only what this response took"


async def test_a_streamed_tool_loop(client: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What do I need in Lima?"}]
    async with client.chat.completions.stream(model="fugu-ultra", messages=messages, tools=TOOLS) as stream:
        message = (await stream.get_final_completion()).choices[0].message
    assert message.tool_calls
    calls: list[Any] = [call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls]
    for call in calls:
        call["function"] = {key: call["function"][key] for key in ("name", "arguments")}
    messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    messages.append({"role": "tool", "tool_call_id": calls[0]["id"], "content": "rain"})
    async with client.chat.completions.stream(model="fugu-ultra", messages=messages, tools=TOOLS) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "It rains in Lima, so take an umbrella."


async def test_results_that_nobody_waits_for(client: openai.AsyncOpenAI) -> None:
    forged: Any = {"id": "kfw_" + "A" * 36, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "user", "content": "What do I need in Lima?"},
        {"role": "assistant", "content": None, "tool_calls": [forged]},
        {"role": "tool", "tool_call_id": forged["id"], "content": "rain"},
    ]
    with pytest.raises(openai.APIStatusError, match="no longer waits") as caught:
        await client.chat.completions.create(model="fugu-ultra", messages=messages, tools=TOOLS)
    assert (caught.value.status_code, caught.value.code) == (410, "workflow_expired")


async def test_the_workflow_is_explained_and_read_back(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="fugu-ultra",
        messages=[{"role": "user", "content": "Advise me."}],
        extra_body={"kubefugu": {"explain": True}},
    )
    explained = answer.model_extra
    assert explained is not None
    assert explained["kubefugu"]["workflow"]["plans"][0]["steps"][0]["subtask"] == "How is the weather in Lima?"
    record = await client.get(f"/decisions/{answer.id}", cast_to=object)
    assert record["workflow"]["plans"][0]["steps"][0] == {"worker": "alpha", "access": []}  # type: ignore[index]


async def test_the_workflows_picture_is_served(client: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Advise me."}]
    answer = await client.chat.completions.create(model="fugu-ultra", messages=messages)
    async with httpx.AsyncClient(base_url=str(client.base_url)) as browser:
        picture = await browser.get(f"decisions/{answer.id}/graph.svg")
        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert picture.headers["content-security-policy"].startswith("default-src 'none'")
        assert picture.text.startswith("<svg")
        assert "alpha → writer" in picture.text
        single = await client.chat.completions.create(model="writer", messages=messages)
        for known in (single.id, "chatcmpl-unknown"):
            missing = await browser.get(f"decisions/{known}/graph.svg")
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "decision_not_found")


async def test_step_events_are_streamed_where_asked_for(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="fugu-ultra",
        messages=[{"role": "user", "content": "Advise me."}],
        stream=True,
        extra_body={"kubefugu": {"progress": True}},
    )
    told = [(chunk.model_extra or {}).get("kubefugu") async for chunk in stream]
    steps = [(event["event"], event.get("step"), event.get("worker")) for event in told if event]
    assert steps == [
        ("planned", None, None),
        ("step_started", 0, "alpha"),
        ("step_ended", 0, "alpha"),  # it calls a tool that nobody offered here
        ("step_started", 0, "writer"),
        ("step_ended", 0, "writer"),
        ("step_started", 1, "writer"),
        ("step_ended", 1, "writer"),
    ]
