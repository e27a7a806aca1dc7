"""`kubefugu up` with the default pool: real model, real experts, real router, the real openai client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable

import httpx
import openai
import psutil
import pytest
from openai.types.chat import ChatCompletionMessageParam
from support.paths import REPO

from kubefugu_cli.stack.model import ComponentPhase
from kubefugu_cli.stack.plan import EXECUTOR, EXPERTS, GATEWAY, ROUTER

from .conftest import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_SERVICES = (GATEWAY, EXECUTOR, ROUTER, EXPERTS, "worker-smollm2")


def asking(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]


def wait_until(condition: Callable[[], bool], what: str, *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def client(stack: LocalStack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0, timeout=60)


def test_up_ends_with_an_answer_and_tells_who_gave_it(stack: LocalStack) -> None:
    assert stack.url in stack.said
    assert "Paris" in stack.said
    assert "chatcmpl-" in stack.said
    assert "chat.completions.create" in stack.said
    record = next(word for word in stack.said.split() if word.startswith("chatcmpl-"))
    decision = httpx.get(f"{stack.url}/v1/decisions/{record}", timeout=10)
    assert decision.status_code == 200
    workers = {worker["name"] for worker in json.loads(stack.kubefugu("status", "--json").stdout)["workers"]}
    assert any(f"from    {worker}" in stack.said for worker in workers)


def test_the_openai_client_gets_an_exact_answer(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="fugu", messages=asking("Solve x^2 - 5x + 6 = 0"))
    completion = raw.parse()
    answer = completion.choices[0].message.content or ""
    assert "2" in answer
    assert "3" in answer
    assert completion.id == raw.headers["x-kubefugu-decision-id"]
    assert raw.headers["x-kubefugu-worker"] == "algebra"
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0


def test_the_openai_client_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="smollm2",
        messages=asking("Write one sentence about the sea."),
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 3
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {"smollm2"}
    assert chunks[-1].usage is not None
    assert 0 < chunks[-1].usage.completion_tokens <= 24


async def test_the_asynchronous_client_asks_many_at_once(stack: LocalStack) -> None:
    questions = {
        "How many kilometres are 10 miles?": "16.09",
        "What is the capital of Japan?": "Tokyo",
        "Solve 3x + 1 = 22": "7",
    }
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        replies = await asyncio.gather(
            *(client.chat.completions.create(model="fugu", messages=asking(question)) for question in questions)
        )
        for reply, expected in zip(replies, questions.values(), strict=True):
            assert expected in (reply.choices[0].message.content or "")
        streamed = await client.chat.completions.create(
            model="fugu", messages=asking("What is the capital of Peru?"), stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in streamed if chunk.choices])
        assert "Lima" in text


def test_models_and_their_errors(client: openai.OpenAI) -> None:
    assert {"fugu", "smollm2", "algebra"} <= {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=asking("x"))


def test_chat_and_route_tell_the_same_story(stack: LocalStack) -> None:
    question = "What is the capital of Japan?"
    chat = stack.kubefugu("chat", question, "--json")
    assert chat.returncode == 0, chat.stderr
    body = json.loads(chat.stdout)
    assert "Tokyo" in body["choices"][0]["message"]["content"]
    explained = stack.kubefugu("route", "--explain", "--json", question)
    assert explained.returncode == 0, explained.stderr
    explanation = json.loads(explained.stdout)
    assert explanation["decision"]["worker"] == "geography" == body["answered_by"]["worker"]
    assert question in explanation["input_text"]
    table = stack.kubefugu("route", "--explain", question).stdout
    assert "geography" in table
    assert "logit" in table
    streamed = stack.kubefugu("chat", question)
    assert "Tokyo" in streamed.stdout
    assert "geography" in streamed.stderr


def test_every_worker_passes_the_pool_check(stack: LocalStack) -> None:
    checked = stack.kubefugu("pool", "check", "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    workers = {worker["name"]: worker for worker in json.loads(checked.stdout)["workers"]}
    assert workers["smollm2"]["outcome"] == "ok"
    assert workers["smollm2"]["completion_tokens"] > 0
    assert workers["geography"]["says"].startswith("Paris") or "Paris" in workers["geography"]["says"]
    assert workers["algebra"]["outcome"] == "declined"


def test_status_and_policies_name_what_decides(stack: LocalStack) -> None:
    status = json.loads(stack.kubefugu("status", "--json").stdout)
    assert status["problems"] == []
    assert {component["name"] for component in status["components"]} >= set(_SERVICES)
    assert all(size > 0 for size in status["memory_bytes"].values())
    probed = stack.kubefugu("policy", "probe", active_policy(stack))
    assert probed.returncode == 0, probed.stderr
    assert "geography" in probed.stdout


def test_a_policy_that_is_set_decides_at_once_and_is_written_down(stack: LocalStack, client: openai.OpenAI) -> None:
    head = REPO / "pools" / "heads" / "default.safetensors"
    declared = stack.kubefugu("policy", "set", "mine", "--artifact", str(head), "--json")
    assert declared.returncode == 0, declared.stderr
    assert active_policy(stack) == "mine"
    reply = client.chat.completions.with_raw_response.create(model="fugu", messages=asking("What is the capital of Peru?"))
    assert reply.headers["x-kubefugu-policy-version"] == "mine"
    assert json.loads(stack.layout.policy_set_file.read_text())["active"] == "mine"
    refused = stack.kubefugu("policy", "set", "broken", "--artifact", str(REPO / "README.md"))
    assert refused.returncode == 1
    assert "safetensors" in refused.stderr
    assert active_policy(stack) == "mine"


def active_policy(stack: LocalStack) -> str:
    policies = json.loads(stack.kubefugu("policy", "list", "--json").stdout)["policies"]
    (active,) = [policy["version"] for policy in policies if policy["state"] == "POLICY_STATE_ACTIVE"]
    return str(active)


def test_a_second_up_changes_nothing(stack: LocalStack) -> None:
    before = stack.state
    again = stack.kubefugu("up")
    assert again.returncode == 0
    assert stack.url in again.stdout
    assert stack.state == before


def test_every_child_that_is_killed_comes_back_and_answers(stack: LocalStack, client: openai.OpenAI) -> None:
    before = {component.name: component for component in stack.state.components}
    policy = active_policy(stack)
    for name in _SERVICES:
        pid = before[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def all_back() -> bool:
        now = {component.name: component for component in stack.state.components}
        return all(now[name].phase is ComponentPhase.READY and now[name].restarts > before[name].restarts for name in _SERVICES)

    wait_until(all_back, "every component is ready again")
    assert all(one.pid != before[one.name].pid for one in stack.state.components if one.name in _SERVICES)
    for question, expected in (("What is the capital of Japan?", "Tokyo"), ("Solve 3x + 1 = 22", "7")):
        reply = client.chat.completions.create(model="fugu", messages=asking(question))
        assert expected in (reply.choices[0].message.content or "")
    assert active_policy(stack) == policy
    # The killed experts process had children of its own: none of them is left.
    experts = psutil.Process(next(one.pid for one in stack.state.components if one.name == EXPERTS) or 0)
    family = {experts.pid, *(child.pid for child in experts.children(recursive=True))}
    living = {one.pid: one.cmdline() for one in stack.processes()}
    assert {pid for pid, command in living.items() if "kubefugu_experts" in command} <= family
