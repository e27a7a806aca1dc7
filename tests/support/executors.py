"""The real executor in a test's own event loop, over a scripted router service and scripted workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import orjson

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu.executor.v1 import executor_pb2_grpc
from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import KubefuguError
from kubefugu_core.rpc import from_rpc_error, open_channel
from kubefugu_executor.main import ExecutorApp
from kubefugu_executor.settings import ExecutorSettings
from support.pools import pool_of, worker
from support.router_service import RouterService, decision, router_service
from support.upstream import Script, Upstream

Decide = Callable[[router_pb2.RouteRequest], router_pb2.Decision | KubefuguError]
_numbers = iter(range(1, 1_000_000))


def request_id() -> str:
    """A new id."""
    return f"chatcmpl-{next(_numbers):032x}"


def execute_request(
    question: str = "What is it?", *, tenant: str = "acme", identity: str | None = None, **members: Any
) -> pb.ExecuteRequest:
    """An Execute request; `members` are further members of the body."""
    body = {"model": "fugu", "messages": [{"role": "user", "content": question}]} | members
    return pb.ExecuteRequest(
        chat_request_json=orjson.dumps(body), tenant=tenant, request_id=identity or request_id(), created=1700000000
    )


@dataclass
class Answer:
    """Everything that a call gave."""

    responses: list[pb.ExecuteResponse]

    @property
    def kinds(self) -> list[str]:
        return [str(response.WhichOneof("event")) for response in self.responses]

    @property
    def done(self) -> pb.Done:
        return self.responses[-1].done

    @property
    def completion(self) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(self.done.completion_json)
        return document

    @property
    def text(self) -> str:
        return str(self.completion["choices"][0]["message"]["content"])

    @property
    def sse(self) -> bytes:
        return b"".join(response.delta.sse for response in self.responses if response.HasField("delta"))


@dataclass
class Stand:
    """Executor, workers, router, and a client's stub."""

    app: ExecutorApp
    upstream: Upstream
    router: RouterService | None
    stub: executor_pb2_grpc.ExecutorServiceStub
    pool_file: Path
    target: str

    async def ask(self, request: pb.ExecuteRequest, *, timeout_s: float = 60.0) -> Answer:
        """Run a call to its end; an error is raised as the class that it was."""
        answer = Answer([])
        try:
            async for response in self.stub.Execute(request, timeout=timeout_s):
                answer.responses.append(response)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return answer

    async def decision(self, identity: str, *, tenant: str = "acme") -> dict[str, Any]:
        try:
            found = await self.stub.GetDecision(pb.GetDecisionRequest(request_id=identity, tenant=tenant), timeout=60)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        document: dict[str, Any] = orjson.loads(found.decision_json)
        return document

    def write_pool(self, *entries: dict[str, Any], **routing: Any) -> None:
        """Replace the pool file, as a mounted ConfigMap is replaced."""
        fresh = self.pool_file.with_suffix(".new")
        fresh.write_bytes(pool_of(*entries, **routing).model_dump_json(by_alias=True, exclude_none=True).encode())
        fresh.replace(self.pool_file)


@asynccontextmanager
async def executor_stand(
    folder: Path,
    *names: str,
    members: dict[str, dict[str, Any]] | None = None,
    decide: Decide | None = None,
    with_router: bool = True,
    respond: Callable[[dict[str, Any]], Script | None] | None = None,
    routing: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """Run an executor over these workers (all played by one upstream); by default the router picks the first one."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(respond=respond))
        router, target = None, f"unix:{folder / 'nobody.sock'}"
        if with_router:
            made = router_service(decide or (lambda request: decision(*[worker.name for worker in request.allowed])))
            router, target = await stack.enter_async_context(made)
        pool_file = folder / "pool.json"
        entries = [worker(name, upstream.url, **(members or {}).get(name, {})) for name in names]
        pool = pool_of(*entries, **(routing or {}))
        pool_file.write_bytes(pool.model_dump_json(by_alias=True, exclude_none=True).encode())
        options = {"decisions_url": f"sqlite:///{folder / 'decisions.db'}", "listen": "127.0.0.1:0"} | settings
        app = ExecutorApp(ExecutorSettings(pool_file=pool_file, router_target=target, **options))
        stack.push_async_callback(app.stop)
        await app.start()
        stack.push_async_callback(app.server.stop, 0)
        if app.workflows is not None:
            await app.workflows.first_try()
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{app.server.port}"))
        stub = executor_pb2_grpc.ExecutorServiceStub(channel)
        yield Stand(app, upstream, router, stub, pool_file, f"127.0.0.1:{app.server.port}")
