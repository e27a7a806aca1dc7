"""The Conductor over gRPC, its planner a real HTTP server on script."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from support.pools import CLOCK, pool_of, worker
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_conductor.planner import PoolPlanner
from kubefugu_conductor.planner_call import PlannerOptions
from kubefugu_conductor.service import ConductorServicer
from kubefugu_coordination.workers import RetryPolicy, WorkerSet
from kubefugu_core.errors import (
    DeadlineExceededError,
    InvalidPlanError,
    InvalidRequestError,
    NoWorkerAvailableError,
    WorkerError,
)
from kubefugu_core.rpc import RpcServer, from_rpc_error, open_channel

SERVICE = "kubefugu.conductor.v1.ConductorService"
GOOD = 'model_id: [1, 0]\nsubtasks: ["Convert 3 miles to km.", "State it."]\naccess_list: [[], [0]]'
BAD = 'model_id: [1, 7]\nsubtasks: ["Convert.", "State it."]\naccess_list: [[], [0]]'
Stub = Callable[..., Any]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def conductor(upstream: Upstream) -> AsyncIterator[Stub]:
    """Starts a Conductor over a pool; the returned function calls Plan."""
    async with AsyncExitStack() as stack:

        async def start(*workers: dict[str, Any], **routing: Any) -> Stub:
            pool = pool_of(*(workers or (worker("writer", upstream.url), worker("units", upstream.url))), **routing)
            clients = WorkerSet(pool, retry=RetryPolicy(attempts=1))
            stack.push_async_callback(clients.close)
            server = RpcServer("127.0.0.1:0", services=[SERVICE])
            planner = PoolPlanner(clients.snapshot, PlannerOptions())
            conductor_pb2_grpc.add_ConductorServiceServicer_to_server(ConductorServicer(planner, CLOCK), server.grpc)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{server.port}"))
            stub = conductor_pb2_grpc.ConductorServiceStub(channel)

            async def plan(*, timeout_s: float = 10.0, **fields: Any) -> pb.PlanResponse:
                messages = [{"role": "user", "content": "How far is 3 miles in km?"}]
                offered = [pb.PlanWorker(name=spec.name, description=spec.description) for spec in pool.spec.workers]
                request = pb.PlanRequest(**({"messages_json": json.dumps(messages).encode(), "workers": offered} | fields))
                try:
                    return await stub.Plan(request, timeout=timeout_s)
                except grpc.aio.AioRpcError as error:
                    raise from_rpc_error(error) from error

            return plan

        yield start


def steps(response: pb.PlanResponse) -> list[tuple[str, str, list[int]]]:
    return [(step.worker, step.subtask, list(step.access)) for step in response.workflow.steps]


async def test_a_plan_comes_back_with_workers_by_name_and_its_usage(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=GOOD))
    prices = {"inputPerMillionTokens": "1000000", "outputPerMillionTokens": "1000000"}
    plan = await conductor(worker("writer", upstream.url, prices=prices), worker("units", upstream.url))
    response = await plan()
    assert steps(response) == [("units", "Convert 3 miles to km.", []), ("writer", "State it.", [0])]
    assert response.planner == "writer"
    assert not response.repaired
    usage = response.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (11, 7, 18)
    assert (usage.orchestration_input_tokens, usage.orchestration_output_tokens) == (11, 7)


async def test_the_planner_sees_the_pool_the_task_and_the_step_limit(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=GOOD))
    offered = [
        pb.PlanWorker(name="writer", description="Writes."),
        pb.PlanWorker(
            name="units",
            input_price="0.5",
            output_price="2",
            context_tokens=4096,
            strengths=[pb.Strength(group="units", score=0.97), pb.Strength(group="dates", score=0.1)],
        ),
    ]
    await (await conductor())(workers=offered, max_steps=3, memory="Tool calls so far: none.")
    body = upstream.requests[0].body
    assert "at most 3" in body["messages"][0]["content"]
    asked = body["messages"][-1]["content"]
    assert "0: writer - Writes." in asked
    expected = "1: units (measured: units 0.97, dates 0.10; price per million tokens: $0.5 in, $2 out; context: 4096 tokens)"
    assert expected in asked
    assert "How far is 3 miles in km?" in asked
    assert "Tool calls so far: none." in asked
    assert "response_format" not in body


async def test_one_repair_turn_shows_what_was_wrong(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=BAD), Script(text=GOOD))
    response = await (await conductor())()
    assert response.repaired
    assert [(found.code, found.step) for found in response.diagnoses] == [("ID_OUT_OF_RANGE", 1)]
    assert response.usage.prompt_tokens == 22
    repair = upstream.requests[1].body["messages"]
    assert repair[:-2] == upstream.requests[0].body["messages"]
    assert repair[-2] == {"role": "assistant", "content": BAD}
    assert "ID_OUT_OF_RANGE (step 1): The worker id 7 does not exist" in repair[-1]["content"]


async def test_a_plan_that_stays_invalid_is_an_error_with_its_diagnoses_and_its_usage(
    conductor: Stub, upstream: Upstream
) -> None:
    upstream.plan(Script(text="I would ask the units expert."), Script(text=BAD))
    with pytest.raises(InvalidPlanError, match="ID_OUT_OF_RANGE") as caught:
        await (await conductor())()
    assert len(upstream.requests) == 2
    assert [found["code"] for found in json.loads(caught.value.metadata["diagnoses"])] == ["ID_OUT_OF_RANGE"]
    assert json.loads(caught.value.metadata["usage"]) == {"prompt_tokens": 22, "completion_tokens": 14, "cost_usd": 0.0}


async def test_a_thousand_wrong_steps_still_fit_into_the_error(conductor: Stub, upstream: Upstream) -> None:
    huge = f"model_id: {[9] * 1000}\nsubtasks: {['a'] * 1000}\naccess_list: {['all'] * 1000}"
    upstream.plan(Script(text=huge), Script(text=huge))
    with pytest.raises(InvalidPlanError) as caught:
        await (await conductor())()
    assert len(json.loads(caught.value.metadata["diagnoses"])) == 16


async def test_decoding_is_constrained_where_the_worker_declares_it(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text='{"model_id": [0], "subtasks": ["Say it."], "access_list": [[]]}'))
    plan = await conductor(worker("writer", upstream.url, capabilities=["jsonSchema"]), worker("units", upstream.url))
    assert steps(await plan(max_steps=2)) == [("writer", "Say it.", [])]
    schema = upstream.requests[0].body["response_format"]["json_schema"]["schema"]
    assert len(schema["anyOf"]) == 2
    assert schema["anyOf"][1]["properties"]["workers"]["prefixItems"][0]["enum"] == ["writer", "units"]
    assert "- writer" in upstream.requests[0].body["messages"][-1]["content"]


async def test_a_server_that_refuses_the_schema_is_asked_for_text_and_remembered(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(status=400), Script(text=GOOD), Script(text=GOOD))
    plan = await conductor(worker("writer", upstream.url, capabilities=["jsonSchema"]), worker("units", upstream.url))
    for _ in range(2):
        assert steps(await plan())[0][0] == "units"
    assert ["response_format" in request.body for request in upstream.requests] == [True, False, False]


async def test_recursion_offers_the_conductor_behind_the_others(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text='model_id: [2]\nsubtasks: ["Plan it."]\naccess_list: [[]]'))
    response = await (await conductor())(allow_recursion=True)
    assert steps(response) == [("@conductor", "Plan it.", [])]
    assert "2: @conductor - The planner itself" in upstream.requests[0].body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, "writer"), ({"planner": "units"}, "units"), ({"denied": ["writer"]}, "units")],
)
async def test_who_plans(conductor: Stub, upstream: Upstream, fields: dict[str, Any], expected: str) -> None:
    upstream.default = Script(text=GOOD)
    assert (await (await conductor())(**fields)).planner == expected


async def test_a_named_planner_that_is_denied_is_not_replaced(conductor: Stub, upstream: Upstream) -> None:
    """Whoever denies a worker may do so because it must not see the conversation; a plan by another one is not asked for."""
    plan = await conductor(planner="writer")
    with pytest.raises(NoWorkerAvailableError):
        await plan(denied=["writer"])
    with pytest.raises(InvalidRequestError):
        await plan(planner="units", denied=["units"])
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages_json": b"{"}, "messages_json"),
        ({"messages_json": b"[]"}, "messages_json"),
        ({"messages_json": b"[1]"}, "messages_json"),
        ({"workers": []}, "workers"),
        ({"workers": [pb.PlanWorker(name="a"), pb.PlanWorker(name="a")]}, "workers"),
        ({"max_steps": 21}, "max_steps"),
        ({"planner": "nobody"}, "kubefugu.planner"),
    ],
)
async def test_bad_requests_name_the_field(conductor: Stub, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await (await conductor())(**fields)
    assert caught.value.field == field


async def test_the_calls_deadline_reaches_the_planner(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(hang=True))
    with pytest.raises(DeadlineExceededError):
        await (await conductor())(timeout_s=1)
    await until(lambda: upstream.requests[0].disconnected_at)


async def test_a_planner_that_fails_in_its_repair_turn_is_charged_for_the_first(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=BAD), Script(status=500))
    with pytest.raises(WorkerError) as caught:
        await (await conductor())()
    assert json.loads(caught.value.metadata["usage"])["prompt_tokens"] == 11


LOSING = 'model_id: [0, 1]\nsubtasks: ["Find A.", "Convert 3 miles."]\naccess_list: [[], []]'


async def test_a_plan_that_loses_results_gets_its_repair_turn(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=LOSING), Script(text=GOOD))
    response = await (await conductor())()
    assert response.repaired
    assert steps(response)[-1] == ("writer", "State it.", [0])
    told = upstream.requests[1].body["messages"][-1]["content"]
    assert "STEP_UNUSED (step 0)" in told
    assert response.usage.prompt_tokens == 22


@pytest.mark.parametrize("second", [Script(text="no plan"), Script(text=LOSING), Script(status=500)])
async def test_a_plan_whose_losses_stay_is_taken_as_it_is(conductor: Stub, upstream: Upstream, second: Script) -> None:
    upstream.plan(Script(text=LOSING), second)
    response = await (await conductor())()
    assert not response.repaired
    assert steps(response) == [("units", "Convert 3 miles.", [])]
    assert [found.code for found in response.diagnoses] == ["STEP_UNUSED"]


async def test_a_narrow_worker_that_is_given_results_is_a_loss(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(
        Script(text='model_id: [0, 1]\nsubtasks: ["Find A.", "Convert it."]\naccess_list: [[], [0]]'), Script(text=GOOD)
    )
    offered = [pb.PlanWorker(name="writer"), pb.PlanWorker(name="units", narrow=True)]
    response = await (await conductor())(workers=offered)
    assert "RESULTS_UNREAD" in upstream.requests[1].body["messages"][-1]["content"]
    assert response.repaired


async def test_a_requests_seed_goes_to_the_planner(conductor: Stub, upstream: Upstream) -> None:
    upstream.plan(Script(text=GOOD), Script(text=GOOD))
    plan = await conductor()
    await plan(seed=17)
    await plan()
    assert [request.body.get("seed") for request in upstream.requests] == [17, None]
