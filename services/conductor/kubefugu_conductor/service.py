"""The gRPC face of a planner: proto in, domain, proto out."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
import orjson

from kubefugu.common.v1 import common_pb2
from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.workflow.diagnosis import Diagnosis
from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.plan import DEFAULT_MAX_STEPS
from kubefugu_coordination.workflow.planning import PlannerPort, Planning, PlanningRequest
from kubefugu_core.errors import InvalidRequestError

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MAX_STEPS = 20
"""Most steps that a request may ask for; the same bound as `kubefugu.max_steps`."""


class ConductorServicer(conductor_pb2_grpc.ConductorServiceServicer):
    """Serves `Plan`."""

    def __init__(self, planner: PlannerPort, clock: Clock) -> None:
        self._planner = planner
        self._clock = clock

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        """See conductor.proto. The call's own deadline bounds both planner calls."""
        remaining_s = context.time_remaining() or 0.0
        planning = await self._planner.plan(read_request(request), deadline=Deadline.after(remaining_s, self._clock))
        return write_response(planning)


def read_request(request: pb.PlanRequest) -> PlanningRequest:
    """Raises InvalidRequestError naming the field."""
    try:
        messages = orjson.loads(request.messages_json)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError("messages_json is no JSON.", field="messages_json") from error
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise InvalidRequestError("messages_json must be a non-empty array of objects.", field="messages_json")
    if request.max_steps > MAX_STEPS:
        raise InvalidRequestError(f"max_steps is at most {MAX_STEPS}.", field="max_steps")
    names = [worker.name for worker in request.workers]
    if not names or "" in names or len(set(names)) != len(names):
        raise InvalidRequestError("workers need names, each its own.", field="workers")
    return PlanningRequest(
        messages=messages,
        workers=tuple(_read_worker(worker) for worker in request.workers),
        max_steps=request.max_steps or DEFAULT_MAX_STEPS,
        planner=request.planner,
        denied=tuple(request.denied),
        allow_recursion=request.allow_recursion,
        max_output_tokens=request.max_output_tokens,
        memory=request.memory,
        tenant=request.tenant,
        seed=request.seed if request.HasField("seed") else None,
    )


def _read_worker(worker: pb.PlanWorker) -> OfferedWorker:
    return OfferedWorker(
        worker.name,
        worker.description,
        worker.input_price,
        worker.output_price,
        worker.context_tokens,
        {strength.group: strength.score for strength in worker.strengths},
        worker.narrow,
    )


def write_response(planning: Planning) -> pb.PlanResponse:
    """The response of an accepted plan. All its tokens are orchestration: none of them is the answer."""
    spent = planning.usage
    usage = common_pb2.Usage(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        orchestration_input_tokens=spent.prompt_tokens,
        orchestration_output_tokens=spent.completion_tokens,
        cost_usd=planning.cost_usd,
    )
    steps = [pb.Step(worker=step.worker, subtask=step.subtask, access=step.access) for step in planning.plan.steps]
    return pb.PlanResponse(
        workflow=pb.Workflow(steps=steps),
        usage=usage,
        diagnoses=[_write_diagnosis(found) for found in planning.notes],
        repaired=planning.repaired,
        planner=planning.planner,
    )


def _write_diagnosis(found: Diagnosis) -> pb.Diagnosis:
    return pb.Diagnosis(code=found.code.value, message=found.message, step=found.step)
