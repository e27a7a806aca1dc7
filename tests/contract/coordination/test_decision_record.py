"""Decision records are made from events, for every way in which a request can end."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from support.loops import Run, Stage, chat, stage
from support.routers import ScriptedRouter, decide
from support.upstream import Script

from kubefugu_coordination.decisions import DecisionRecorder
from kubefugu_coordination.events import Delta
from kubefugu_coordination.job import Job
from kubefugu_core.errors import RequestCancelledError, UnavailableError

HIGH = {"reasoning_effort": "high"}


async def recorded(
    s: Stage,
    router: ScriptedRouter,
    job: Job,
    *,
    error: BaseException | None = None,
    stop_after: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Run a job and return its record as JSON gives it."""
    loop = s.loop(router, job, keep_text=options.get("keep_content", False))
    recorder = DecisionRecorder(job, pool="testpool", started_at=1700000123.5, **options)
    recorder.prepared(excluded=loop.eligible.excluded, max_turns=loop.budget.max_turns)
    run = Run([])
    try:
        async for event in loop.events():
            run.events.append(event)
            if isinstance(event, Delta):
                recorder.note_delta(0.01 * len(run.events))
            else:
                recorder.note(event)
            if len(run.events) == stop_after:
                break
    except Exception as raised:
        run.error = error or raised
    assert recorder.finish(error or run.error, elapsed_ms=99.0)
    assert not recorder.finish(None, elapsed_ms=1.0), "a record is closed once"
    document: dict[str, Any] = orjson.loads(recorder.render())
    return document


async def test_an_answered_request() -> None:
    members = {"b": {"specialist": True}, "c": {"capabilities": []}}
    async with stage("a", "b", "c", members=members) as s:
        s.say("b", Script(refusal="no"))
        job = chat("the secret question", kubefugu={"deny": ["c"]})
        record = await recorded(s, ScriptedRouter(decide("b", order=("a",))), job)
    assert record["id"] == job.request_id
    assert (record["object"], record["tenant"], record["pool"]) == ("kubefugu.decision", "acme", "testpool")
    assert (record["status"], record["stop_reason"], record["error"]) == ("ok", "single_turn", None)
    assert (record["worker"], record["role"], record["policy_version"]) == ("a", "solver", "policy-1")
    assert record["excluded"] == [{"worker": "c", "because": "not allowed by the request"}]
    (turn,) = record["turns"]
    assert turn["routing"]["decision"]["workers"][0]["name"] == "b"
    assert [attempt["outcome"] for attempt in turn["attempts"]] == ["declined", "ok"]
    assert turn["attempts"][1]["usage"] == {"prompt_tokens": 11, "completion_tokens": 7, "estimated": False}
    assert record["usage"]["orchestration_input_tokens"] == 11
    assert record["duration_ms"] == 99.0


async def test_no_content_unless_switched_on() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(status=400, body=b'{"error": {"message": "bad prompt: the secret question"}}'))
        s.say("b", "the secret answer")
        router = ScriptedRouter(decide("a", order=("b",)))
        record = await recorded(s, router, chat("the secret question"))
        text = orjson.dumps(record).decode()
        assert "secret" not in text
        assert record["turns"][0]["attempts"][0]["error"]["message"] == "Worker a answered 400."
        record = await recorded(s, router, chat("the secret question"), keep_content=True)
        assert record["messages"][0]["content"] == "the secret question"
        assert record["turns"][0]["attempts"][1]["text"] == "the secret answer"
        assert "the secret question" in record["turns"][0]["attempts"][0]["error"]["message"]


async def test_a_failed_request() -> None:
    async with stage("a") as s:
        s.say("a", Script(status=500))
        record = await recorded(s, ScriptedRouter(decide("a")), chat())
    assert record["status"] == "failed"
    assert record["error"]["reason"] == "WORKER_ERROR"
    assert record["turns"][0]["attempts"][0]["outcome"] == "failed"
    assert record["worker"] is None


async def test_a_stream_that_broke_off() -> None:
    async with stage("a") as s:
        s.say("a", Script(cut_after_chunks=3))
        record = await recorded(s, ScriptedRouter(decide("a")), chat(stream=True))
    assert record["status"] == "failed"
    assert record["error"]["reason"] == "WORKER_STREAM_CUT"
    assert record["first_byte_ms"] is not None


async def test_a_cancelled_request_names_the_worker_that_was_at_work() -> None:
    for error in (asyncio.CancelledError(), GeneratorExit(), RequestCancelledError("gone")):
        async with stage("a") as s:
            record = await recorded(s, ScriptedRouter(decide("a")), chat(stream=True), error=error, stop_after=3)
        assert record["status"] == "cancelled"
        assert record["error"]["reason"] == "CANCELLED"
        assert record["turns"][0]["attempts"][0]["outcome"] == "cancelled"
        assert record["turns"][0]["attempts"][0]["worker"] == "a"


async def test_a_degraded_answer_says_so() -> None:
    async with stage("a", "c", members={"c": {"fallback": True}}) as s:
        record = await recorded(s, ScriptedRouter(UnavailableError("router down")), chat())
    assert record["status"] == "ok"
    assert record["degraded"] == "unavailable"
    assert record["policy_version"] is None
    assert record["turns"][0]["routing"]["role_source"] == "fallback"


async def test_the_turns_of_a_loop() -> None:
    advice = "<suggestion>x</suggestion><suggested_role>solver</suggested_role>"
    async with stage("a", "b") as s:
        s.say("a", "one", "two")
        s.say("b", advice, "ACCEPT")
        router = ScriptedRouter(decide("a"), decide("b", "thinker"), decide("a"), decide("b", "verifier"))
        record = await recorded(s, router, chat(**HIGH))
    assert [turn["routing"]["role"] for turn in record["turns"]] == ["solver", "thinker", "solver", "verifier"]
    assert record["turns"][1]["attempts"][0]["suggested_role"] == "solver"
    assert record["turns"][2]["routing"]["role_source"] == "thinker"
    assert record["turns"][3]["attempts"][0]["outcome"] == "accepted"
    assert record["limits"]["max_turns"] == 5
