"""Plans of a Conductor run executed by evaluator processes over a real Redis."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from support.evaluators import RedisServer, evaluators, kill_tree, ready
from support.evolution import wait_until
from support.pools import pool_of, worker
from support.upstream import Script, Upstream

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.pool import WorkerPool
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item
from kubefugu_trainer.grpo.rollouts import Rollout
from kubefugu_trainer.grpo.run import LivePool
from kubefugu_trainer.queue.app import connect
from kubefugu_trainer.queue.plans import CeleryRollouts, PlanProblem, PlanSolver
from kubefugu_trainer.runs.progress import SilentReporter

pytestmark = pytest.mark.timeout(300)
NAMES = ("geography", "units", "dates", "algebra")
CONFIG = ConductorConfig(backbone="none", questions=8, held_out=4, least_workers=3, most_workers=4, max_steps=3)
TEXTS = ('"What?" -> {0}', '"What?" -> {0}\n"How?" -> {1}\n"Both." -> @join all', "no plan")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    loop, server = asyncio.new_event_loop(), Upstream()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server.respond = lambda body: Script(text=f"{body['model']} says 7.")
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    yield server
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def pool(upstream: Upstream) -> WorkerPool:
    return pool_of(*(worker(name, upstream.url) for name in NAMES))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


def problem(pool: WorkerPool, folder: Path) -> PlanProblem:
    manifest = pool.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return PlanProblem(config=CONFIG, pool=manifest, workers=NAMES, replies=str(folder / "replies.sqlite"))


def plans(sent: PlanProblem) -> tuple[list[Item], list[str]]:
    """Every kind of plan for every question, one of them twice."""
    items = [item for split in ("train", "test") for item in sent.items(split)]
    rows = [(item, text.format(*item.names)) for item in items for text in (*TEXTS, TEXTS[0])]
    return [item for item, _ in rows], [text for _, text in rows]


def executed_here(pool: WorkerPool, folder: Path) -> list[Rollout]:
    with closing(LivePool(pool, replies=folder / "here.sqlite", config=CONFIG)) as live:
        return live(*plans(problem(pool, folder)))


def test_evaluators_execute_what_the_learner_would_even_when_one_is_killed(
    redis: RedisServer, pool: WorkerPool, upstream: Upstream, tmp_path: Path
) -> None:
    wanted = executed_here(pool, tmp_path)
    assert {rollout.valid for rollout in wanted} == {True, False}
    asked, sent = len(upstream.requests), problem(pool, tmp_path)
    far = CeleryRollouts(redis.url, run_id="plans", problem=sent, stop=threading.Event(), reporter=SilentReporter())
    with closing(far), evaluators(redis, tmp_path, 2) as processes:
        ready(processes)
        assert far(*plans(sent)) == wanted
        assert len(upstream.requests) > asked, "the evaluators have asked the workers"
        killer = threading.Thread(target=kill_tree, args=(processes[0], signal.SIGKILL))
        killer.start()
        assert far(*plans(sent)) == wanted
        killer.join()
        assert processes[0].wait() == -signal.SIGKILL
        assert processes[1].returncode is None
        wait_until(lambda: not [*connect(redis.url).scan_iter("kubefugu:{plans}:*:work")], what="rounds that are forgotten")


def test_other_questions_are_refused(redis: RedisServer, pool: WorkerPool, tmp_path: Path) -> None:
    sent = problem(pool, tmp_path)
    other = replace(sent, config=CONFIG.model_copy(update={"seed": 7}))
    far = CeleryRollouts(redis.url, run_id="other", problem=other, stop=threading.Event(), reporter=SilentReporter())
    items, texts = plans(sent)
    with (
        closing(far),
        evaluators(redis, tmp_path, 1),
        pytest.raises(UnavailableError, match="3 times: The task sets give other questions"),
    ):
        far(items[:1], texts[:1])


def test_workers_that_cannot_be_reached_end_the_run(redis: RedisServer, tmp_path: Path) -> None:
    sent = problem(pool_of(*(worker(name, "http://127.0.0.1:9/v1") for name in NAMES)), tmp_path)
    far = CeleryRollouts(redis.url, run_id="dead", problem=sent, stop=threading.Event(), reporter=SilentReporter())
    items, texts = plans(sent)
    with closing(far), evaluators(redis, tmp_path, 1), pytest.raises(UnavailableError, match="3 times: .*[Ww]orker"):
        far(items[:1], texts[:1])


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"format": "kubefugu-plans/1"}', b'{"format": "other/1", "config": {}}', b"{nonsense"]
)
def test_what_is_no_problem_is_refused(raw: bytes) -> None:
    with pytest.raises(DataError, match="problem"):
        PlanSolver(raw)


def test_a_problem_travels_exactly(pool: WorkerPool, tmp_path: Path) -> None:
    sent = problem(pool, tmp_path)
    back = PlanProblem.from_bytes(sent.to_bytes())
    assert back == sent
    assert [item.messages() for item in back.items("test")] == [item.messages() for item in sent.items("test")]
    assert orjson.loads(sent.to_bytes())["format"] == "kubefugu-plans/1"
