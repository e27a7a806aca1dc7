"""fugu-ultra over real gRPC: executor and Conductor as services, workers and planner scripted behind real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.conductors import conductor_service
from support.executors import Stand, execute_request, executor_stand, request_id
from support.upstream import Script, Upstream
from support.waiting import until
from support.workflows import plan_text

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_coordination.workflow.record import record_svg

TWO_FACTS = plan_text((1, "Find A.", []), (2, "Find B.", []), (0, "Join A and B.", "all"))
ANSWERS = {"writer-model": "A and B.", "alpha-model": "A is 1.", "beta-model": "B is 2."}


def respond(body: dict[str, Any]) -> Script:
    return Script(text=ANSWERS[body["model"]])


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[tuple[Stand, Upstream]]:
    async with AsyncExitStack() as stack:
        planner, target = await stack.enter_async_context(conductor_service())
        planner.default = Script(text=TWO_FACTS)
        made = executor_stand(
            tmp_path,
            *("writer", "alpha", "beta"),
            respond=respond,
            conductor_target=target,
            state_url=f"sqlite:///{tmp_path}/state.db",
        )
        yield await stack.enter_async_context(made), planner


async def test_a_workflow_and_its_events(stand: tuple[Stand, Upstream]) -> None:
    s, _ = stand
    answer = await s.ask(execute_request(model="fugu-ultra"))
    assert answer.text == "A and B."
    assert answer.kinds[0] == "planned"
    assert sorted(answer.kinds[1:5]) == ["step_ended", "step_ended", "step_started", "step_started"]
    assert answer.kinds[5:] == ["step_started", "step_ended", "done"]
    planned = answer.responses[0].planned
    assert orjson.loads(planned.plan_json)["steps"][2] == {"worker": "writer", "subtask": "Join A and B.", "access": [0, 1]}
    ended = answer.responses[-2].step_ended
    assert (ended.step, ended.worker, ended.outcome, ended.usage.prompt_tokens) == (2, "writer", pb.TURN_OUTCOME_OK, 11)
    assert (answer.done.worker, answer.done.turns, answer.done.usage.prompt_tokens) == ("writer", 3, 44)


async def test_the_model_is_listed(stand: tuple[Stand, Upstream]) -> None:
    s, _ = stand
    models = await s.stub.ListModels(pb.ListModelsRequest(), timeout=60)
    assert [model.id for model in models.models][:2] == ["fugu", "fugu-ultra"]


async def test_the_record_tells_graph_and_calls_but_no_content(stand: tuple[Stand, Upstream]) -> None:
    s, _ = stand
    s.upstream.respond = lambda body: Script(status=500) if body["model"] == "alpha-model" else respond(body)
    identity = request_id()
    await s.ask(execute_request(model="fugu-ultra", identity=identity))
    record = await s.decision(identity)
    assert (record["mode"], record["stop_reason"], record["worker"]) == ("fugu-ultra", "workflow", "writer")
    assert record["limits"]["max_steps"] == 5
    plan = record["workflow"]["plans"][0]
    assert plan["planner"] == "planner"
    assert plan["steps"] == [
        {"worker": "alpha", "access": []},
        {"worker": "beta", "access": []},
        {"worker": "writer", "access": [0, 1]},
    ]
    calls = [(call["step"], call["worker"], call["outcome"]) for call in record["workflow"]["calls"]]
    assert sorted(calls) == [(0, "alpha", "failed"), (0, "writer", "ok"), (1, "beta", "ok"), (2, "writer", "ok")]
    assert all(call["duration_ms"] > 0 and call["started_ms"] > 0 for call in record["workflow"]["calls"])
    assert "Find A" not in orjson.dumps(record).decode()
    svg = record_svg(record["workflow"])
    assert svg is not None
    assert "alpha → writer" in svg


async def test_a_streamed_workflow(stand: tuple[Stand, Upstream]) -> None:
    s, _ = stand
    answer = await s.ask(execute_request(model="testpool/fugu-ultra", stream=True))
    assert answer.sse.endswith(b"data: [DONE]\n\n")
    assert b"A is 1" not in answer.sse
    assert answer.done.completion_json == b""


@pytest.mark.parametrize("fault", ["invalid", "planner down", "conductor away"])
async def test_without_a_plan_the_loop_answers_and_the_record_says_why(
    stand: tuple[Stand, Upstream], fault: str, tmp_path: Path
) -> None:
    s, planner = stand
    expected = {"invalid": "INVALID_PLAN", "planner down": "WORKER_ERROR", "conductor away": "UNAVAILABLE"}[fault]
    planner.default = Script(text="no plan") if fault == "invalid" else Script(status=500)
    async with AsyncExitStack() as stack:
        if fault == "conductor away":
            (tmp_path / "other").mkdir()
            options = {"conductor_target": f"unix:{tmp_path}/nobody.sock", "state_url": f"sqlite:///{tmp_path}/other/state.db"}
            s = await stack.enter_async_context(executor_stand(tmp_path / "other", "writer", respond=respond, **options))
        identity = request_id()
        answer = await s.ask(execute_request(model="fugu-ultra", identity=identity))
        assert answer.text == "A and B."
        record = await s.decision(identity)
        assert record["workflow"]["fallback"]["error"]["reason"] == expected
        assert record["turns"][0]["attempts"][0]["worker"] == "writer"
        assert (record["mode"], record["stop_reason"]) == ("fugu-ultra", "single_turn")


async def test_cancelling_the_call_closes_every_socket(stand: tuple[Stand, Upstream]) -> None:
    s, _ = stand
    s.upstream.respond = lambda body: Script(hang=True)
    call = s.stub.Execute(execute_request(model="fugu-ultra"), timeout=60)
    reader = aiter(call)
    await anext(reader)
    await until(lambda: len(s.upstream.requests) == 2)
    call.cancel()
    assert await until(lambda: all(request.disconnected_at for request in s.upstream.requests)) < 1


async def test_cancelling_while_it_plans_closes_the_planners_socket(stand: tuple[Stand, Upstream]) -> None:
    s, planner = stand
    planner.default = Script(hang=True)
    call = s.stub.Execute(execute_request(model="fugu-ultra"), timeout=60)
    await until(lambda: planner.requests)
    call.cancel()
    assert await until(lambda: planner.requests[0].disconnected_at) < 1


async def test_strengths_are_told_to_the_planner(tmp_path: Path) -> None:
    (tmp_path / "strengths.json").write_bytes(orjson.dumps({"writer": {"essays": 0.9, "sums": 0.2}}))
    async with conductor_service() as (planner, target):
        planner.default = Script(text=plan_text((0, "Write.", [])))
        options = {"conductor_target": target, "state_url": f"sqlite:///{tmp_path}/state.db"}
        async with executor_stand(
            tmp_path, "writer", respond=respond, strengths_file=tmp_path / "strengths.json", **options
        ) as s:
            await s.ask(execute_request(model="fugu-ultra"))
    assert "measured: essays 0.90, sums 0.20" in planner.requests[0].body["messages"][-1]["content"]


async def test_steps_and_plans_are_counted(stand: tuple[Stand, Upstream]) -> None:
    s, planner = stand
    await s.ask(execute_request(model="fugu-ultra"))
    planner.default = Script(text="no plan")
    await s.ask(execute_request(model="fugu-ultra"))
    value = s.app.metrics.registry.get_sample_value
    assert value("kubefugu_executor_plans_total", {"outcome": "ok"}) == 1
    assert value("kubefugu_executor_plans_total", {"outcome": "invalid_plan"}) == 1
    assert value("kubefugu_executor_steps_total", {"outcome": "ok"}) == 3
    assert value("kubefugu_executor_tokens_total", {"worker": "alpha", "kind": "prompt"}) == 11
