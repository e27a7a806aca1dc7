"""Streams through the loop: pass-through in one turn and in the last one, our frames at the end, disconnects."""

from __future__ import annotations

import asyncio

import pytest
from support.loops import REQUEST_ID, Run, chat, stage
from support.pools import within
from support.routers import ScriptedRouter, decide
from support.upstream import Script
from support.waiting import until

from kubefugu_coordination.completion import DONE_FRAME
from kubefugu_coordination.events import Delta, Progress, StopReason, TurnStarted
from kubefugu_coordination.loop.passthrough import PassThrough
from kubefugu_core.errors import UnsupportedFeatureError, WorkerRejectedRequestError, WorkerStreamCutError

HIGH = {"reasoning_effort": "high"}
USAGE = {"stream_options": {"include_usage": True}}


async def test_a_stream_ends_in_our_frames() -> None:
    async with stage("a") as s:
        run = await s.run(ScriptedRouter(decide("a")), chat(stream=True))
        assert run.sse.endswith(DONE_FRAME)
        assert run.sse.count(b"[DONE]") == 1
        assert {chunk["id"] for chunk in run.chunks} == {REQUEST_ID}
        assert {chunk["model"] for chunk in run.chunks} == {"fugu"}
        assert {chunk["created"] for chunk in run.chunks} == {1700000123}
        assert all("usage" not in chunk for chunk in run.chunks), "the client did not ask for usage"
        assert run.answer == "Hello there, this is the upstream."
        assert run.done.spent.prompt_tokens == 11


async def test_usage_is_ours_and_only_on_request() -> None:
    async with stage("a") as s:
        s.say("a", Script(usage_null=True))
        run = await s.run(ScriptedRouter(decide("a")), chat(stream=True, **USAGE))
        assert [chunk.get("usage") is not None for chunk in run.chunks].count(True) == 1
        last = run.chunks[-1]
        assert last["choices"] == []
        assert last["usage"]["prompt_tokens_details"] == {"orchestration_input_tokens": 0}
        assert last["usage"]["total_tokens"] == 18


async def test_chunks_pass_through_as_they_come() -> None:
    async with stage("a") as s:
        s.say("a", Script(pieces=6, hang_after_chunks=3, release=(seen := asyncio.Event())))
        run = Run([])
        async for event in s.loop(ScriptedRouter(decide("a")), chat(stream=True)).events():
            run.events.append(event)
            if isinstance(event, Delta):
                seen.set()  # the worker writes the rest only now
        assert run.answer == "Hello there, this is the upstream."


async def test_a_finish_reason_that_the_worker_leaves_out_is_added() -> None:
    async with stage("a") as s:
        s.say("a", Script(finish_reason=None))
        run = await s.run(ScriptedRouter(decide("a")), chat(stream=True))
        assert run.chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_specialist_that_declines_in_a_stream_is_a_miss() -> None:
    async with stage("a", "b", members={"a": {"specialist": True}}) as s:
        s.say("a", Script(refusal="not mine"))
        run = await s.run(ScriptedRouter(decide("a", order=("b",))), chat(stream=True, **USAGE))
        assert run.summary == [("a", "solver", "declined"), ("b", "solver", "ok")]
        assert b"not mine" not in run.sse
        assert run.chunks[-1]["usage"]["prompt_tokens_details"]["orchestration_input_tokens"] == 11
        assert run.turns[0].usage.prompt_tokens == 11


async def test_the_accepted_answer_of_several_turns_is_streamed_at_the_end() -> None:
    text = "A long answer. " * 60
    async with stage("a", "b") as s:
        s.say("a", Script(text=text, extra={"annotations": []}))
        s.say("b", "ACCEPT")
        router = ScriptedRouter(decide("a"), decide("b", "verifier"))
        run = await s.run(router, chat(stream=True, **HIGH, **USAGE))
        assert run.answer == text
        assert run.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "annotations": []}
        assert [chunk["choices"][0]["finish_reason"] for chunk in run.chunks[:-1]][-1] == "stop"
        assert run.chunks[-1]["usage"]["prompt_tokens"] == 22
        assert run.sse.endswith(DONE_FRAME)
        assert not s.bodies("a")[0].get("stream"), "nothing was known to be the answer yet"


async def test_the_last_turn_is_passed_through() -> None:
    async with stage("a") as s:
        s.say("a", "first", Script(text="second", chunk_delay_s=0.01))
        run = await s.run(ScriptedRouter(decide("a")), chat(stream=True, reasoning_effort="high", kubefugu={"max_turns": 2}))
        assert run.answer == "second"
        assert [body.get("stream", False) for body in s.bodies("a")] == [False, True]
        assert run.done.stop_reason is StopReason.MAX_TURNS


async def test_signs_of_life_come_until_the_last_turns_text_streams() -> None:
    async with stage("a") as s:
        s.say("a", "first", Script(text="second", hang=True, release=(enough := asyncio.Event())))
        job = chat(stream=True, reasoning_effort="high", kubefugu={"max_turns": 2})
        run = Run([])
        async for event in s.loop(ScriptedRouter(decide("a")), job, progress_s=0.05).events():
            run.events.append(event)
            kinds = [type(event).__name__ for event in run.events]
            if kinds.count("TurnStarted") == 2 and kinds[-3:] == ["Progress"] * 3:
                enough.set()
        text = kinds[kinds.index("Delta") :]
        assert "Progress" not in text
        assert run.answer == "second"


async def test_one_turn_shows_no_signs_before_its_first_byte() -> None:
    """A sign would commit the HTTP response to 200 before it is known whether there is an answer."""
    async with stage("a") as s:
        s.say("a", Script(first_byte_delay_s=0.3))
        run = await s.run(ScriptedRouter(decide("a")), chat(stream=True), progress_s=0.05)
        assert not any(isinstance(event, Progress) for event in run.events)


async def test_a_consumer_that_goes_away_closes_the_workers_socket_within_a_second() -> None:
    async with stage("a") as s:
        s.say("a", Script(chunk_delay_s=0.1, pieces=34))
        events = s.loop(ScriptedRouter(decide("a")), chat(stream=True)).events()
        async for event in events:
            if isinstance(event, Delta):
                break
        await events.aclose()  # type: ignore[attr-defined]  # a generator behind an iterator's type
        assert await until(lambda: s.upstream.requests[0].disconnected_at) < 1
        assert s.workers.client("a").admission.stats.in_flight == 0


@pytest.mark.parametrize("body", [{"stream": True}, {"stream": False}, {"stream": True, **HIGH}])
async def test_a_cancelled_request_closes_the_workers_socket_within_a_second(body: dict[str, object]) -> None:
    async with stage("a") as s:
        s.say("a", Script(hang=True))

        async def consume() -> None:
            async for _ in s.loop(ScriptedRouter(decide("a")), chat(**body)).events():
                pass

        task = asyncio.create_task(consume())
        await until(lambda: s.upstream.requests)
        task.cancel()
        assert await until(lambda: s.upstream.requests[0].disconnected_at) < 1
        with pytest.raises(asyncio.CancelledError):
            await task


async def collect(runner: PassThrough) -> Run:
    run = Run([])
    try:
        async for event in runner.events():
            run.events.append(event)
    except Exception as error:
        run.error = error
    return run


@pytest.mark.parametrize("stream", [False, True])
async def test_a_worker_called_by_its_own_name_answers_alone(stream: bool) -> None:
    async with stage("a", "b", members={"a": {"specialist": True}}) as s:
        s.say("a", Script(refusal="not mine"))
        request = chat(model="a", stream=stream, reasoning_effort="high")
        run = await collect(PassThrough(request, pool=s.workers.snapshot(), worker="a", deadline=within(30)))
        assert run.done.stop_reason is StopReason.PASS_THROUGH
        assert [event.worker for event in run.events if isinstance(event, TurnStarted)] == ["a"]
        assert s.bodies("a")[0]["reasoning_effort"] == "high", "a worker called by name gets what was sent"
        if stream:
            assert b"not mine" in run.sse
            assert run.chunks[0]["model"] == "a"
        else:
            assert run.completion["choices"][0]["message"]["refusal"] == "not mine"
            assert run.completion["model"] == "a"


async def test_a_worker_called_by_name_does_not_fail_over() -> None:
    async with stage("a", "b") as s:
        s.say("a", Script(status=400), Script(cut_after_chunks=2))
        pool = s.workers.snapshot()
        run = await collect(PassThrough(chat(model="a"), pool=pool, worker="a", deadline=within(30)))
        assert isinstance(run.error, WorkerRejectedRequestError)
        run = await collect(PassThrough(chat(model="a", stream=True), pool=pool, worker="a", deadline=within(30)))
        assert isinstance(run.error, WorkerStreamCutError)
        assert s.bodies("b") == []


async def test_a_worker_called_by_name_is_refused_what_it_does_not_declare() -> None:
    async with stage("a") as s:
        job = chat(model="a", tools=[{"type": "function", "function": {"name": "f"}}])
        with pytest.raises(UnsupportedFeatureError) as caught:
            PassThrough(job, pool=s.workers.snapshot(), worker="a", deadline=within(30))
        assert caught.value.field == "tools"
