"""The operator on many objects: 500 pools and 500 runs on a real API server, nothing else in the cluster.

    python benchmarks/reconcile.py [--quick] [--json FILE]

etcd, kube-apiserver and the operator are processes of this machine and share its cores with this program. Measured: how fast
all objects get their first status and children, how long an edit takes to be acted on while the rest is at peace, what a second
pass over everything costs and how many writes it sends (the API server's audit log is the witness), the operator's memory and
CPU time, and whether one object that fails for ever delays the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.apiserver import ApiServer, install_crds, running
from support.manifests import training_run, worker_pool
from support.operator_process import OperatorProcess, operator_process
from support.ports import free_port

from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import Body, Ref

NAMESPACE = "scale"
EDITS = 20


@contextmanager
def operator(server: ApiServer) -> Iterator[tuple[OperatorProcess, psutil.Process]]:
    """The operator as a process of its own; no resync and no second probe while the benchmark lasts."""
    flags = ("--resync-seconds", "3600", "--probe-seconds", "3600", "--log-level", "error")
    with operator_process(server, NAMESPACE, *flags) as running_operator:
        yield running_operator, psutil.Process(running_operator.process.pid)


def named(body: Body, name: str, **spec: Any) -> Body:
    """A copy of a manifest under another name."""
    return {**body, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {**body["spec"], **spec}}


async def create(api: HttpApi, bodies: list[Body]) -> None:
    """Create them, eight at a time."""
    gate = asyncio.Semaphore(8)

    async def one(body: Body) -> None:
        async with gate:
            await api.create(body)

    await asyncio.gather(*(one(body) for body in bodies))


async def settled(api: HttpApi, kind: str, *, condition: str) -> int:
    """How many objects of a kind have the condition."""
    found = await api.list(kind, NAMESPACE)
    return sum(any(c["type"] == condition for c in (body.get("status") or {}).get("conditions", ())) for body in found)


async def wait_until(probe: Any, *, timeout_s: float, every_s: float = 0.5) -> float:
    """Seconds until the async probe is true."""
    begun = time.perf_counter()
    while not await probe():
        if time.perf_counter() - begun > timeout_s:
            raise SystemExit(f"not within {timeout_s:g} s")
        await asyncio.sleep(every_s)
    return time.perf_counter() - begun


async def edit_latencies(api: HttpApi, count: int) -> list[float]:
    """Seconds from an edit of a pool to its new executor configuration, for some pools."""
    found = []
    for number in range(count):
        ref = Ref("WorkerPool", NAMESPACE, f"pool-{number:03d}")
        body = await api.get(ref) or {}
        spec = {**body["spec"], "workers": [{**body["spec"]["workers"][0], "model": f"edited-{number}-{time.time_ns()}"}]}
        wanted = spec["workers"][0]["model"]
        begun = time.perf_counter()
        path = f"/apis/kubefugu.dev/v1alpha1/namespaces/{NAMESPACE}/workerpools/{ref.name}"
        await api.request("PATCH", path, body={"spec": spec}, content_type="application/merge-patch+json")

        async def seen(name: str = f"{ref.name}-pool", wanted: str = wanted) -> bool:
            stored = await api.get(Ref("ConfigMap", NAMESPACE, name)) or {}
            return wanted in (stored.get("data") or {}).get("pool.yaml", "")

        await wait_until(seen, timeout_s=120, every_s=0.01)
        found.append(time.perf_counter() - begun)
    return found


def writes(server: ApiServer) -> int:
    """Writes of the operator so far, from the audit log."""
    return len(server.writes())


async def quiet(server: ApiServer, *, for_s: float, timeout_s: float) -> None:
    """Wait until the operator has written nothing for a while."""
    last, since, begun = writes(server), time.perf_counter(), time.perf_counter()
    while time.perf_counter() - since < for_s:
        await asyncio.sleep(1.0)
        now = writes(server)
        if now != last:
            last, since = now, time.perf_counter()
        if time.perf_counter() - begun > timeout_s:
            raise SystemExit(f"the operator still wrote after {timeout_s:g} s")


async def fill(api: HttpApi, count: int, process: psutil.Process) -> dict[str, float]:
    """Create everything while the operator runs; throughput until each object has its conditions."""
    begun, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
    workers = [{"name": "a", "model": "m", "url": f"http://127.0.0.1:{free_port()}/v1"}]
    pools = [named(worker_pool(), f"pool-{number:03d}", workers=workers) for number in range(count)]
    runs = [
        named(training_run(), f"run-{number:03d}", poolRef={"name": f"pool-{number:03d}"}, startDeadlineSeconds=0)
        for number in range(count)
    ]
    await create(api, [body for pair in zip(pools, runs, strict=True) for body in pair])
    created_s = time.perf_counter() - begun

    async def done() -> bool:
        return (
            await settled(api, "WorkerPool", condition="Ready") == count
            and await settled(api, "TrainingRun", condition="Succeeded") == count
            and len(await api.list("Job", NAMESPACE)) == count
        )

    await wait_until(done, timeout_s=900, every_s=2.0)
    wall_s = time.perf_counter() - begun
    return {
        "objects": 2 * count,
        "create_s": created_s,
        "settle_s": wall_s,
        "objects_per_s": 2 * count / wall_s,
        "operator_cpu_s": sum(process.cpu_times()[:2]) - cpu,
    }


async def failing(api: HttpApi, silent: str) -> None:
    """A run that can never get its objects, as a ConfigMap of its snapshot's name belongs to someone else; a silent worker."""
    await api.create(named(worker_pool(), "silent", workers=[{"name": "a", "model": "m", "url": silent}]))
    await api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken-snapshot", "namespace": NAMESPACE}})
    await api.create(named(training_run(), "broken", poolRef={"name": "pool-000"}))


async def second_pass(server: ApiServer, count: int) -> dict[str, float]:
    """A new operator process looks at everything again: wall time, CPU time, writes."""
    before = writes(server)
    begun = time.perf_counter()
    with operator(server) as (running_operator, process):

        async def done() -> bool:
            passes = await asyncio.to_thread(running_operator.passes)
            return passes.get("WorkerPool", 0) >= count and passes.get("TrainingRun", 0) >= count

        await wait_until(done, timeout_s=600, every_s=0.2)
        seconds = time.perf_counter() - begun
        # Probes answer after the first pass and bring a second one for pools.
        await asyncio.sleep(10.0)
        return {
            "second_pass_s": seconds,
            "second_pass_writes": writes(server) - before,
            "second_pass_cpu_s": sum(process.cpu_times()[:2]),
            "second_pass_rss_mib": process.memory_info().rss / 2**20,
        }


async def measure(count: int) -> dict[str, float]:
    """Everything, on an API server that is made for it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as server,
        socket.create_server(("127.0.0.1", 0)) as deaf,
    ):
        api, silent = server.api(), f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        try:
            await install_crds(api)
            await api.request("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
            with operator(server) as (_, process):
                await asyncio.sleep(3.0)
                result = {"rss_empty_mib": process.memory_info().rss / 2**20}
                result |= await fill(api, count, process)
                await quiet(server, for_s=5, timeout_s=300)
                result["writes_per_object"] = writes(server) / (2 * count)
                result["rss_full_mib"] = process.memory_info().rss / 2**20
                calm = await edit_latencies(api, EDITS)
                await failing(api, silent)
                await asyncio.sleep(3.0)
                beside = await edit_latencies(api, EDITS)
                result["edit_p50_ms"] = 1000 * statistics.median(calm)
                result["edit_max_ms"] = 1000 * max(calm)
                result["edit_beside_failing_p50_ms"] = 1000 * statistics.median(beside)
                result["edit_beside_failing_max_ms"] = 1000 * max(beside)
                await quiet(server, for_s=5, timeout_s=120)
            return result | await second_pass(server, count)
        finally:
            await api.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 pools and 40 runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    result = asyncio.run(measure(40 if options.quick else 500))
    for name, value in result.items():
        print(f"{name:28s} {value:10.1f}")
    if options.json:
        options.json.write_text(json.dumps({f"operator_{name}": round(value, 2) for name, value in result.items()}, indent=1))


if __name__ == "__main__":
    main()
