"""The gRPC services over a router that is ready, or not yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.errors import InvalidRequestError, KubefuguError, UnavailableError, spec_of
from kubefugu_core.policy_sets import documents
from kubefugu_router import replies
from kubefugu_router.readiness import Readiness
from kubefugu_router.registry import PolicyRegistry
from kubefugu_router.requests import parse, transcript_of
from kubefugu_router.router import Outcome, Router

MAX_BATCH = 256
Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


@dataclass
class Running:
    """What the services work with once the backbone is loaded."""

    router: Router | None = None
    registry: PolicyRegistry | None = None

    def get_router(self) -> Router:
        """Raises UnavailableError while the router is starting."""
        if self.router is None:
            raise UnavailableError("The router is loading its backbone.")
        return self.router

    def get_registry(self) -> PolicyRegistry:
        """Raises UnavailableError while the router is starting."""
        if self.registry is None:
            raise UnavailableError("The router is loading its backbone.")
        return self.registry


def _deadline(context: Context) -> float:
    remaining = context.time_remaining()
    return time.monotonic() + (remaining if remaining is not None else 0.0)


class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """Decisions."""

    def __init__(self, running: Running, failed: Callable[[str], None]) -> None:
        """`failed` is told the reason of each failed decision."""
        self._running = running
        self._failed = failed

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except KubefuguError as error:
            self._failed(spec_of(error).reason)
            raise

    async def Route(self, request: router_pb2.RouteRequest, context: Context) -> router_pb2.RouteResponse:
        """Decide one turn."""
        with self._counted():
            outcome = await self._running.get_router().route(parse(request), deadline_s=_deadline(context))
        return router_pb2.RouteResponse(decision=replies.decision(outcome))

    async def RouteBatch(self, request: router_pb2.RouteBatchRequest, context: Context) -> router_pb2.RouteBatchResponse:
        """Decide several independent turns; the engine batches them."""
        if len(request.requests) > MAX_BATCH:
            raise InvalidRequestError(f"A batch has at most {MAX_BATCH} requests.", field="requests")
        router, deadline_s = self._running.get_router(), _deadline(context)

        async def one(single: router_pb2.RouteRequest) -> Outcome | KubefuguError:
            try:
                with self._counted():
                    return await router.route(parse(single), deadline_s=deadline_s)
            except KubefuguError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(single)) for single in request.requests]
        return router_pb2.RouteBatchResponse(results=[replies.route_result(task.result()) for task in tasks])

    async def Explain(self, request: router_pb2.ExplainRequest, context: Context) -> router_pb2.ExplainResponse:
        """Decide one turn and say what went into it."""
        query, deadline_s = parse(request.request), _deadline(context)
        router = self._running.get_router()
        with self._counted():
            outcome = await router.route(query, deadline_s=deadline_s)
            others = await router.others(query, outcome.version, deadline_s=deadline_s)
        return replies.explanation(outcome, others, query)


class RouterAdminServicer(router_pb2_grpc.RouterAdminServiceServicer):
    """Policy declarations."""

    def __init__(self, running: Running, readiness: Readiness) -> None:
        self._running = running
        self._readiness = readiness
        self._applying: set[asyncio.Task[None]] = set()

    async def SetPolicies(self, request: router_pb2.SetPoliciesRequest, context: Context) -> router_pb2.SetPoliciesResponse:
        """Apply a declared policy set. It goes on when the caller goes away: it is all or nothing either way."""
        registry = self._running.get_registry()
        declared = documents.from_proto(request.policy_set)
        task = asyncio.create_task(registry.apply(declared))
        self._applying.add(task)
        task.add_done_callback(self._applied)
        await asyncio.shield(task)
        await self._readiness.refresh()
        generation = registry.declared.generation if registry.declared else 0
        return router_pb2.SetPoliciesResponse(policies=replies.statuses(registry), serving_generation=generation)

    def _applied(self, task: asyncio.Task[None]) -> None:
        self._applying.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here where the caller went away; the registry has noted and logged it

    async def GetPolicies(self, request: router_pb2.GetPoliciesRequest, context: Context) -> router_pb2.GetPoliciesResponse:
        """What is declared, loaded, serving or refused."""
        registry = self._running.get_registry()
        declared = registry.declared
        return router_pb2.GetPoliciesResponse(
            declared=documents.to_proto(declared) if declared else None,
            policies=replies.statuses(registry),
            serving_generation=declared.generation if declared else 0,
            backbone=replies.backbone(registry.host.info),
        )

    async def Probe(self, request: router_pb2.ProbeRequest, context: Context) -> router_pb2.ProbeResponse:
        """Decide a transcript with a named version on every instance."""
        if not request.policy_version:
            raise InvalidRequestError("Name a policy version.", field="policy_version")
        registry = self._running.get_registry()
        resident, answers = await registry.probe(request.policy_version, transcript_of(request.transcript))
        response = router_pb2.ProbeResponse()
        for answer in answers:
            rows = replies.row_logits(resident.artifact, answer.logits)
            response.instances.add(instance=answer.instance, rows=rows, sha256=answer.sha256)
        return response
