"""The Conductor over gRPC, behind the workflow's PlannerPort."""

from __future__ import annotations

import grpc
import orjson

from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_coordination.clock import Clock, Deadline
from kubefugu_coordination.workers.breaker import Breaker, BreakerSettings
from kubefugu_coordination.workers.reply import TokenUsage
from kubefugu_coordination.workflow.diagnosis import Diagnosis, PlanCode
from kubefugu_coordination.workflow.offer import OfferedWorker
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_core.errors import InternalError, UnavailableError
from kubefugu_core.rpc import from_rpc_error, open_channel

_BREAKER = BreakerSettings(failures=3, open_s=1.0, max_open_s=8.0)
"""A Conductor that is away must not cost every request its timeout: the loop answers instead."""


def request_of(request: PlanningRequest) -> pb.PlanRequest:
    """A question as the proto's request."""
    return pb.PlanRequest(
        messages_json=orjson.dumps(list(request.messages)),
        workers=[_worker(worker) for worker in request.workers],
        planner=request.planner,
        max_steps=request.max_steps,
        max_output_tokens=request.max_output_tokens,
        allow_recursion=request.allow_recursion,
        tenant=request.tenant,
        denied=list(request.denied),
        memory=request.memory,
        conversation_key=request.conversation_key,
        seed=None if request.seed is None else request.seed & 0x7FFF_FFFF_FFFF_FFFF,
    )


def _worker(worker: OfferedWorker) -> pb.PlanWorker:
    return pb.PlanWorker(
        name=worker.name,
        description=worker.description,
        input_price=worker.input_price,
        output_price=worker.output_price,
        context_tokens=worker.context_tokens,
        strengths=[pb.Strength(group=group, score=score) for group, score in worker.strengths.items()],
        narrow=worker.narrow,
    )


def planning_of(response: pb.PlanResponse) -> Planning:
    """The proto's plan as the domain's. Raises InternalError for one that a Conductor of ours would not have let pass."""
    steps = [Step(step.worker, step.subtask, tuple(step.access)) for step in response.workflow.steps]
    try:
        plan = Plan(tuple(steps))
        notes = tuple(_diagnosis(found) for found in response.diagnoses)
    except ValueError as error:
        raise InternalError(f"The Conductor's plan cannot be executed: {error}.") from error
    usage = response.usage
    return Planning(
        plan=plan,
        notes=notes,
        repaired=response.repaired,
        planner=response.planner,
        version=response.policy_version,
        usage=TokenUsage(usage.prompt_tokens, usage.completion_tokens),
        cost_usd=usage.cost_usd,
    )


def _diagnosis(found: pb.Diagnosis) -> Diagnosis:
    return Diagnosis(PlanCode(found.code), found.message, found.step if found.HasField("step") else None)


class GrpcConductor:
    """See PlannerPort. A plan costs money, so a call is not tried again; a circuit spares requests a Conductor that is away."""

    def __init__(self, target: str, *, clock: Clock) -> None:
        self._channel = open_channel(target)
        self._stub = conductor_pb2_grpc.ConductorServiceStub(self._channel)
        self._breaker = Breaker(clock, _BREAKER)

    async def plan(self, request: PlanningRequest, *, deadline: Deadline) -> Planning:
        """See PlannerPort."""
        if not self._breaker.try_acquire():
            raise UnavailableError("The Conductor did not answer repeatedly and is not asked for a moment.")
        try:
            response = await self._stub.Plan(request_of(request), timeout=max(0.001, deadline.remaining_s()))
        except grpc.aio.AioRpcError as error:
            told = from_rpc_error(error)
            # Errors with details come from a Conductor that lives, whatever its planner did.
            if type(told) is UnavailableError or isinstance(told, InternalError):
                self._breaker.failed()
            else:
                self._breaker.succeeded()
            raise told from error
        except BaseException:
            self._breaker.released()
            raise
        self._breaker.succeeded()
        return planning_of(response)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
