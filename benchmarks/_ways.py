"""The ways that benchmarks/route.py compares: the naive loop, the engine in process, the engine behind Triton."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _routers import free_port

from kubefugu_router.domain.ports import EngineHost, Question, StagedPolicy
from kubefugu_router.hosts.inprocess import InProcessHost
from kubefugu_router.hosts.triton import TritonHost
from kubefugu_routing.backbone import Backbone
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.engine import Engine
from kubefugu_routing.policy import Policy, PolicyArtifact, WorkerRow, save_artifact

WORKERS = 7
CACHE_MIB = 2048
Tokens = list[int]
Way = Callable[[Sequence[Sequence[Tokens]]], Awaitable[list[float]]]
"""Runs clients concurrently, each its transcripts one after another; returns each decision's latency in seconds."""


class Quiet:
    """A host observer that notes nothing."""

    def step(self, *, sequences: int, tokens: int, seconds: float) -> None: ...

    def queue(self, *, requests: int) -> None: ...

    def finished(self, *, computed_tokens: int, cached_tokens: int, cache_bytes: int) -> None: ...


@dataclass
class Naive:
    """One request at a time through the causal LM."""

    model: Any
    head: torch.Tensor

    def logits(self, tokens: Tokens) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            ids = torch.tensor([tokens], device=self.head.device)
            out = self.model(input_ids=ids, output_hidden_states=True)
            return (self.head @ out.hidden_states[-1][0, -2]).cpu().numpy()

    async def way(self, clients: Sequence[Sequence[Tokens]]) -> list[float]:
        started, taken = time.perf_counter(), []
        for turn in itertools.zip_longest(*clients):
            for tokens in turn:
                if tokens is not None:
                    self.logits(tokens)
                    # A request waits for those before it: all clients of a turn ask at the same time.
                    taken.append(time.perf_counter() - started)
            started = time.perf_counter()
        return taken


@dataclass
class Routed:
    """The engine behind a host's queue."""

    host: EngineHost
    engine: Engine | None = None
    """Where it is in this process."""

    async def logits(self, tokens: Tokens) -> np.ndarray[Any, Any]:
        answer = await self.host.decide(Question(tokens, ("v",), time.monotonic() + 600))
        return answer.logits["v"]

    async def way(self, clients: Sequence[Sequence[Tokens]]) -> list[float]:
        taken: list[float] = []

        async def client(transcripts: Sequence[Tokens]) -> None:
            for tokens in transcripts:
                started = time.perf_counter()
                await self.logits(tokens)
                taken.append(time.perf_counter() - started)

        async with asyncio.TaskGroup() as group:
            for transcripts in clients:
                group.create_task(client(transcripts))
        return taken


def _artifact(info: BackboneInfo, head: np.ndarray[Any, Any]) -> PolicyArtifact:
    rows = tuple(WorkerRow(f"w{i}", "m") for i in range(WORKERS))
    return PolicyArtifact(info.id, info.revision, 0, head.astype(np.float32), rows, roles=True)


async def in_process(backbone: Backbone, head: np.ndarray[Any, Any]) -> Routed:
    """A started in-process host with one policy."""
    cpu = backbone.info.device == "cpu"
    engine = Engine(
        backbone, kv_cache_bytes=CACHE_MIB << 20, max_step_tokens=1024 if cpu else 16_384, pack=cpu, self_check=False
    )
    host = InProcessHost(engine, lambda _: (_ for _ in ()).throw(RuntimeError), Quiet(), max_step_tokens=engine.max_step_tokens)
    await host.start()
    await host.load(StagedPolicy("v", "", Path(), Policy(_artifact(backbone.info, head))))
    return Routed(host, engine)


@asynccontextmanager
async def behind_triton(
    model: Any, head: np.ndarray[Any, Any], *, dtype: str, threads: int, device: str
) -> AsyncIterator[Routed]:
    """A Triton server over the same weights, which it reads from a temporary folder, and its host with one policy."""
    with tempfile.TemporaryDirectory(prefix="kubefugu-route-") as name:
        folder = Path(name)
        model.save_pretrained(folder / "model")
        grpc_port = free_port()
        ports = [f"--grpc-port={grpc_port}", f"--http-port={free_port()}", f"--metrics-port={free_port()}"]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "KUBEFUGU_TRITON_BACKBONE": str(folder / "model"),
            "KUBEFUGU_TRITON_STAGE_DIR": str(folder / "stage"),
            "KUBEFUGU_TRITON_DTYPE": dtype,
            "KUBEFUGU_TRITON_THREADS": str(threads),
            "KUBEFUGU_TRITON_KV_CACHE_MIB": str(CACHE_MIB),
            "KUBEFUGU_TRITON_MAX_STEP_TOKENS": "1024" if device == "cpu" else "16384",
        }
        with (folder / "triton.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-m", "kubefugu_router.triton_server", "--exit-timeout-s=5", *ports, f"--work-dir={folder}"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        host = TritonHost(f"127.0.0.1:{grpc_port}", folder / "stage", Quiet())
        try:
            await host.start()
            artifact = _artifact(host.info, head)
            digest = save_artifact(folder / "v.safetensors", artifact)
            await host.load(StagedPolicy("v", digest, folder / "v.safetensors", Policy(artifact)))
            yield Routed(host)
        finally:
            await host.close()
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
