"""An executor service that does what a script says: for faults of the executor, never for what the real one should do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu_core.errors import DecisionNotFoundError
from kubefugu_core.rpc import RpcServer

SERVICE = "kubefugu.executor.v1.ExecutorService"
Response = executor_pb2.ExecuteResponse
Script = Callable[[executor_pb2.ExecuteRequest], AsyncIterator[Response]]


@dataclass
class ScriptedExecutor(executor_pb2_grpc.ExecutorServiceServicer):
    """Plays `script` for every Execute call and notes what it was asked and whether it was cancelled."""

    script: Script | None = None
    requests: list[executor_pb2.ExecuteRequest] = field(default_factory=list)
    remaining_s: list[float] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    decisions: dict[tuple[str, str], bytes] = field(default_factory=dict)
    models: list[executor_pb2.Model] = field(default_factory=list)

    async def Execute(self, request: executor_pb2.ExecuteRequest, context: Any) -> AsyncIterator[Response]:
        self.requests.append(request)
        self.remaining_s.append(context.time_remaining())
        self.started.set()
        assert self.script is not None
        try:
            async for response in self.script(request):
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    async def GetDecision(self, request: executor_pb2.GetDecisionRequest, context: Any) -> executor_pb2.GetDecisionResponse:
        found = self.decisions.get((request.tenant, request.request_id))
        if found is None:
            raise DecisionNotFoundError(f"No decision record {request.request_id}.", field="request_id")
        return executor_pb2.GetDecisionResponse(decision_json=found)

    async def ListModels(self, request: executor_pb2.ListModelsRequest, context: Any) -> executor_pb2.ListModelsResponse:
        return executor_pb2.ListModelsResponse(models=self.models)


@asynccontextmanager
async def scripted_executor(
    script: Script | None = None, *, serving: bool = True, port: int = 0
) -> AsyncIterator[tuple[ScriptedExecutor, str]]:
    """Run one on a free port; yields it and its gRPC target."""
    servicer = ScriptedExecutor(script)
    server = RpcServer(f"127.0.0.1:{port}", services=[SERVICE])
    executor_pb2_grpc.add_ExecutorServiceServicer_to_server(servicer, server.grpc)
    await server.start()
    await server.set_serving(serving)
    try:
        yield servicer, f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


def turn_started(worker: str = "alpha", *, turn: int = 1, attempt: int = 1) -> Response:
    return Response(
        turn_started=executor_pb2.TurnStarted(
            turn=turn, attempt=attempt, worker=worker, role=common_pb2.ROLE_SOLVER, policy_version="v1"
        )
    )


def chunk(request: executor_pb2.ExecuteRequest, text: str | None = None, *, finish: str | None = None, **more: Any) -> Response:
    """A delta with one complete SSE event, as the executor writes them."""
    body = {
        "id": request.request_id,
        "object": "chat.completion.chunk",
        "created": request.created,
        "model": orjson.loads(request.chat_request_json)["model"],
        "choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}],
        **more,
    }
    return sse(b"data: " + orjson.dumps(body) + b"\n\n")


def sse(raw: bytes) -> Response:
    return Response(delta=executor_pb2.Delta(sse=raw))


def done(request: executor_pb2.ExecuteRequest, text: str | None = None, *, worker: str = "alpha", turns: int = 1) -> Response:
    """The last event; with `text` it carries the whole completion."""
    completion = b""
    if text is not None:
        completion = orjson.dumps(
            {
                "id": request.request_id,
                "object": "chat.completion",
                "created": request.created,
                "model": orjson.loads(request.chat_request_json)["model"],
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
                ],
                "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            }
        )
    return Response(
        done=executor_pb2.Done(
            completion_json=completion,
            worker=worker,
            role=common_pb2.ROLE_SOLVER,
            policy_version="v1",
            turns=turns,
            usage=common_pb2.Usage(
                prompt_tokens=7, completion_tokens=5, orchestration_input_tokens=3, orchestration_output_tokens=2
            ),
        )
    )


async def say_hello(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
    """A request that goes well: one turn of worker alpha that says "Hello world"."""
    yield turn_started()
    if orjson.loads(request.chat_request_json).get("stream"):
        for piece in ("Hello", " world"):
            yield chunk(request, piece)
        yield chunk(request, finish="stop")
        yield sse(b"data: [DONE]\n\n")
        yield done(request)
    else:
        yield done(request, "Hello world")
