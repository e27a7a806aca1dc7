"""`python -m kubefugu_conductor` as its own process: it starts, plans, picks up a changed pool, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.paths import REPO
from support.pools import pool_of, worker
from support.upstream import Script, Upstream

from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_core.rpc import open_channel

GOOD = 'model_id: [0]\nsubtasks: ["Say it."]\naccess_list: [[]]'


def write_pool(path: Path, *names: str, url: str) -> None:
    pool = pool_of(*(worker(name, url) for name in names))
    path.write_text(yaml.safe_dump(pool.model_dump(by_alias=True, mode="json", exclude_none=True)), encoding="utf-8")


async def serving(channel: grpc.aio.Channel, *, within_s: float = 60.0) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(within_s):
        while True:
            try:
                response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.aio.AioRpcError:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(Script(text=GOOD)) as server:
        yield server


async def test_the_process_plans_and_ends_cleanly(tmp_path: Path, upstream: Upstream) -> None:
    pool_file, listen = tmp_path / "pool.yaml", f"unix:{tmp_path}/conductor.sock"
    write_pool(pool_file, "alpha", url=upstream.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kubefugu_conductor", "--pool-file", str(pool_file), cwd=REPO,
        env={**os.environ, "KUBEFUGU_CONDUCTOR_LISTEN": listen}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with open_channel(listen) as channel:
            await serving(channel)
            stub = conductor_pb2_grpc.ConductorServiceStub(channel)
            request = pb.PlanRequest(messages_json=b'[{"role":"user","content":"Hi"}]', workers=[pb.PlanWorker(name="alpha")])
            response = await stub.Plan(request, timeout=60)
            assert (response.planner, response.workflow.steps[0].subtask) == ("alpha", "Say it.")
            write_pool(pool_file, "beta", url=upstream.url)
            async with asyncio.timeout(60):
                while (await stub.Plan(request, timeout=60)).planner != "beta":
                    await asyncio.sleep(0.05)
    finally:
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, log.decode()
    assert "Say it." not in log.decode(), "replies must not be logged"


@pytest.mark.parametrize(
    ("content", "expected"),
    [("nonsense: [", "pool.yaml"), (None, "No such file")],
)
async def test_a_pool_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: str | None, expected: str) -> None:
    pool_file = tmp_path / "pool.yaml"
    if content is not None:
        pool_file.write_text(content, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kubefugu_conductor", "--pool-file", str(pool_file), cwd=REPO, stderr=asyncio.subprocess.PIPE
    )
    _, log = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 1
    assert expected in log.decode()
    assert "Traceback" not in log.decode()
