"""The gRPC face of a planner: proto in, domain, proto out."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
import orjson

from kubefugu.common.v1 import common_pb2
from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu.router.v1 import router_pb2
from kubefugu_conductor.line import PlannerLine, Resident
from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.workflow.diagnosis import Diagnosis
from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.plan import DEFAULT_MAX_STEPS
from kubefugu_coordination.workflow.planning import PlannerPort, Planning, PlanningRequest
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.policy_sets import DeclaredSet, documents

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MAX_STEPS = 20
"""Most steps that a request may ask for; the same bound as `kubefugu.max_steps`."""


class ConductorServicer(conductor_pb2_grpc.ConductorServiceServicer):
    """Serves `Plan`."""

    def __init__(self, planner: PlannerPort, clock: Clock, line: PlannerLine | None = None) -> None:
        self._planner = planner
        self._clock = clock
        self._line = line

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        """See conductor.proto. The call's own deadline bounds both planner calls."""
        remaining_s = context.time_remaining() or 0.0
        planning = await self._planner.plan(read_request(request), deadline=Deadline.after(remaining_s, self._clock))
        return write_response(planning)

    async def GetPolicies(self, request: pb.GetPoliciesRequest, context: Context) -> pb.GetPoliciesResponse:
        """Which trained Conductors are declared, loaded, planning or refused; empty where no line is followed."""
        line = self._line
        if line is None or line.declared is None:
            return pb.GetPoliciesResponse(policies=_refused(line) if line is not None else ())
        return pb.GetPoliciesResponse(
            declared=documents.to_proto(line.declared),
            policies=[*(_loaded(line.declared, resident) for resident in line.residents.values()), *_refused(line)],
            serving_generation=line.declared.generation,
        )


def _loaded(declared: DeclaredSet, resident: Resident) -> router_pb2.PolicyStatus:
    state = router_pb2.POLICY_STATE_SHADOW
    if resident.version == declared.active:
        state = router_pb2.POLICY_STATE_ACTIVE
    elif declared.canary is not None and resident.version == declared.canary.version:
        state = router_pb2.POLICY_STATE_CANARY
    return router_pb2.PolicyStatus(version=resident.version, state=state, sha256=resident.sha256)


def _refused(line: PlannerLine) -> list[router_pb2.PolicyStatus]:
    return [
        router_pb2.PolicyStatus(
            version=version,
            state=router_pb2.POLICY_STATE_REFUSED,
            sha256=why.sha256,
            reason=why.reason,
            message=why.message,
        )
        for version, why in line.refusals.items()
    ]


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
        conversation_key=request.conversation_key,
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
        policy_version=planning.version,
    )


def _write_diagnosis(found: Diagnosis) -> pb.Diagnosis:
    return pb.Diagnosis(code=found.code.value, message=found.message, step=found.step)
