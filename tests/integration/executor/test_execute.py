"""The executor over real gRPC, HTTP and files: answers, streams, errors, records."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from support.executors import execute_request, executor_stand, request_id
from support.router_service import decision
from support.upstream import Script
from support.waiting import until

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_core.errors import (
    DeadlineExceededError,
    DecisionNotFoundError,
    InvalidRequestError,
    KubefuguError,
    ModelNotFoundError,
    NoWorkerAvailableError,
    OverloadedError,
    PolicyNotFoundError,
    UnsupportedFeatureError,
    WorkerStreamCutError,
    from_reason,
)


async def test_an_answer_and_its_events(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b") as s:
        answer = await s.ask(execute_request(identity="chatcmpl-1"))
        assert answer.kinds == ["routed", "turn_started", "turn_ended", "done"]
        assert answer.text == "Hello there, this is the upstream."
        assert answer.completion["id"] == "chatcmpl-1"
        assert (answer.done.worker, answer.done.policy_version, answer.done.turns) == ("a", "v1", 1)
        assert answer.done.role == common_pb2.ROLE_SOLVER
        assert (answer.done.usage.prompt_tokens, answer.done.usage.completion_tokens) == (11, 7)


async def test_the_router_gets_transcript_workers_and_conversation(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b", members={"b": {"roles": ["verifier"]}}) as s:
        options = {"conversation": "talk-1", "sampling": {"seed": 3, "temperature": 2.0}}
        await s.ask(execute_request("Why?", kubefugu=options))
        assert s.router is not None
        (asked,) = s.router.requests
        assert [(message.role, message.text) for message in asked.transcript] == [("user", "Why?")]
        assert [(offer.name, offer.model, list(offer.roles)) for offer in asked.allowed] == [
            ("a", "a-model", [common_pb2.ROLE_SOLVER])
        ]
        assert asked.conversation_key == "acme/talk-1"
        assert (asked.sampling.seed, asked.sampling.temperature) == (3, 2.0)


async def test_a_stream_is_bytes_of_whole_events(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        s.upstream.default = Script(chunk_delay_s=0.01)
        answer = await s.ask(execute_request(stream=True, identity="chatcmpl-7"))
        assert answer.sse.endswith(b"data: [DONE]\n\n")
        assert answer.sse.count(b'"id":"chatcmpl-7"') == answer.sse.count(b"data: {")
        assert answer.done.completion_json == b""
        assert all(response.delta.sse.endswith(b"\n\n") for response in answer.responses if response.HasField("delta"))


async def test_several_turns_in_one_call(tmp_path: Path) -> None:
    roles = iter([common_pb2.ROLE_SOLVER, common_pb2.ROLE_VERIFIER])

    def respond(body: dict[str, Any]) -> Script:
        return Script(text="ACCEPT" if "ACCEPT" in str(body["messages"]) else "42")

    async with executor_stand(
        tmp_path, "a", decide=lambda request: decision("a", role=next(roles), roles=True), respond=respond
    ) as s:
        answer = await s.ask(execute_request(reasoning_effort="high"))
        assert answer.text == "42"
        outcomes = [response.turn_ended.outcome for response in answer.responses if response.HasField("turn_ended")]
        assert outcomes == [pb.TURN_OUTCOME_OK, pb.TURN_OUTCOME_ACCEPTED]
        assert answer.done.usage.orchestration_input_tokens == 11


async def test_every_request_leaves_a_record_that_only_its_tenant_reads(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        identity = request_id()
        await s.ask(execute_request("my secret", identity=identity))
        record = await s.decision(identity)
        assert record["status"] == "ok"
        assert record["turns"][0]["routing"]["decision"]["input_tokens"] == 12
        assert "my secret" not in str(record)
        with pytest.raises(DecisionNotFoundError):
            await s.decision(identity, tenant="other")
        with pytest.raises(DecisionNotFoundError):
            await s.decision("chatcmpl-none")


async def test_content_is_recorded_only_where_switched_on(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", record_content=True) as s:
        identity = request_id()
        await s.ask(execute_request("my secret", identity=identity, stream=True))
        record = await s.decision(identity)
        assert record["messages"][0]["content"] == "my secret"
        assert record["turns"][0]["attempts"][0]["text"] == "Hello there, this is the upstream."


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("members", "error", "field"),
    [
        ({"model": "gpt-9"}, ModelNotFoundError, "model"),
        ({"model": "fugu-ultra"}, ModelNotFoundError, "model"),
        ({"tools": [TOOL]}, UnsupportedFeatureError, "tools"),
        ({"model": "a", "tools": [TOOL]}, UnsupportedFeatureError, "tools"),
        ({"response_format": {"type": "json_object"}}, UnsupportedFeatureError, "response_format"),
        ({"kubefugu": {"allow": ["zzz"]}}, InvalidRequestError, "kubefugu.allow"),
        ({"kubefugu": {"deny": ["a"]}}, InvalidRequestError, "kubefugu.deny"),
        ({"n": 2, "reasoning_effort": "high"}, InvalidRequestError, "n"),
    ],
)
async def test_what_cannot_be_done_names_the_field_and_is_recorded(
    tmp_path: Path, members: dict[str, Any], error: type[KubefuguError], field: str
) -> None:
    async with executor_stand(tmp_path, "a") as s:
        identity = request_id()
        with pytest.raises(error) as caught:
            await s.ask(execute_request(identity=identity, **members))
        assert caught.value.field == field
        record = await s.decision(identity)
        assert (record["status"], record["error"]["field"]) == ("failed", field)
        assert s.upstream.requests == []


async def test_a_context_that_fits_nobody(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b", members={"a": {"contextTokens": 256}, "b": {"contextTokens": 4000}}) as s:
        answer = await s.ask(execute_request("word " * 1000))
        assert answer.done.worker == "b"
        with pytest.raises(KubefuguError) as caught:
            await s.ask(execute_request("word " * 10000))
        assert caught.value.field == "messages"


@pytest.mark.parametrize(
    "payload", [b"", b"nonsense", b"[]", b'{"model": "fugu"}', b'{"model": "fugu", "messages": []}', b"\xff\xfe"]
)
async def test_a_body_that_is_no_request_is_refused(tmp_path: Path, payload: bytes) -> None:
    async with executor_stand(tmp_path, "a") as s:
        with pytest.raises(InvalidRequestError):
            await s.ask(pb.ExecuteRequest(chat_request_json=payload, tenant="t", request_id="chatcmpl-1"))


async def test_model_names(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b") as s:
        for model, worker, routed in [
            ("fugu", "a", True),
            ("testpool/fugu", "a", True),
            ("testpool", "a", True),
            ("b", "b", False),
            ("testpool/b", "b", False),
        ]:
            answer = await s.ask(execute_request(model=model))
            assert (answer.done.worker, "routed" in answer.kinds) == (worker, routed), model
            assert answer.completion["model"] == model
        listed = await s.stub.ListModels(pb.ListModelsRequest(), timeout=60)
        assert [(model.id, model.owned_by) for model in listed.models] == [
            ("fugu", "kubefugu"),
            ("a", "testpool"),
            ("b", "testpool"),
        ]


async def test_failover_is_told_and_counted(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> Script | None:
        return {"a-model": Script(status=500), "b-model": Script(refusal="no")}.get(body["model"])

    async with executor_stand(tmp_path, "a", "b", "c", members={"b": {"specialist": True}}, respond=respond) as s:
        answer = await s.ask(execute_request())
        ended = [response.turn_ended for response in answer.responses if response.HasField("turn_ended")]
        assert [(turn.worker, turn.outcome, turn.error_reason) for turn in ended] == [
            ("a", pb.TURN_OUTCOME_FAILED, "WORKER_ERROR"),
            ("b", pb.TURN_OUTCOME_DECLINED, ""),
            ("c", pb.TURN_OUTCOME_OK, ""),
        ]
        workers = {w.name: w for w in (await s.stub.ListWorkers(pb.ListWorkersRequest(), timeout=60)).workers}
        assert workers["a"].failures > 0
        assert workers["b"].declined == 1
        assert workers["c"].calls == 1
        assert workers["c"].latency_ms_ewma > 0
        assert {worker.breaker for worker in workers.values()} == {"closed"}
        (counters,) = (await s.stub.GetPolicyCounters(pb.GetPolicyCountersRequest(), timeout=60)).policies
        assert (counters.policy_version, counters.requests, counters.failures, counters.declined) == ("v1", 1, 0, 1)


async def test_failures_are_counted_by_the_version_that_decided(tmp_path: Path) -> None:
    versions = iter(["v1", "v2", "v2"])
    async with executor_stand(tmp_path, "a", decide=lambda request: decision("a", version=next(versions))) as s:
        await s.ask(execute_request())
        s.upstream.default = Script(status=400)
        for _ in range(2):
            with pytest.raises(KubefuguError):
                await s.ask(execute_request())
        policies = (await s.stub.GetPolicyCounters(pb.GetPolicyCountersRequest(), timeout=60)).policies
        assert [(p.policy_version, p.requests, p.failures) for p in policies] == [("v1", 1, 0), ("v2", 2, 2)]


async def test_a_request_that_nobody_could_answer_counts_for_no_version(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b") as s:
        s.upstream.default = Script(status=500)
        with pytest.raises(NoWorkerAvailableError):
            await s.ask(execute_request())
        assert not (await s.stub.GetPolicyCounters(pb.GetPolicyCountersRequest(), timeout=60)).policies


async def test_an_error_after_the_first_byte_ends_the_call_with_its_reason(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b") as s:
        s.upstream.default = Script(cut_after_chunks=3)
        received = b""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for response in s.stub.Execute(execute_request(stream=True), timeout=60):
                received += response.delta.sse
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert received
        assert b"[DONE]" not in received
        with pytest.raises(WorkerStreamCutError):
            await s.ask(execute_request(stream=True))


async def test_the_callers_deadline_ends_in_an_error_that_says_so(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        s.upstream.default = Script(hang=True)
        identity = request_id()
        with pytest.raises(DeadlineExceededError) as caught:
            await s.ask(execute_request(identity=identity), timeout_s=1.0)
        assert "a" in caught.value.metadata.get("worker", ""), "our own error, not gRPC's bare status"
        assert await until(lambda: s.upstream.requests[0].disconnected_at) < 1
        assert (await s.decision(identity))["error"]["reason"] == "DEADLINE_EXCEEDED"


async def test_a_call_without_a_deadline_is_refused(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in s.stub.Execute(execute_request()):
                pass
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_too_many_requests_in_flight(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", max_in_flight=1) as s:
        s.upstream.default = Script(hang=True, release=(refused := asyncio.Event()))
        first = asyncio.create_task(s.ask(execute_request()))
        await until(lambda: s.upstream.requests)
        with pytest.raises(OverloadedError):
            await s.ask(execute_request())
        refused.set()
        assert (await first).text


async def test_the_routers_own_refusals_reach_the_client(tmp_path: Path) -> None:
    refuse = PolicyNotFoundError("There is no policy v9.", field="kubefugu.policy_version")
    async with executor_stand(tmp_path, "a", decide=lambda request: refuse) as s:
        with pytest.raises(PolicyNotFoundError) as caught:
            await s.ask(execute_request(kubefugu={"policy_version": "v9"}))
        assert caught.value.field == "kubefugu.policy_version"


async def test_records_are_on_disk_after_a_stop(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        await s.ask(execute_request(identity="chatcmpl-77"))
    connection = sqlite3.connect(tmp_path / "decisions.db")
    (payload,) = connection.execute("SELECT payload FROM decisions WHERE record_id = 'chatcmpl-77'").fetchone()
    connection.close()
    assert orjson.loads(payload)["status"] == "ok"


async def test_every_worker_down_is_an_honest_error(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b") as s:
        s.upstream.default = Script(drop=True)
        for stream in (False, True):
            with pytest.raises(NoWorkerAvailableError, match="a: worker_unreachable; b: worker_unreachable"):
                await s.ask(execute_request(stream=stream))
        assert isinstance(from_reason("NO_WORKER_AVAILABLE", "x"), NoWorkerAvailableError)
