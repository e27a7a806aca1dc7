"""Swaps of routing policies under load: what fails, what decides with the wrong version, how long decisions take meanwhile.

    python benchmarks/swap.py [--quick] [--host inprocess|triton] [--soak] [--json FILE]

The router service runs as its own process (with Triton beside it for --host triton). Eight clients ask at a steady rate; half
of them pin a version on each request, the others follow canary and active version. Meanwhile policies are declared one after
another: a new head, a new head with SVF offsets, a canary, its promotion, a rollback. Requests that overlap a swap are compared
with those that overlap a window of the same length in the pause before it, in the same run: a window, wherever it lies, meets
slow requests more often than fast ones, so that comparing with all others would make any swap look slow. Afterwards each
decision's logits are compared with those that the engine computes for the version that the decision names.

--soak declares 1,000 policies as fast as they are taken over and reports what the processes' own memory grew by, beyond the
policies that are resident anyway.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import asyncio
import itertools
import json
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import torch
from _routers import Processes, router_processes
from _small import write_small

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.policy import FactorRef, PolicyArtifact, WorkerRow, load_artifact, save_artifact
from kubefugu_routing.svf import SvfOffsets, TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle

CLIENTS, WORKERS, TEXTS = 8, 5, 8
PACE_S = 0.1
"""Mean time between a client's answer and its next request."""
DISTANCE = 1e-3
"""Of logits of order one; another version is farther away by orders of magnitude."""


@dataclass
class Publisher:
    """Writes new versions: every other one has offsets on the seven matrices of its layer."""

    backbone: Backbone
    folder: Path
    rng: np.random.Generator
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        path = self.folder / "bundle"
        self._layer = layout_of(self.backbone.info).layer
        digest = save_bundle(path, make_bundle(self.backbone, layer=self._layer))
        path.rename(self.folder / f"{digest}.safetensors")
        self._factors = FactorRef((self.folder / f"{digest}.safetensors").as_uri(), digest)

    def write(self, *, offsets: bool) -> router_pb2.PolicySource:
        """A new version."""
        info = self.backbone.info
        version = f"v{len(self.made)}"
        head = (self.rng.normal(size=(WORKERS + 3, info.hidden_size)) / info.hidden_size**0.5).astype(np.float32)
        moved = None
        if offsets:
            lengths = layout_of(info, self._layer).lengths
            names = [name for name in lengths if name not in ("embed_tokens", "lm_head")]
            blocks = {name: self.rng.normal(scale=0.2, size=lengths[name]).astype(np.float32) for name in names}
            moved = SvfOffsets(layer=self._layer, tie_mode=TieMode.AUTHOR, blocks=blocks)
        rows = tuple(WorkerRow(f"w{i}", "m") for i in range(WORKERS))
        artifact = PolicyArtifact(
            info.id, info.revision, self._layer, head, rows, True, offsets=moved, factors=self._factors if offsets else None
        )
        path = self.path(version)
        self.made.append(version)
        return router_pb2.PolicySource(version=version, uri=path.as_uri(), sha256=save_artifact(path, artifact))

    def path(self, version: str) -> Path:
        """Its file."""
        return self.folder / f"{version}.safetensors"


@dataclass(slots=True)
class Asked:
    """One request."""

    begun: float
    ended: float
    text: int
    pinned: str
    failed: str = ""
    version: str = ""
    logits: tuple[float, ...] = ()


@dataclass
class Load:
    """Clients at a steady rate."""

    stub: Any
    texts: list[str]
    pins: deque[str]
    asked: list[Asked] = field(default_factory=list)

    async def client(self, number: int, rng: np.random.Generator) -> None:
        """Ask for ever; odd clients pin."""
        for count in itertools.count():
            await asyncio.sleep(float(rng.exponential(PACE_S)))
            pin = self.pins[int(rng.integers(len(self.pins)))] if number % 2 else ""
            text = int(rng.integers(len(self.texts)))
            request = router_pb2.RouteRequest(
                transcript=[common_pb2.TranscriptMessage(role="user", text=self.texts[text])],
                allowed=[common_pb2.AllowedWorker(name=f"w{i}", model="m") for i in range(WORKERS)],
                conversation_key=f"{number}-{count}",
                policy_version=pin,
            )
            asked = Asked(time.monotonic(), 0.0, text, pin)
            try:
                decision = (await self.stub.Route(request, timeout=10)).decision
                by_name = {worker.name: worker.logit for worker in decision.workers}
                asked.logits = tuple(by_name[f"w{i}"] for i in range(WORKERS))
                asked.version = decision.policy_version
            except grpc.aio.AioRpcError as error:
                asked.failed = f"{error.code().name}: {error.details()}"
            asked.ended = time.monotonic()
            self.asked.append(asked)


@dataclass
class Swapper:
    """Declares policies in a cycle of five: head, head with offsets, canary, promotion, rollback."""

    admin: Any
    publisher: Publisher
    pins: deque[str]
    generation: int = 0
    active: str = ""
    windows: list[tuple[float, float, str]] = field(default_factory=list)
    """Begin, end and active version of each swap."""

    async def first(self) -> None:
        """What serves at the beginning."""
        await self._declare(self.publisher.write(offsets=False))
        self.windows.clear()

    def steps(self) -> Iterator[Any]:
        """One declaration each, for ever."""
        while True:
            yield self._declare(self.publisher.write(offsets=False))
            before = self.active
            yield self._declare(self.publisher.write(offsets=True))
            source = self.publisher.write(offsets=True)
            yield self._declare(source, canary_percent=30.0)
            yield self._declare(source)
            yield self._declare(router_pb2.PolicySource(version=before))

    async def _declare(self, source: router_pb2.PolicySource, *, canary_percent: float = 0.0) -> None:
        self.generation += 1
        declared = router_pb2.PolicySet(generation=self.generation, active=source.version)
        if source.sha256:
            declared.sources.append(source)
        if canary_percent:
            declared.active = self.active
            declared.canary.version, declared.canary.percent = source.version, canary_percent
        begun = time.monotonic()
        await self.admin.SetPolicies(router_pb2.SetPoliciesRequest(policy_set=declared), timeout=60)
        self.windows.append((begun, time.monotonic(), "" if canary_percent else source.version))
        self.active = declared.active
        self.pins.append(source.version)


def percentile(values: list[float], share: float) -> float:
    """Of a list that need not be sorted; NaN where it is empty."""
    return float(np.percentile(values, 100 * share)) if values else float("nan")


def control_windows(swaps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A window in the middle of the pause before each swap but the first, as long as the swap was if there is room for it."""
    windows = []
    for (_, before), (begin, end) in itertools.pairwise(swaps):
        length = min(end - begin, begin - before)
        middle = (before + begin) / 2
        windows.append((middle - length / 2, middle + length / 2))
    return windows


def overlaps(one: Asked, windows: list[tuple[float, float]]) -> bool:
    """Whether the request was under way in one of the windows."""
    return any(begin <= one.ended and one.begun <= end for begin, end in windows)


def figures_of(asked: list[Asked], swapper: Swapper, wrong: int) -> dict[str, float]:
    """The benchmark's keys and what stands behind them."""
    swaps = [(begin, end) for begin, end, _ in swapper.windows]
    pauses = control_windows(swaps)
    during = [one for one in asked if overlaps(one, swaps)]
    quiet = [one for one in asked if overlaps(one, pauses) and not overlaps(one, swaps)]
    during_ms, quiet_ms = ([1000 * (one.ended - one.begun) for one in group] for group in (during, quiet))
    visible = []
    for begin, _, version in swapper.windows:
        first = min(
            (one.ended for one in asked if one.version == version and one.begun >= begin and not one.pinned), default=None
        )
        if version and first is not None:
            visible.append(1000 * (first - begin))
    took = [1000 * (end - begin) for begin, end, _ in swapper.windows]
    return {
        "failed_requests": sum(bool(one.failed) for one in asked),
        "wrong_version": wrong,
        "p99_ratio_during_swap": percentile(during_ms, 0.99) / percentile(quiet_ms, 0.99),
        "visible_ms": percentile(visible, 0.5),
        "visible_p99_ms": percentile(visible, 0.99),
        "swap_p50_ms": percentile(took, 0.5),
        "swap_p99_ms": percentile(took, 0.99),
        "swaps": len(swapper.windows),
        "requests": len(asked),
        "requests_during_swaps": len(during),
        "requests_in_pauses": len(quiet),
        "quiet_p50_ms": percentile(quiet_ms, 0.5),
        "quiet_p99_ms": percentile(quiet_ms, 0.99),
        "during_p50_ms": percentile(during_ms, 0.5),
        "during_p99_ms": percentile(during_ms, 0.99),
    }


def count_wrong(asked: list[Asked], publisher: Publisher, texts: list[str]) -> int:
    """Decisions that name another version than the pinned one, or whose logits are not those of the version they name."""
    engine = Engine(publisher.backbone)
    ids = [publisher.backbone.tokenizer(f"user: {text}", add_special_tokens=False).input_ids for text in texts]
    expected = {
        version: engine.decide(ids, load_artifact(publisher.path(version)))[:, :WORKERS]
        for version in {one.version for one in asked if one.version}
    }
    wrong = 0
    for one in asked:
        if one.failed:
            continue
        other = bool(one.pinned) and one.version != one.pinned
        distance = float(np.abs(expected[one.version][one.text] - np.array(one.logits)).max())
        wrong += other or distance > DISTANCE
    return wrong


async def measure(options: argparse.Namespace, processes: Processes, publisher: Publisher) -> dict[str, float]:
    """Swaps under load."""
    pins: deque[str] = deque(maxlen=3)
    rng = np.random.default_rng(options.seed)
    texts = [f"Question {i}: " + "what should be done about it, and by whom? " * int(rng.integers(1, 4)) for i in range(TEXTS)]
    async with grpc.aio.insecure_channel(processes.target) as channel:
        swapper = Swapper(router_pb2_grpc.RouterAdminServiceStub(channel), publisher, pins)
        await swapper.first()
        load = Load(router_pb2_grpc.RouterServiceStub(channel), texts, pins)
        clients = [asyncio.create_task(load.client(i, np.random.default_rng([options.seed, i]))) for i in range(CLIENTS)]
        await asyncio.sleep(1.0)
        load.asked.clear()
        for step in itertools.islice(swapper.steps(), options.swaps):
            await step
            await asyncio.sleep(options.gap_s)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    for reason in sorted({one.failed for one in load.asked if one.failed})[:5]:
        print("failed:", reason)
    return figures_of(load.asked, swapper, count_wrong(load.asked, publisher, texts))


async def soak(options: argparse.Namespace, processes: Processes, publisher: Publisher) -> dict[str, float]:
    """Memory over many swaps, with one client asking."""
    pins: deque[str] = deque(maxlen=3)
    readings: list[float] = []
    async with grpc.aio.insecure_channel(processes.target) as channel:
        # Generations only grow: these come after those of the swaps under load.
        swapper = Swapper(router_pb2_grpc.RouterAdminServiceStub(channel), publisher, pins, generation=options.swaps + 1)
        await swapper.first()
        load = Load(router_pb2_grpc.RouterServiceStub(channel), ["short", "another question"], pins)
        client = asyncio.create_task(load.client(0, np.random.default_rng(0)))
        for number, step in enumerate(itertools.islice(swapper.steps(), options.soak_swaps)):
            await step
            if number % max(1, options.soak_swaps // 20) == 0:
                readings.append(processes.rss_mib())
        readings.append(processes.rss_mib())
        client.cancel()
        await asyncio.gather(client, return_exceptions=True)
    print("RSS in MiB: " + " ".join(f"{value:.1f}" for value in readings))
    settled = len(readings) // 5
    return {
        "soak_swaps": options.soak_swaps,
        "soak_failed_requests": sum(bool(one.failed) for one in load.asked),
        "soak_rss_first_mib": readings[settled],
        "soak_rss_last_mib": readings[-1],
        "soak_rss_growth_mib": readings[-1] - readings[settled],
    }


async def run(options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kubefugu-swap-") as name:
        folder = Path(name)
        model = str(write_small(folder / "backbone")) if options.model == "small" else options.model
        backbone = await asyncio.to_thread(load_backbone, model, threads=1)
        publisher = Publisher(backbone, folder, np.random.default_rng(options.seed))
        async with router_processes(folder, backbone=model, host=options.host, threads=options.threads) as processes:
            print(f"serving after {time.monotonic() - began:.1f} s on {options.host}, {options.threads} threads")
            figures = await measure(options, processes, publisher)
            figures["cpu_s"] = processes.cpu_s()
            if options.soak:
                figures |= await soak(options, processes, publisher)
    for name, value in figures.items():
        print(f"{name} {value:.4g}")
    print(f"wall {time.monotonic() - began:.1f} s, load average {os.getloadavg()[0]:.1f}")
    about = {"host": options.host, "model": options.model, "threads": options.threads, "load_average": os.getloadavg()[0]}
    return {**figures, **about, "quick": options.quick}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="40 swaps instead of 200: within 45 s on two cores")
    parser.add_argument("--soak", action="store_true", help="memory over 1,000 swaps as well")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--host", choices=("inprocess", "triton"), default="inprocess")
    parser.add_argument("--model", default="small", help="or a name, directory or GGUF file (default: a seeded small decoder)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine (default: %(default)s)")
    parser.add_argument("--swaps", type=int, help="swaps under load")
    parser.add_argument("--soak-swaps", type=int, default=1000)
    parser.add_argument("--gap-s", type=float, default=0.5, help="pause between two swaps")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.swaps = options.swaps or (40 if options.quick else 200)
    if options.quick:
        print(f"--quick: {options.swaps} swaps; the whole benchmark makes 200")
    torch.set_num_threads(1)
    result = asyncio.run(run(options))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
