"""A router service as its own process, on either host: the in-process engine, or Triton beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "kubefugu.router.v1.RouterService"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Processes:
    """What runs. `engine_pid` is the process that holds the weights."""

    target: str
    router_pid: int
    stage_dir: Path
    triton_pid: int = 0
    logs: list[Path] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Router service, and the model's own processes where Triton runs them."""
        if not self.triton_pid:
            return [self.router_pid]
        found = subprocess.run(["pgrep", "-P", str(self.triton_pid)], capture_output=True, text=True, check=False).stdout
        return [self.router_pid, self.triton_pid, *map(int, found.split())]

    def rss_mib(self) -> float:
        """Resident memory of all of them, shared files not counted."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1])
        return total / 1024

    def cpu_s(self) -> float:
        """User and system time of all of them."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _process(arguments: Sequence[str], environment: dict[str, str], log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output, start_new_session=True)  # noqa: ASYNC220
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(process.wait, 15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@asynccontextmanager
async def router_processes(
    folder: Path, *, backbone: str, host: str, threads: int, dtype: str = "float32", device: str = "cpu", **settings: object
) -> AsyncIterator[Processes]:
    """Start them and wait until the router serves. `settings` are further KUBEFUGU_ROUTER_* values."""
    target, stage = f"unix:{folder / 'router.sock'}", folder / "stage"
    common = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    grpc_port = free_port()
    env = {
        **common,
        "KUBEFUGU_ROUTER_LISTEN": target,
        "KUBEFUGU_ROUTER_BACKBONE": backbone,
        "KUBEFUGU_ROUTER_HOST": host,
        "KUBEFUGU_ROUTER_DEVICE": device,
        "KUBEFUGU_ROUTER_DTYPE": dtype,
        "KUBEFUGU_ROUTER_THREADS": str(threads),
        "KUBEFUGU_ROUTER_TRITON_TARGET": f"127.0.0.1:{grpc_port}",
        "KUBEFUGU_ROUTER_TRITON_STAGE_DIR": str(stage),
        "KUBEFUGU_ROUTER_ALLOWED_URI_PREFIXES": f'["{folder.as_uri()}"]',
        **{f"KUBEFUGU_ROUTER_{name.upper()}": str(value) for name, value in settings.items()},
    }
    async with AsyncExitStack() as stack:
        running = Processes(target, 0, stage)
        if host == "triton":
            ports = (f"--grpc-port={grpc_port}", f"--http-port={free_port()}", f"--metrics-port={free_port()}")
            model = {
                "KUBEFUGU_TRITON_BACKBONE": backbone,
                "KUBEFUGU_TRITON_STAGE_DIR": str(stage),
                "KUBEFUGU_TRITON_DTYPE": dtype,
                "KUBEFUGU_TRITON_THREADS": str(threads),
            }
            arguments = [sys.executable, "-m", "kubefugu_router.triton_server", *ports, f"--work-dir={folder / 'triton'}"]
            process = await stack.enter_async_context(
                _process([*arguments, "--exit-timeout-s=5"], {**common, **model}, folder / "triton.log")
            )
            running.triton_pid = process.pid
            running.logs.append(folder / "triton.log")
        process = await stack.enter_async_context(
            _process([sys.executable, "-m", "kubefugu_router"], env, folder / "router.log")
        )
        running.router_pid = process.pid
        running.logs.append(folder / "router.log")
        await _until_serving(target, process, running.logs)
        yield running


async def _until_serving(target: str, process: subprocess.Popen[bytes], logs: Sequence[Path]) -> None:
    deadline = time.monotonic() + 600
    async with grpc.aio.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(grpc.aio.AioRpcError):
                reply = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=2)
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(0.1)
    raise SystemExit("\n".join(log.read_text(errors="replace")[-2000:] for log in logs))
