"""`ConductorRun` as the command wires it: live HTTP workers, run directory, artifact, report, curves; and GRPO that learns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from support.pools import pool_of, worker
from support.tiny_conductor import PLAN, item, tiny_backbone, tiny_config
from support.upstream import Script, Upstream

from kubefugu_core.pool import WorkerPool
from kubefugu_routing.causal.artifact import load_conductor
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.learner import train_grpo
from kubefugu_trainer.grpo.model import load_trainable
from kubefugu_trainer.grpo.run import ConductorRun, LivePool, Surroundings
from kubefugu_trainer.grpo.warm import warm_start
from kubefugu_trainer.runs.directory import RunDirectory
from kubefugu_trainer.runs.progress import SilentReporter

LOSING = 'model_id: [0, 1, 2]\nsubtasks: ["A", "B", "Both"]\naccess_list: [[], [], [1]]'
"""The taught plan but for the join that sees only one part."""
ANSWERS = {"alpha-model": "A is 1.", "beta-model": "B is 2."}


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """Two workers behind real HTTP, on an event loop of their own: learner and sampler block the test's."""
    loop, upstream = asyncio.new_event_loop(), Upstream()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    upstream.respond = lambda body: Script(text=ANSWERS[body["model"]])
    asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result()
    yield pool_of(worker("alpha", upstream.url), worker("beta", upstream.url))
    asyncio.run_coroutine_threadsafe(upstream.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_grpo_raises_the_reward_of_plans_that_the_executor_runs(pool: WorkerPool, tmp_path: Path) -> None:
    """Taught a right and a lossy plan alike, the decoder learns from the executed answers alone which one is better."""
    config = tiny_config(
        tiny_backbone(tmp_path / "backbone"),
        warm_epochs=80, temperature=0.5, steps=10, questions_per_step=1, group=8, micro_batch=8, oversample=1, lr=2e-4,
        contested=False, max_tokens=100,
    )  # fmt: skip
    base, model = load_trainable(config, device="cpu", threads=1)
    live, stop, lines = LivePool(pool, replies=tmp_path / "replies.sqlite", config=config), threading.Event(), []
    shared: dict[str, Any] = {
        "config": config, "stop": stop, "reporter": SilentReporter(), "record": lines.append, "use_cpu": True,
    }  # fmt: skip
    try:
        warm_start(base, model, [item()] * 8, [PLAN, LOSING] * 4, folder=tmp_path / "warm", **shared)
        train_grpo(base, model, [item()], folder=tmp_path / "grpo", run_plans=live, **shared)
    finally:
        live.close()
    right = [line["right"] for line in lines if line["stage"] == "rollouts"]
    assert 0.0 < np.mean(right[:3]) < 0.9, "there was something to learn"
    assert np.mean(right[-3:]) > np.mean(right[:3]) + 0.1
    assert np.mean(right[-3:]) > 0.85
    # 80 plans of two worker calls each: equal plans of a step run once, and what an earlier step asked comes from the cache.
    assert live.cache.hits > 0
    assert live.cache.hits + live.cache.misses < 80
    assert live.cache.misses < 32


def run_once(config: ConductorConfig, pool: WorkerPool, out: Path, stop: threading.Event) -> Path:
    run = RunDirectory(out, config=config.model_dump(mode="json"))
    try:
        return ConductorRun(
            config, pool, run=run, reporter=SilentReporter(), stop=stop, around=Surroundings(threads=1)
        ).execute()
    finally:
        run.close()


def test_a_run_leaves_artifact_report_and_curves_and_goes_on_after_a_stop(pool: WorkerPool, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    lines = [{"prompt": f"Find A{n}. Find B{n}.", "answer": "A is 1.", "kind": "contains"} for n in range(10)]
    tasks.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    config = tiny_config(
        tiny_backbone(tmp_path / "backbone"),
        tasks=str(tasks), questions=6, held_out=4, warm_epochs=1, warm_examples=6, steps=2, questions_per_step=1, group=2,
        micro_batch=2, max_tokens=16, least_workers=1, most_workers=2, search_tries=20, search_questions=4, search_epochs=1,
    )  # fmt: skip
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(RunStoppedError):
        run_once(config, pool, tmp_path / "run", stopped)
    artifact = run_once(config, pool, tmp_path / "run", threading.Event())
    trained = load_conductor(artifact)
    assert (trained.kind, trained.prompt_style, trained.max_steps) == ("full", "steps", 3)
    report = orjson.loads((tmp_path / "run" / "report.json").read_bytes())
    assert report["greedy"]["reward_gain"].keys() >= {"difference", "low", "high", "p"}
    assert report["greedy"].keys() == {"before", "found", "after", "reward_gain", "reward_gain_of_grpo"}
    found = orjson.loads((tmp_path / "run" / "found.json").read_bytes())
    assert 0 < len(found) <= 4, "alpha's part alone decides, and chance gives it to alpha"
    assert report["zero_variance_groups"]["steps"] == 2
    assert {path.name for path in (tmp_path / "run" / "plots").iterdir()} == {"warm_start.png", "found_plans.png", "grpo.png"}
    before = artifact.stat().st_mtime_ns
    assert run_once(config, pool, tmp_path / "run", threading.Event()) == artifact
    assert artifact.stat().st_mtime_ns >= before
