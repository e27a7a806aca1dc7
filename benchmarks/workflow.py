"""How close a workflow's wall time comes to its critical path: 5-step graphs, 32 at a time, scripted worker latencies.

    python benchmarks/workflow.py [--quick] [--json FILE]

Everything is real but the workers' thinking: executor and Conductor run as processes, planner and workers are a local HTTP
server that waits as long as each prompt says (benchmarks/_scripted.py). A plan's critical path is the planner's latency plus
the longest chain of its steps' latencies; no schedule can be faster. `serial` is what running the steps one after the other
would take. Executor, Conductor, workers and clients share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from _processes import cpu_s, running

from kubefugu.executor.v1 import executor_pb2, executor_pb2_grpc
from kubefugu_coordination.workflow.plan import Plan, Step, render_lists, used_steps
from kubefugu_core.rpc import open_channel

HERE = Path(__file__).resolve().parent
WORKERS = ("w0", "w1", "w2", "w3")
STEPS = 5
CONCURRENT = 32
PLANNER_S = 0.15
LATENCY_S = (0.2, 1.0)
SEED = 7


@dataclass(frozen=True)
class Task:
    """A question that brings its own plan."""

    question: str
    critical_s: float
    serial_s: float


def make_task(random: np.random.Generator) -> Task:
    """A graph of five steps; chains, stars and what lies between, with latencies drawn for each step."""
    density = random.uniform(0, 1)
    access = [{seen for seen in range(index) if random.random() < density} for index in range(STEPS)]
    access[-1] |= set(range(STEPS - 1)) - used_steps([sorted(seen) for seen in access])
    while missing := set(range(STEPS)) - used_steps([sorted(seen) for seen in access]):
        access[-1] |= missing
    latencies = random.uniform(*LATENCY_S, size=STEPS).round(3)
    steps = [
        Step(str(random.choice(WORKERS)), f"wait {latency:.3f}", tuple(sorted(seen)))
        for latency, seen in zip(latencies, access, strict=True)
    ]
    plan = Plan(tuple(steps))
    text = render_lists(plan, {name: number for number, name in enumerate(WORKERS)})
    critical_s = PLANNER_S + plan.critical_path(lambda index: float(latencies[index]))
    return Task(f"PLAN\n{text}", critical_s, PLANNER_S + float(latencies.sum()))


async def run_task(stub: executor_pb2_grpc.ExecutorServiceStub, task: Task, number: int) -> float:
    """Wall time of one request, in seconds; anything but a whole workflow ends the benchmark."""
    body = {"model": "fugu-ultra", "messages": [{"role": "user", "content": task.question}]}
    request = executor_pb2.ExecuteRequest(
        chat_request_json=json.dumps(body).encode(), request_id=f"chatcmpl-{number:032x}", created=1, tenant="benchmark"
    )
    ended, done = 0, False
    started = time.perf_counter()
    async for response in stub.Execute(request, timeout=60):
        ended += response.HasField("step_ended")
        done = done or response.HasField("done")
    wall_s = time.perf_counter() - started
    if not done or ended != STEPS or wall_s < task.critical_s:
        told = f"{ended} of {STEPS} steps ended, done: {done}, {wall_s:.3f} s for a critical path of {task.critical_s:.3f} s"
        raise SystemExit(f"request {number}: {told}")
    return wall_s


async def measure(target: str, tasks: list[list[Task]], processes: list[psutil.Process]) -> tuple[list[list[float]], float]:
    """Wall times of each client's plans, and CPU seconds of executor and Conductor."""
    async with open_channel(target) as channel:
        stub = executor_pb2_grpc.ExecutorServiceStub(channel)
        await stub.ListModels(executor_pb2.ListModelsRequest(), timeout=60, wait_for_ready=True)
        # Connections to planner and workers are opened before anything is measured.
        await asyncio.gather(*(run_task(stub, mine[0], 10**6 + number) for number, mine in enumerate(tasks)))

        async def client(number: int, mine: list[Task]) -> list[float]:
            # Clients don't begin at the same instant; from then on each has one plan under way all the time.
            await asyncio.sleep(number / len(tasks))
            return [await run_task(stub, task, number * 1000 + index) for index, task in enumerate(mine)]

        before = sum(cpu_s(process) for process in processes)
        walls = await asyncio.gather(*(client(number, mine) for number, mine in enumerate(tasks)))
        return walls, sum(cpu_s(process) for process in processes) - before


def pool(port: int, names: tuple[str, ...]) -> str:
    """A pool manifest, as JSON."""
    url = f"http://127.0.0.1:{port}/v1"
    workers = [{"name": name, "model": name, "url": url} for name in names]
    metadata = {"name": "benchmark"}
    return json.dumps(
        {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "WorkerPool", "metadata": metadata, "spec": {"workers": workers}}
    )


def figures(tasks: list[list[Task]], walls: list[list[float]], cpu_s: float) -> dict[str, float]:
    """Ratios are taken plan by plan; the headline is their mean over all plans."""
    pairs = [(wall, task) for batch, found in zip(tasks, walls, strict=True) for wall, task in zip(found, batch, strict=True)]
    ratios = sorted(wall / task.critical_s for wall, task in pairs)
    return {
        "wall_over_critical_path": statistics.mean(ratios),
        "wall_over_critical_path_p95": ratios[round(0.95 * (len(ratios) - 1))],
        "wall_over_critical_path_max": ratios[-1],
        "overhead_ms_mean": statistics.mean(wall - task.critical_s for wall, task in pairs) * 1000,
        "serial_over_critical_path": statistics.mean(task.serial_s / task.critical_s for _, task in pairs),
        "critical_path_s_mean": statistics.mean(task.critical_s for _, task in pairs),
        "cpu_ms_per_plan": cpu_s / len(pairs) * 1000,
        "plans": float(len(pairs)),
    }


def run(plans: int) -> dict[str, float]:
    """Start everything, measure, stop everything."""
    random = np.random.default_rng(SEED)
    tasks = [[make_task(random) for _ in range(plans)] for _ in range(CONCURRENT)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        scripted = stack.enter_context(
            running(str(HERE / "_scripted.py"), "--planner-ms", str(PLANNER_S * 1000), log=folder / "workers.log")
        )
        assert scripted.stdout is not None
        port = int(scripted.stdout.readline())
        (folder / "pool.json").write_text(pool(port, WORKERS))
        (folder / "planner.json").write_text(pool(port, ("planner",)))
        conductor, executor = f"unix:{folder}/conductor.sock", f"unix:{folder}/executor.sock"
        arguments = ("--pool-file", f"{folder}/planner.json", "--listen", conductor)
        planning = stack.enter_context(running("-m", "kubefugu_conductor", *arguments, log=folder / "conductor.log"))
        arguments = ("--pool-file", f"{folder}/pool.json", "--listen", executor, "--conductor-target", conductor)
        stores = ("--decisions-url", f"sqlite:///{folder}/decisions.db", "--state-url", f"sqlite:///{folder}/state.db")
        executing = stack.enter_context(
            running(
                "-m", "kubefugu_executor", *arguments, *stores, "--router-target", f"unix:{folder}/none", log=folder / "e.log"
            )
        )
        processes = [psutil.Process(planning.pid), psutil.Process(executing.pid)]
        walls, cpu_s = asyncio.run(measure(executor, tasks, processes))
    return figures(tasks, walls, cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description="Wall time of workflows against their critical path.")
    parser.add_argument("--quick", action="store_true", help="3 plans of each client instead of 10")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    result = {name: round(value, 4) for name, value in run(3 if options.quick else 10).items()}
    for name, value in result.items():
        print(f"{name}: {value:g}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
