"""Latency of a routing decision: the naive loop against the router's engine in process, on the same weights.

    python benchmarks/route.py [--quick] [--json FILE] [--plot FILE] [--host triton] [--device cuda] [--model NAME]

The naive loop is what the published reimplementations do: transformers' causal LM in float32 with its LM head and
`output_hidden_states`, one request at a time. The engine runs behind the in-process host's queue, in float32 and in bfloat16;
with --host triton one more way goes through a Triton server over gRPC (its CPU time is not in the figures: it is another
process). On a GPU the engine records forward passes of fresh transcripts as CUDA graphs where they measure faster, and 512
tokens are measured alone and with 64 clients.

The weights have Qwen3-0.6B's exact shape and are seeded random numbers, or those of a packaged model. Ways take turns within
each repetition and a speedup is the median of the repetitions' ratios; CPU time stands beside wall time, because the machine is
shared. No transcript occurs twice, so the prefix cache only helps where a real conversation would let it: in later turns.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The profiler tells each start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _qwen3 import backbone_of, causal_lm
from _ways import WORKERS, Naive, Routed, Tokens, Way, behind_triton, in_process

from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.backbone.quiet import quiet_transformers
from kubefugu_routing.engine import Engine

ENGINES = {"f32": "float32", "bf16": "bfloat16"}
QUICK_TURNS_S, QUICK_PROFILE_S = 33.0, 38.0
CLIENTS, CLIENT_TOKENS, ALONE_TOKENS, TURNS = 16, 32, 128, 5


@dataclass
class Scenario:
    """Clients that ask at the same time, each its transcripts in turn. `make` gives fresh transcripts each time."""

    name: str
    make: Callable[[], list[list[Tokens]]]
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    latency_ms: dict[str, list[float]] = field(default_factory=dict)

    async def repeat(self, ways: dict[str, Way]) -> None:
        """One repetition: each way once, on transcripts of the same lengths."""
        for name, way in ways.items():
            clients = self.make()
            wall, cpu = time.perf_counter(), time.process_time()
            taken = await way(clients)
            self.wall_s.setdefault(name, []).append(time.perf_counter() - wall)
            self.cpu_s.setdefault(name, []).append(time.process_time() - cpu)
            self.latency_ms.setdefault(name, []).extend(1000 * value for value in taken)

    def figures(self) -> dict[str, float]:
        """Speedups against `naive` (wall and CPU) and each way's latency."""
        out = {}
        for name in self.wall_s:
            values = sorted(self.latency_ms[name])
            out[f"{name}_{self.name}_p50_ms"] = statistics.median(values)
            out[f"{name}_{self.name}_p99_ms"] = values[min(len(values) - 1, int(0.99 * len(values)))]
            out[f"{name}_{self.name}_per_s"] = len(values) / sum(self.wall_s[name])
            out[f"{name}_{self.name}_cpu_ms"] = 1000 * sum(self.cpu_s[name]) / len(values)
            if name != "naive" and "naive" in self.wall_s:
                out[f"speedup_{name}_{self.name}"] = _ratio(self.wall_s["naive"], self.wall_s[name])
                if not name.startswith("triton"):  # another process's time
                    out[f"cpu_speedup_{name}_{self.name}"] = _ratio(self.cpu_s["naive"], self.cpu_s[name])
        return out


def _ratio(slow: list[float], fast: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


class Texts:
    """Random transcripts, each another one."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        self._rng, self._vocabulary = np.random.default_rng(seed), vocabulary

    def one(self, length: int) -> Tokens:
        return [int(t) for t in self._rng.integers(0, self._vocabulary, size=length)]

    def each(self, clients: int, length: int) -> list[list[Tokens]]:
        """One transcript for each client."""
        return [[self.one(length)] for _ in range(clients)]

    def turns(self, count: int, step: int) -> list[Tokens]:
        """Append-only turns of one conversation."""
        whole = self.one(count * step)
        return [whole[: step * (turn + 1)] for turn in range(count)]


def load(model: str, *, device: str) -> tuple[Any, dict[str, Backbone]]:
    """The naive model and the engines' backbones, on the same weights."""
    if model == "qwen3-0.6b-shape":
        naive = causal_lm(seed=0, device=device)
        return naive, {name: backbone_of(naive, dtype=dtype, device=device) for name, dtype in ENGINES.items()}
    from transformers import AutoModelForCausalLM

    backbones = {name: load_backbone(model, device=device, dtype=dtype) for name, dtype in ENGINES.items()}
    directory = backbones["f32"].directory
    # The dequantised copy has no LM head of its own: it is tied, or (untied) its values do not matter for time.
    with quiet_transformers():
        naive = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return naive.to(device).eval().requires_grad_(False), backbones


async def check(naive: Naive, engines: dict[str, Routed], texts: Texts) -> dict[str, float]:
    """How far the engines' logits are from the naive ones, in per cent of the logits' spread."""
    worst = dict.fromkeys(engines, 0.0)
    for length in (9, 40):
        tokens = texts.one(length)
        expected = naive.logits(tokens)
        for name, engine in engines.items():
            distance = np.abs(await engine.logits(tokens) - expected).max() / np.ptp(expected)
            worst[name] = max(worst[name], 100 * float(distance))
    return {f"{name}_distance_percent_of_spread": value for name, value in worst.items()}


async def grid(ways: dict[str, Way], texts: Texts, *, deadline_s: float) -> list[dict[str, float | str]]:
    """Tokens x clients, as far as the time goes."""
    rows: list[dict[str, float | str]] = []
    print(f"{'way':10} {'tokens':>6} {'clients':>7} {'p50 ms':>9} {'p99 ms':>9} {'per s':>8} {'CPU ms':>8}")
    for tokens, clients in itertools.product((32, 128, 512), (1, 4, 16)):
        scenario = Scenario("grid", partial(texts.each, clients, tokens))
        if time.monotonic() > deadline_s:
            break
        for _ in range(3):
            await scenario.repeat(ways)
        figures = scenario.figures()
        for name in ways:
            row = {key: figures[f"{name}_grid_{key}"] for key in ("p50_ms", "p99_ms", "per_s", "cpu_ms")}
            rows.append({"way": name, "tokens": tokens, "clients": clients, **row})
            values = f"{row['p50_ms']:9.1f} {row['p99_ms']:9.1f} {row['per_s']:8.2f} {row['cpu_ms']:8.1f}"
            print(f"{name:10} {tokens:6} {clients:7} {values}")
    return rows


def profile(engine: Engine | None, name: str, texts: Texts, *, device: str) -> dict[str, float]:
    """Where one decision's time goes, in per cent: a fresh transcript, and a later turn of one."""
    assert engine is not None
    # In this order: a product of attention is no linear layer.
    kinds = {
        "attention": ("scaled_dot_product", "flash", "softmax", "bmm"),
        "linear": ("linear_pointwise", "mm", "cutlass", "nvjet"),
    }
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device != "cpu":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    out = {}
    turns = texts.turns(2, ALONE_TOKENS)
    engine.clear_cache()
    for turn, tokens in zip(("fresh", "later"), turns, strict=True):
        with torch.profiler.profile(activities=activities) as run:
            engine.features([tokens])
        shares = dict.fromkeys([*kinds, "other"], 0.0)
        for event in run.key_averages():
            kind = next((k for k, names in kinds.items() if any(part in event.key for part in names)), "other")
            shares[kind] += event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        total = sum(shares.values()) or 1.0
        out |= {f"profile_{name}_{turn}_{kind}_percent": 100 * value / total for kind, value in shares.items()}
    return out


def plot(path: Path, scenarios: list[Scenario], result: dict[str, Any], names: list[str]) -> None:
    """Speedups as bars; where the table was measured, latency over tokens beside them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = result.get("grid", [])
    fig, axes = pyplot.subplots(1, 2 if rows else 1, figsize=(13 if rows else 7, 4), squeeze=False)
    axis = axes[0][0]
    for i, name in enumerate(names):
        heights = [result[f"speedup_{name}_{s.name}"] for s in scenarios]
        bars = axis.bar([x + 0.8 / len(names) * i for x in range(len(scenarios))], heights, width=0.76 / len(names), label=name)
        axis.bar_label(bars, fmt="%.1f")
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks([x + 0.4 - 0.4 / len(names) for x in range(len(scenarios))], [s.name.replace("_", " ") for s in scenarios])
    axis.set_ylabel("times as fast as the naive loop")
    axis.legend()
    if rows:
        axis = axes[0][1]
        for name, clients in itertools.product(["naive", *names], (1, 16)):
            points = [(row["tokens"], row["p50_ms"]) for row in rows if (row["way"], row["clients"]) == (name, clients)]
            axis.plot(
                *zip(*points, strict=True), marker="o", linestyle="-" if clients == 1 else ":", label=f"{name}, {clients}"
            )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("tokens")
        axis.set_ylabel("p50 in ms, by way and clients")
        axis.legend(fontsize=7)
    fig.savefig(path, dpi=120, bbox_inches="tight")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements of one run."""
    async with AsyncExitStack() as stack:
        return await _run(options, stack)


async def _run(options: argparse.Namespace, stack: AsyncExitStack) -> dict[str, Any]:
    began = time.monotonic()
    model, backbones = load(options.model, device=options.device)
    info = backbones["f32"].info
    head = np.random.default_rng(1).normal(size=(WORKERS + 3, info.hidden_size)).astype(np.float32)
    naive = Naive(model, torch.from_numpy(head).to(options.device))
    engines = {name: await in_process(backbone, head) for name, backbone in backbones.items()}
    for engine in engines.values():
        stack.push_async_callback(engine.host.close)
    if options.host == "triton":
        name = "f32" if options.device == "cpu" else "bf16"
        triton = behind_triton(model, head, dtype=ENGINES[name], threads=options.threads, device=options.device)
        engines[f"triton_{name}"] = await stack.enter_async_context(triton)
    texts = Texts(info.vocab_size, options.seed)
    step = 48 if options.quick else 128
    scenarios = [
        Scenario("alone", lambda: [[texts.one(ALONE_TOKENS)]]),
        Scenario("16_clients", partial(texts.each, CLIENTS, CLIENT_TOKENS)),
        Scenario("five_turns", lambda: [texts.turns(TURNS, step)]),
    ]
    if options.device != "cpu":
        scenarios.append(Scenario("512_alone", lambda: [[texts.one(512) for _ in range(20)]]))
        scenarios.append(Scenario("512_64_clients", lambda: [[texts.one(512) for _ in range(4)] for _ in range(64)]))
    ways: dict[str, Way] = {"naive": naive.way, **{name: engine.way for name, engine in engines.items()}}
    figures = await check(naive, engines, texts)  # warms up, too
    print(f"loaded and checked in {time.monotonic() - began:.1f} s; {options.threads} threads on {info.device}")
    for repetition in range(options.repetitions):
        for scenario in scenarios:
            if repetition and time.monotonic() - began > options.budget_s:
                break
            await scenario.repeat(ways)
    # The shortest scenario is the noisiest: what time is left is its.
    while options.quick and time.monotonic() - began < QUICK_TURNS_S:
        await scenarios[2].repeat(ways)
    for scenario in scenarios:
        figures |= scenario.figures()
    for name, value in figures.items():
        print(f"{name} {value:.4g}")
    result: dict[str, Any] = {**figures, "model": options.model, "device": info.device, "threads": options.threads}
    result |= {"torch": torch.__version__, "load_average": os.getloadavg()[0], "repetitions": len(scenarios[0].wall_s["naive"])}
    # On a busy machine --quick leaves the profile out rather than take longer than it promises.
    for name in ENGINES if not options.quick or time.monotonic() - began < QUICK_PROFILE_S else ():
        shares = profile(engines[name].engine, name, texts, device=info.device)
        print("\n".join(f"{key} {value:.1f}" for key, value in shares.items()))
        result |= shares
    if not options.quick:
        result["grid"] = await grid(ways, texts, deadline_s=began + options.budget_s + 240)
    if options.plot:
        plot(options.plot, scenarios, result, list(engines))
    print(f"wall {time.monotonic() - began:.1f} s, CPU {time.process_time():.1f} s")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one or two repetitions: within 45 s on two cores")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="write a picture of the speedups here")
    parser.add_argument("--model", default="qwen3-0.6b-shape", help="or a name, directory or GGUF file (default: %(default)s)")
    parser.add_argument(
        "--host", choices=("inprocess", "triton"), default="inprocess", help="triton: one more way, through Triton"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.repetitions, options.budget_s = (2, 15.0) if options.quick else (7, 240.0)
    torch.set_num_threads(options.threads)
    result = asyncio.run(run(options))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
