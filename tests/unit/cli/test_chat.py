"""`kubefugu chat` against a real server: streams, histories, errors and cut answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.upstream import Script, Upstream

from kubefugu_cli import chatting
from kubefugu_cli.clients.gateway import GatewayClient
from kubefugu_core.errors import ModelNotFoundError, UnavailableError, WorkerStreamCutError

_BY = {"x-kubefugu-decision-id": "chatcmpl-1", "x-kubefugu-worker": "algebra", "x-kubefugu-turns": "1"}
_RUN: dict[str, Any] = {"model": "fugu", "system": "", "options": {}, "api_key": "", "json_output": False}


async def test_one_question_streams_the_answer_and_names_the_worker(capsys: pytest.CaptureFixture[str]) -> None:
    async with Upstream(Script(text="x is three", headers=_BY)) as upstream:
        await asyncio.to_thread(chatting.run, **{**_RUN, "message": "Solve it", "url": upstream.url, "api_key": "k"})
    said = capsys.readouterr()
    assert said.out == "x is three\n"
    assert "worker algebra" in said.err
    assert "chatcmpl-1" in said.err
    assert "18 tokens" in said.err
    sent = upstream.requests[0]
    assert sent.body["stream"] is True
    assert sent.body["messages"] == [{"role": "user", "content": "Solve it"}]
    assert sent.headers["authorization"] == "Bearer k"


async def test_json_prints_the_whole_completion(capsys: pytest.CaptureFixture[str]) -> None:
    async with Upstream(Script(text="yes", headers=_BY)) as upstream:
        options = {**_RUN, "json_output": True, "options": {"max_tokens": 5}}
        await asyncio.to_thread(chatting.run, **{**options, "message": "Is it?", "url": upstream.url})
    document = json.loads(capsys.readouterr().out)
    assert document["choices"][0]["message"]["content"] == "yes"
    assert document["answered_by"]["worker"] == "algebra"
    assert upstream.requests[0].body["max_tokens"] == 5


async def test_a_dialogue_keeps_its_history_and_takes_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["first", "", "/model units", "second", "/reset", "third", "/nonsense", "/exit", "never asked"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    async with Upstream(Script(text="fine", headers=_BY)) as upstream:
        with GatewayClient(upstream.url) as client:
            conversation = chatting.Conversation(client=client, model="fugu", options={}, system="Be brief.")
            await asyncio.to_thread(chatting.talk, conversation)
    bodies = [request.body for request in upstream.requests]
    system = {"role": "system", "content": "Be brief."}
    first = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "fine"}]
    assert [body["model"] for body in bodies] == ["fugu", "units", "units"]
    assert bodies[1]["messages"] == [system, *first, {"role": "user", "content": "second"}]
    assert bodies[2]["messages"] == [system, {"role": "user", "content": "third"}]
    assert "/reset" in capsys.readouterr().err


async def test_a_failed_answer_does_not_end_a_dialogue_and_leaves_no_history(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = iter(["first", "second"])

    def read(prompt: str) -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    async with Upstream(Script(text="fine")) as upstream:
        upstream.plan(Script(cut_after_chunks=2))
        with GatewayClient(upstream.url) as client:
            conversation = chatting.Conversation(client=client, model="fugu", options={})
            await asyncio.to_thread(chatting.talk, conversation)
    assert "broke off" in capsys.readouterr().err
    assert upstream.requests[1].body["messages"] == [{"role": "user", "content": "second"}]


def stream_to_end(url: str) -> str:
    with GatewayClient(url) as client, client.stream([{"role": "user", "content": "x"}], model="fugu") as stream:
        return "".join(stream)


@pytest.mark.parametrize("script", [Script(cut_after_chunks=1), Script(done=False), Script(cut_after_chunks=0)])
async def test_a_stream_without_its_end_is_an_error(script: Script) -> None:
    async with Upstream(script) as upstream:
        with pytest.raises(WorkerStreamCutError):
            await asyncio.to_thread(stream_to_end, upstream.url)


async def test_an_error_event_in_a_stream_is_that_error() -> None:
    event = {"error": {"message": "No such model.", "type": "x", "param": "model", "code": "model_not_found"}}
    async with Upstream(Script(events=[f"data: {json.dumps(event)}\n\n".encode()])) as upstream:
        with pytest.raises(ModelNotFoundError, match="No such model"):
            await asyncio.to_thread(stream_to_end, upstream.url)


async def test_an_error_response_keeps_its_class_and_message() -> None:
    body = json.dumps({"error": {"message": "No such model.", "code": "model_not_found", "param": "model"}}).encode()
    async with Upstream(Script(status=404, body=body)) as upstream:
        with pytest.raises(ModelNotFoundError, match="No such model"):
            await asyncio.to_thread(stream_to_end, upstream.url)


def test_a_gateway_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(UnavailableError, match="kubefugu up"):
        stream_to_end("http://127.0.0.1:9")
