"""A workflow that waits for tools outlives the replica that parked it: kill -9, and another process goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.conductors import conductor_service
from support.executors import Answer, execute_request
from support.pools import pool_of, worker
from support.redis import redis_server
from support.router_service import decision, router_service
from support.upstream import Script, Upstream
from support.workflows import plan_text

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu.executor.v1 import executor_pb2_grpc
from kubefugu_core.errors import WorkflowExpiredError
from kubefugu_core.rpc import from_rpc_error, open_channel

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
QUESTION = {"role": "user", "content": "What is A?"}
CALL = {"id": "own", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def respond(body: dict[str, Any]) -> Script:
    """alpha looks first and then knows; writer joins."""
    if body["model"] == "writer-model":
        return Script(text="A is what was seen.")
    if any(message["role"] == "tool" for message in body["messages"]):
        return Script(text="Seen.")
    return Script(text=None, tool_calls=[CALL], finish_reason="tool_calls")


@asynccontextmanager
async def replica(
    folder: Path, name: str, *arguments: str
) -> AsyncIterator[tuple[Process, executor_pb2_grpc.ExecutorServiceStub]]:
    target = f"unix:{folder / name}.sock"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KUBEFUGU_")}
    environment["KUBEFUGU_HOME"] = str(folder / name)
    command = (sys.executable, "-m", "kubefugu_executor", "--listen", target, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL, env=environment)
    try:
        async with open_channel(target) as channel:
            stub = executor_pb2_grpc.ExecutorServiceStub(channel)
            await stub.ListModels(pb.ListModelsRequest(), timeout=60, wait_for_ready=True)
            yield process, stub
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(stub: executor_pb2_grpc.ExecutorServiceStub, *messages: dict[str, Any], tenant: str = "acme") -> Answer:
    request = execute_request(model="fugu-ultra", messages=list(messages), tools=TOOLS, tenant=tenant)
    try:
        return Answer([response async for response in stub.Execute(request, timeout=60)])
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


@pytest.fixture(params=["sqlite", "redis"])
async def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    async with redis_server(tmp_path) as url:
        yield url


async def test_a_killed_replicas_workflow_goes_on_at_another(tmp_path: Path, state_url: str) -> None:
    async with AsyncExitStack() as stack:
        planner, conductor = await stack.enter_async_context(conductor_service())
        planner.default = Script(text=plan_text((1, "Look at A.", []), (0, "Say A.", [0])))
        upstream = await stack.enter_async_context(Upstream(respond=respond))
        _, router = await stack.enter_async_context(router_service(lambda request: decision("writer")))
        pool = tmp_path / "pool.json"
        entries = [worker(name, upstream.url, capabilities=["tools"]) for name in ("writer", "alpha")]
        pool.write_text(pool_of(*entries).model_dump_json(by_alias=True, exclude_none=True))
        arguments = ("--pool-file", str(pool), "--router-target", router, "--conductor-target", conductor)
        arguments += ("--state-url", state_url)
        (first, one), (_, two) = await asyncio.gather(
            stack.enter_async_context(replica(tmp_path, "one", *arguments)),
            stack.enter_async_context(replica(tmp_path, "two", *arguments)),
        )
        parked = await ask(one, QUESTION)
        message = parked.completion["choices"][0]["message"]
        (call,) = message["tool_calls"]
        assert call["function"]["name"] == "look"

        first.send_signal(signal.SIGKILL)
        await first.wait()

        told = {"role": "tool", "tool_call_id": call["id"], "content": "it is blue"}
        said = {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}
        with pytest.raises(WorkflowExpiredError):
            await ask(two, QUESTION, said, told, tenant="mallory")
        answer = await ask(two, QUESTION, said, told)
        assert answer.text == "A is what was seen."
        assert len(planner.requests) == 1, "the plan is not made again"
        seen = [request.body["messages"][-1] for request in upstream.requests if request.body["model"] == "alpha-model"]
        assert seen[-1] == {"role": "tool", "tool_call_id": "own", "content": "it is blue"}
