"""The executor as a process: help, refusals at the start, drain on SIGTERM, what survives."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from support.executors import Answer, execute_request
from support.pools import pool_of, worker
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu.executor.v1 import executor_pb2_grpc
from kubefugu_core.rpc import open_channel


async def start(*arguments: str, home: Path) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KUBEFUGU_")}
    environment["KUBEFUGU_HOME"] = str(home)
    command = (sys.executable, "-m", "kubefugu_executor", *arguments)
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, env=environment)


async def output(process: Process) -> str:
    text, _ = await asyncio.wait_for(process.communicate(), 90)
    return text.decode()


@asynccontextmanager
async def running(folder: Path, url: str) -> AsyncIterator[tuple[Process, executor_pb2_grpc.ExecutorServiceStub]]:
    pool = folder / "pool.json"
    pool.write_text(pool_of(worker("a", url)).model_dump_json(by_alias=True, exclude_none=True))
    target = f"unix:{folder / 'e.sock'}"
    database = f"sqlite:///{folder / 'decisions.db'}"
    process = await start(
        *("--pool-file", str(pool), "--listen", target, "--decisions-url", database, "--drain-seconds", "5"), home=folder
    )
    try:
        async with open_channel(target) as channel:
            stub = executor_pb2_grpc.ExecutorServiceStub(channel)
            await stub.ListModels(pb.ListModelsRequest(), timeout=60, wait_for_ready=True)
            yield process, stub
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def collect(stub: executor_pb2_grpc.ExecutorServiceStub, request: pb.ExecuteRequest) -> Answer:
    return Answer([response async for response in stub.Execute(request, timeout=60)])


async def test_help_works_without_configuration(tmp_path: Path) -> None:
    process = await start("--help", home=tmp_path)
    text = await output(process)
    assert process.returncode == 0
    for flag in ("--pool-file", "--router-target", "--conductor-target", "--decisions-url", "--keys-dir"):
        assert flag in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "pool_file: Field required"),
        (("--pool-file", "/nonexistent/pool.yaml"), "/nonexistent/pool.yaml"),
        (("--pool-file", "POOL", "--decisions-url", "ftp://x"), "not ftp"),
    ],
)
async def test_a_start_that_cannot_work_ends_with_a_sentence(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    pool = tmp_path / "pool.json"
    pool.write_text(pool_of(worker("a", "http://127.0.0.1:1/v1")).model_dump_json(by_alias=True, exclude_none=True))
    process = await start(*(str(pool) if argument == "POOL" else argument for argument in arguments), home=tmp_path)
    text = await output(process)
    assert process.returncode == 1
    assert text.startswith("kubefugu-executor: ")
    assert says in text
    assert "Traceback" not in text


async def test_sigterm_lets_requests_in_flight_end_and_writes_their_records(tmp_path: Path) -> None:
    async with Upstream() as upstream, running(tmp_path, upstream.url) as (process, stub):
        upstream.default = Script(chunk_delay_s=0.1, pieces=10)
        request = execute_request(stream=True, identity="chatcmpl-drain")
        call = asyncio.create_task(collect(stub, request))
        await until(lambda: upstream.requests)
        process.send_signal(signal.SIGTERM)
        assert (await call).sse.endswith(b"data: [DONE]\n\n")
        assert await asyncio.wait_for(process.wait(), 60) == 0
    connection = sqlite3.connect(tmp_path / "decisions.db")
    (payload,) = connection.execute("SELECT payload FROM decisions WHERE record_id = 'chatcmpl-drain'").fetchone()
    connection.close()
    assert orjson.loads(payload)["status"] == "ok"


async def test_records_survive_sigkill_once_they_are_written(tmp_path: Path) -> None:
    def rows() -> int:
        if not (tmp_path / "decisions.db").exists():
            return 0
        connection = sqlite3.connect(tmp_path / "decisions.db")
        try:
            return int(connection.execute("SELECT COUNT(*) FROM decisions").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
        finally:
            connection.close()

    async with Upstream() as upstream, running(tmp_path, upstream.url) as (process, stub):
        await collect(stub, execute_request(identity="chatcmpl-kill"))
        await until(lambda: rows() == 1)
        process.kill()
        await process.wait()
    assert rows() == 1


async def test_nothing_of_a_request_is_logged(tmp_path: Path) -> None:
    async with Upstream() as upstream, running(tmp_path, upstream.url) as (process, stub):
        upstream.plan(Script(text="hush-hush reply"), Script(status=400, body=b'{"error": {"message": "hush-hush said"}}'))
        await collect(stub, execute_request("hush-hush question"))
        with pytest.raises(Exception, match="hush-hush said"):
            await collect(stub, execute_request("hush-hush question"))
        process.terminate()
        text = await output(process)
        assert "executor_ready" in text
        assert "hush" not in text
