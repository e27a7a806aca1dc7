"""What gateway and executor add to a worker's answer, against calling the same worker directly.

    python benchmarks/gateway.py [--quick] [--json FILE]

Both ways are measured in one run, in alternating rounds, with the same raw client, plain and streaming, for 1, 16 and 64
clients. The worker (benchmarks/_upstream.py) answers from memory and is called by its own name, so no router is involved. CPU
time is that of the gateway's and the executor's processes, user and system. Everything runs here and shares the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from _processes import cpu_s, running

HERE = Path(__file__).resolve().parent
CHUNKS = 16
PACE_MS = 20.0
EVENTS = CHUNKS + 2
"""Of a stream: its chunks, the one that finishes it, and [DONE]."""
WORKER = "canned"
PATH = "/v1/chat/completions"


@dataclass
class Samples:
    """Times of one way of one scenario."""

    total_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    wall_s: float = 0.0

    def p(self, percent: int, *, first: bool = False) -> float:
        values = sorted(self.first_ms if first else self.total_ms)
        return values[min(len(values) - 1, round(len(values) * percent / 100))]

    @property
    def per_second(self) -> float:
        return len(self.total_ms) / self.wall_s


@dataclass
class Scenario:
    """Plain or streaming, for a number of clients."""

    stream: bool
    clients: int
    requests: int
    """Of each client in each round, on each way."""
    rounds: int
    direct: Samples = field(default_factory=Samples)
    through: Samples = field(default_factory=Samples)
    gateway_cpu_s: float = 0.0
    executor_cpu_s: float = 0.0

    @property
    def name(self) -> str:
        return f"{'stream' if self.stream else 'plain'}_c{self.clients}"

    def figures(self) -> dict[str, float]:
        """The scenario's figures, by name."""
        count = len(self.through.total_ms)
        made = {
            "direct_p50_ms": self.direct.p(50),
            "p50_ms": self.through.p(50),
            "added_p50_ms": self.through.p(50) - self.direct.p(50),
            "added_p99_ms": self.through.p(99) - self.direct.p(99),
            "direct_requests_per_s": self.direct.per_second,
            "requests_per_s": self.through.per_second,
            "gateway_cpu_ms_per_request": self.gateway_cpu_s / count * 1000,
            "executor_cpu_ms_per_request": self.executor_cpu_s / count * 1000,
            "cpu_ms_per_request": (self.gateway_cpu_s + self.executor_cpu_s) / count * 1000,
        }
        if self.stream:
            made["added_first_byte_p50_ms"] = self.through.p(50, first=True) - self.direct.p(50, first=True)
            made["cpu_ms_per_event"] = made["cpu_ms_per_request"] / EVENTS
        return {name: round(value, 3) for name, value in made.items()}


def scenarios(*, quick: bool) -> list[Scenario]:
    """What is measured; a quick run has fewer requests of the same kind."""
    more = 1 if quick else 4
    return [
        Scenario(stream=False, clients=1, requests=25, rounds=8 * more),
        Scenario(stream=False, clients=16, requests=8, rounds=4 * more),
        Scenario(stream=False, clients=64, requests=4, rounds=3 * more),
        Scenario(stream=True, clients=1, requests=2, rounds=5 * more),
        Scenario(stream=True, clients=16, requests=1, rounds=4 * more),
        Scenario(stream=True, clients=64, requests=1, rounds=3 * more),
    ]


class Client:
    """One keep-alive connection that sends the same request again and again."""

    def __init__(self, port: int, *, stream: bool) -> None:
        self._port, self._stream = port, stream
        messages = [
            {"role": "system", "content": "You answer shortly and to the point. " * 4},
            {"role": "user", "content": "How many kilometres are 26.2 miles, and why does it matter to runners?"},
        ]
        body = json.dumps(
            {"model": WORKER, "messages": messages, "temperature": 0.5, "stream": stream}, separators=(",", ":")
        ).encode()
        self._request = (
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        self._writer.close()

    async def ask(self, samples: Samples) -> None:
        """One request; a wrong answer ends the benchmark."""
        started = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected answer: {head.decode()} {(await self._reader.read(2000)).decode()}")
        if self._stream:
            first = await self._reader.readuntil(b"\n\n")
            samples.first_ms.append((time.perf_counter() - started) * 1000)
            rest = await self._reader.readuntil(b"\r\n0\r\n\r\n")
            if b"data: [DONE]" not in rest or (first + rest).count(b"data: ") < EVENTS:
                raise SystemExit("the stream was not complete")
        else:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if b"canned answer" not in await self._reader.readexactly(length):
                raise SystemExit("the answer was not the worker's")
        samples.total_ms.append((time.perf_counter() - started) * 1000)


@dataclass
class Stack:
    """The running processes."""

    worker_port: int
    gateway_port: int
    gateway: psutil.Process
    executor: psutil.Process


async def play(scenario: Scenario, stack: Stack) -> None:
    """Alternate rounds: directly, then through the gateway, then the other way round, and so on."""
    direct = [Client(stack.worker_port, stream=scenario.stream) for _ in range(scenario.clients)]
    through = [Client(stack.gateway_port, stream=scenario.stream) for _ in range(scenario.clients)]
    for client in direct + through:
        await client.connect()
    await asyncio.gather(*(client.ask(Samples()) for client in direct + through))
    for number in range(scenario.rounds):
        ways = [(direct, scenario.direct), (through, scenario.through)]
        for clients, samples in ways if number % 2 == 0 else reversed(ways):
            before = cpu_s(stack.gateway), cpu_s(stack.executor)
            started = time.perf_counter()
            await asyncio.gather(*(_ask_often(client, scenario.requests, samples) for client in clients))
            samples.wall_s += time.perf_counter() - started
            # What the processes do in the direct rounds is no part of a request, and is close to nothing.
            if samples is scenario.through:
                scenario.gateway_cpu_s += cpu_s(stack.gateway) - before[0]
                scenario.executor_cpu_s += cpu_s(stack.executor) - before[1]
    for client in direct + through:
        client.close()


async def _ask_often(client: Client, times: int, samples: Samples) -> None:
    for _ in range(times):
        await client.ask(samples)


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Worker, executor and gateway, ready."""
    with ExitStack() as processes:
        worker = processes.enter_context(
            running(str(HERE / "_upstream.py"), "--chunks", str(CHUNKS), "--pace-ms", str(PACE_MS), log=folder / "worker.log")
        )
        assert worker.stdout is not None
        worker_port = int(worker.stdout.readline())
        pool = folder / "pool.json"
        pool.write_text(json.dumps(_pool(worker_port)))
        target = f"unix:{folder / 'executor.sock'}"
        executor = processes.enter_context(
            running(
                "-m",
                "kubefugu_executor",
                *("--listen", target, "--pool-file", str(pool), "--decisions-url", f"sqlite:///{folder / 'decisions.db'}"),
                log=folder / "executor.log",
            )
        )
        port = _free_port()
        gateway = processes.enter_context(
            running("-m", "kubefugu_gateway", "--port", str(port), "--executor-target", target, log=folder / "gateway.log")
        )
        _wait_ready(port, folder)
        yield Stack(worker_port, port, psutil.Process(gateway.pid), psutil.Process(executor.pid))


def _pool(worker_port: int) -> dict[str, Any]:
    worker = {"name": WORKER, "model": WORKER, "url": f"http://127.0.0.1:{worker_port}/v1"}
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "benchmark"},
        "spec": {"workers": [worker]},
    }


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_ready(port: int, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    logs = "\n".join(f"{log.name}:\n{log.read_text()[-2000:]}" for log in folder.glob("*.log"))
    raise SystemExit(f"the stack was not ready within 30 s\n{logs}")


def summary(played: list[Scenario]) -> dict[str, Any]:
    """Figures by the names that docs/performance.md uses."""
    by_name = {scenario.name: scenario.figures() for scenario in played}
    made: dict[str, Any] = {
        "added_p50_ms_c1": by_name["plain_c1"]["added_p50_ms"],
        "added_p50_ms_c16": by_name["plain_c16"]["added_p50_ms"],
        "added_p50_ms_c64": by_name["plain_c64"]["added_p50_ms"],
        "cpu_ms_per_request": by_name["plain_c1"]["cpu_ms_per_request"],
        "stream_added_first_byte_p50_ms_c1": by_name["stream_c1"]["added_first_byte_p50_ms"],
        "stream_added_first_byte_p50_ms_c16": by_name["stream_c16"]["added_first_byte_p50_ms"],
        "stream_added_first_byte_p50_ms_c64": by_name["stream_c64"]["added_first_byte_p50_ms"],
        "stream_cpu_ms_per_event": statistics.median(by_name[f"stream_c{n}"]["cpu_ms_per_event"] for n in (1, 16, 64)),
        "scenarios": by_name,
    }
    return made


def report(played: list[Scenario], figures: dict[str, Any]) -> None:
    """One line a figure."""
    for scenario in played:
        for name, value in scenario.figures().items():
            print(f"{scenario.name:<12} {name:<30} {value:>10.3f}")
    for name, value in figures.items():
        if name != "scenarios":
            print(f"{name:<43} {value:>10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer requests, within 45 s on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    options = parser.parse_args()
    played = scenarios(quick=options.quick)
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        for scenario in played:
            asyncio.run(play(scenario, stack))
    figures = summary(played)
    report(played, figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
