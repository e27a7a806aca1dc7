"""What one generation of the evolution search costs, and what its queue adds.

    python benchmarks/generation.py [--quick] [--json FILE]

At Qwen3-0.6B's shape (random weights, full vocabulary), in one run: a candidate the naive way (every adapted matrix
re-materialised from U, s, V into transformers' model, whole forward pass) against the trainer's (states entering the adapted
layer kept, the rest per candidate). A generation is 33 candidates; both ways are measured on a few of them and scaled, as no
candidate costs more than another. Then, over a real redis-server, the same generation by one and by two evaluator processes of
one thread each, and what the broker adds to a candidate. --quick takes 6 prompts of 128 tokens instead of 64 and fewer
candidates; with so few tokens the adapted matrices weigh more, so its ratios are lower than the full run's.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import torch
    from _qwen3 import fill_randomly

    from kubefugu_routing.backbone import Backbone, load_backbone
    from kubefugu_routing.backbone.load import describe
    from kubefugu_routing.backbone.locate import Located
    from kubefugu_routing.engine import Engine
    from kubefugu_routing.svf import LAYER_BLOCKS, layout_of
    from kubefugu_routing.svf.factors import FactorBundle, MatrixFactors, make_bundle, save_bundle
    from kubefugu_trainer.evolution.choice import Draw, Generation
    from kubefugu_trainer.evolution.evaluators import InProcessEvaluator
    from kubefugu_trainer.evolution.fitness import LayerLogits, make_fitness
    from kubefugu_trainer.evolution.problem import Problem
    from kubefugu_trainer.evolution.vector import VectorLayout, layout_for
    from kubefugu_trainer.queue.evaluator import CeleryEvaluator
except ModuleNotFoundError as missing:
    sys.exit(f"This benchmark needs the trainer's packages ({missing.name} is missing): make install-dev")

GENERATION = 33
"""Candidates of a generation: 4 + floor(3 ln 19456)."""
TOKENS = 128
WORKERS = 10
EVALUATION_S = 2.0
"""The evaluation whose overhead is stated."""


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and CPU seconds of this process, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


# --- fast fitness against naive re-materialisation -------------------------------------------------------------------------


def random_backbone() -> Backbone:
    """Qwen3-0.6B's shape with random weights."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=151_936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
        num_key_value_heads=8, head_dim=128, tie_word_embeddings=True, max_position_embeddings=4096,
    )  # fmt: skip
    with torch.device("meta"):
        model = Qwen3Model(config)
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    model.rotary_emb = type(model.rotary_emb)(config)  # its frequencies are computed, not drawn
    fill_randomly(model, seed=0, device="cpu")
    located = Located(id="random/qwen3-0.6b-shape", revision="0" * 64, directory=Path())
    return Backbone(describe(model, located, device="cpu", dtype="float32"), model, None, Path())


def factors(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, s, V through the smaller Gram matrix in float64 (random matrices are well conditioned)."""
    wide = matrix.double()
    tall = wide if wide.shape[0] >= wide.shape[1] else wide.T
    values, vectors = torch.linalg.eigh(tall.T @ tall)
    s = values.flip(0).clamp_min(0).sqrt()
    right = vectors.flip(1).contiguous()
    left = tall @ right / s
    u, v = (left, right) if tall is wide else (right, left)
    return u.float(), s, v.float().contiguous()


class Naive:
    """The straightforward way: W' = U diag(s (1 + delta)) V^T * scale for every matrix, into the model, forward, head."""

    def __init__(self, backbone: Backbone, parts: dict[str, tuple[torch.Tensor, ...]], layer: int) -> None:
        self._model = backbone.model
        self._parts = parts
        block = self._model.layers[layer]
        self._modules = {
            name: getattr(block.self_attn if hasattr(block.self_attn, name) else block.mlp, name) for name in parts
        }

    def logits(self, layout: VectorLayout, x: np.ndarray[Any, Any], tokens: torch.Tensor) -> np.ndarray[Any, Any]:
        """(B, rows)."""
        blocks, head = layout.split(x)
        with torch.inference_mode():
            for name, (u, s, v) in self._parts.items():
                raised = s * (1 + torch.from_numpy(blocks[name]).double())
                spectrum = (raised * (s.sum() / raised.sum())).float()
                self._modules[name].weight.copy_((u * spectrum) @ v.T)
            hidden = self._model(input_ids=tokens, use_cache=False).last_hidden_state[:, -2]
            return np.asarray(hidden.numpy() @ head.T)


def generation_cost(*, prompts: int, naive_candidates: int, fast_candidates: int) -> dict[str, float]:
    backbone = random_backbone()
    svf = layout_of(backbone.info)
    engine = Engine(backbone, self_check=False)
    originals = {name: backbone.matrix(name, svf.layer).clone() for name in LAYER_BLOCKS}
    parts = {name: factors(matrix) for name, matrix in originals.items()}
    bundle = FactorBundle(svf.layer, {name: MatrixFactors(v, s, "") for name, (_, s, v) in parts.items()})
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, backbone.info.vocab_size, size=(prompts, TOKENS))
    layout = layout_for("layer", svf, rows=WORKERS, width=backbone.info.hidden_size, tied=True)
    problem = Problem(
        scores=rng.random((prompts, WORKERS)), costs=None, layout=layout, entropy_weight=0.15, cost_weight=0.0, backbone="",
        backbone_revision="", layer=svf.layer, tie_mode="author", tokens=tuple(row.astype(np.int32) for row in tokens),
    )  # fmt: skip
    rows = np.arange(prompts)
    candidates = rng.normal(size=(max(naive_candidates, fast_candidates) + 1, layout.total)) * 0.03

    def build() -> LayerLogits:
        made = LayerLogits(problem, engine, bundle)
        made.logits(candidates[-1], rows)
        return made

    build_s, build_cpu_s, fast = timed(build)
    warm_s, warm_cpu_s, ours = timed(lambda: [fast.logits(x, rows) for x in candidates[:fast_candidates]])
    per_fast, build_s = warm_s / fast_candidates, build_s - warm_s / fast_candidates
    naive = Naive(backbone, parts, svf.layer)
    ids = torch.from_numpy(tokens)
    naive_s, naive_cpu_s, theirs = timed(lambda: [naive.logits(layout, x, ids) for x in candidates[:naive_candidates]])
    per_naive = naive_s / naive_candidates
    difference = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=False))
    same = all(bool((a.argmax(1) == b.argmax(1)).all()) for a, b in zip(ours, theirs, strict=False))
    print(f"Qwen3-0.6B shape, {prompts} prompts of {TOKENS} tokens, {torch.get_num_threads()} threads, per candidate:")
    print(f"  naive                    {per_naive:8.2f} s wall {naive_cpu_s / naive_candidates:8.2f} s CPU")
    print(f"  cache warm               {per_fast:8.2f} s wall {warm_cpu_s / fast_candidates:8.2f} s CPU")
    print(f"  building the cache       {build_s:8.2f} s wall {build_cpu_s - warm_cpu_s / fast_candidates:8.2f} s CPU (once)")
    print(f"  greatest difference of a logit {difference:.1e}; the same choices: {'yes' if same else 'no'}")
    return {
        "speedup_warm": per_naive / per_fast,
        "speedup_with_build": GENERATION * per_naive / (build_s + GENERATION * per_fast),
        "naive_candidate_s": per_naive,
        "warm_candidate_s": per_fast,
        "build_s": build_s,
        "logit_difference": difference,
    }


# --- evaluators and broker -------------------------------------------------------------------------------------------------


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(folder / "r.sock"), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not (folder / "r.sock").exists():
            time.sleep(0.01)
        yield f"unix://{folder / 'r.sock'}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def evaluators(broker: str, count: int) -> Iterator[None]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "kubefugu_trainer", "evaluator", "--broker", broker, "--grace-seconds", "0"]
    processes = [
        subprocess.Popen([*command, "--log-level", "error"], env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stderr is not None
            for line in process.stderr:
                if "evaluator_ready" in line:
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()


def small_problem(folder: Path, *, questions: int) -> Problem:
    """A CPU-bound problem that evaluators load from disk: a small random decoder, long questions."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=512, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).save_pretrained(folder / "model")
    backbone = load_backbone(str(folder / "model"))
    svf = layout_of(backbone.info)
    save_bundle(folder / "bundle", make_bundle(backbone, layer=svf.layer))
    rng = np.random.default_rng(0)
    return Problem(
        scores=rng.random((questions, 3)), costs=None,
        layout=layout_for("layer", svf, rows=3, width=256, tied=True), entropy_weight=0.15, cost_weight=0.0,
        backbone=str(folder / "model"), backbone_revision=backbone.info.revision, layer=svf.layer, tie_mode="author",
        tokens=tuple(rng.integers(0, 512, size=512).astype(np.int32) for _ in range(questions)),
        bundle=(folder / "bundle").read_bytes(), threads=1,
    )  # fmt: skip


def head_problem() -> Problem:
    """A candidate that costs nothing: what is left is the queue. The vector is as long as the paper's."""
    rng = np.random.default_rng(0)
    return Problem(
        scores=rng.random((16, 19)), costs=None, layout=VectorLayout({}, 19, 1024), entropy_weight=0.15, cost_weight=0.0,
        backbone="", backbone_revision="", layer=0, tie_mode="author",
        features=rng.normal(size=(16, 1024)).astype(np.float32), threads=1,
    )  # fmt: skip


class Queue:
    """Generations of one problem over the broker."""

    def __init__(self, broker: str, name: str, problem: Problem) -> None:
        from kubefugu_trainer.runs.progress import SilentReporter

        self._problem = problem
        self._number = 0
        self._evaluator = CeleryEvaluator(
            broker, run_id=name, problem=problem, stop=threading.Event(), reporter=SilentReporter()
        )

    def generation(self, candidates: int, evaluator: Any = None) -> float:
        """Wall seconds of a generation; of `evaluator` where one is given."""
        questions, workers = self._problem.scores.shape
        draw = Draw(np.arange(questions), np.ones((questions, workers), dtype=np.bool_), np.zeros((0, 0)))
        self._number += 1
        vectors = np.random.default_rng(self._number).normal(size=(candidates, self._problem.layout.total)) * 0.03
        used = evaluator or self._evaluator
        wall, _, _ = timed(
            lambda: used.evaluate(Generation(self._number, (draw,)), vectors, on_result=lambda _index, _measured: None)
        )
        return wall

    def close(self) -> None:
        self._evaluator.close()


def queue_cost(folder: Path, *, candidates: int, questions: int, rounds: int) -> dict[str, float]:
    os.environ["KUBEFUGU_HOME"] = str(folder / "home")
    torch.set_num_threads(1)
    heavy, light = small_problem(folder, questions=questions), head_problem()
    walls: dict[int, list[float]] = {1: [], 2: []}
    with redis_server(folder) as broker:
        queue, empty = Queue(broker, "heavy", heavy), Queue(broker, "light", light)
        with evaluators(broker, 1):
            for warm in (queue, empty):
                warm.generation(2)
            walls[1] = [queue.generation(candidates) for _ in range(rounds)]
            here = InProcessEvaluator(make_fitness(light))
            empty.generation(GENERATION, here)
            local = min(empty.generation(GENERATION, here) for _ in range(3))
            remote = min(empty.generation(GENERATION) for _ in range(3))
            with evaluators(broker, 1):
                queue.generation(8)
                walls[2] = [queue.generation(candidates) for _ in range(rounds)]
        queue.close()
        empty.close()
    one, two = min(walls[1]), min(walls[2])
    added_s = max(0.0, remote - local) / GENERATION
    print(f"Evaluators of one thread, {candidates} candidates: one {one:.2f} s, two {two:.2f} s")
    print(f"Broker: {1000 * added_s:.1f} ms added to a candidate (19456 numbers)")
    return {
        "speedup_two_evaluators": one / two,
        "broker_overhead": added_s / EVALUATION_S,
        "one_evaluator_s": one,
        "two_evaluators_s": two,
        "broker_candidate_s": added_s,
    }


def main() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer prompts and candidates, within 45 s on two cores")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    quick = arguments.quick
    torch.set_num_threads(os.cpu_count() or 1)
    figures = generation_cost(
        prompts=6 if quick else 64, naive_candidates=1 if quick else 3, fast_candidates=3 if quick else GENERATION
    )
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: evaluators and broker are not measured")
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures |= queue_cost(
                Path(folder), candidates=8 if quick else GENERATION, questions=8 if quick else 16, rounds=1 if quick else 3
            )
    for name in ("speedup_warm", "speedup_with_build", "speedup_two_evaluators", "broker_overhead"):
        if name in figures:
            print(f"{name} = {figures[name]:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
