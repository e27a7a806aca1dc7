"""Candidates measured by evaluator processes over a real Redis: kills, and results that are lost, doubled, late or poisoned."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest
import torch
from support.evaluators import RedisServer, evaluator, evaluators, kill_tree, ready
from support.evolution import TrainerProcess, wait_until, write_backbone, write_table

from kubefugu_core.errors import UnavailableError
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.svf import layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle
from kubefugu_trainer.evolution.choice import Draw, Generation, Measured
from kubefugu_trainer.evolution.evaluators import InProcessEvaluator
from kubefugu_trainer.evolution.fitness import make_fitness
from kubefugu_trainer.evolution.problem import Problem
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.evolution.vector import layout_for
from kubefugu_trainer.queue.app import QUEUE, TASK, connect, make_app
from kubefugu_trainer.queue.candidates import CeleryEvaluator, draw_from_bytes, draw_to_bytes
from kubefugu_trainer.queue.mailbox import Answer, Mailbox
from kubefugu_trainer.queue.tasks import run_identity
from kubefugu_trainer.runs.progress import SilentReporter

WORKERS, QUESTIONS, CANDIDATES = 3, 24, 8
pytestmark = pytest.mark.timeout(300)  # processes that load torch


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def clean(redis: RedisServer) -> Iterator[None]:
    torch.set_num_threads(1)
    connect(redis.url).flushall()
    yield
    for process in psutil.Process().children(recursive=True):
        assert "evaluator" not in " ".join(process.cmdline())


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """Some tenths of a second a candidate."""
    folder = tmp_path_factory.mktemp("problem")
    backbone = load_backbone(str(write_backbone(folder / "model")))
    svf = layout_of(backbone.info)
    rng = np.random.default_rng(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBEFUGU_HOME", str(folder / "home"))
        save_bundle(folder / "bundle", make_bundle(backbone, layer=svf.layer))
    return Problem(
        scores=rng.random((QUESTIONS, WORKERS)), costs=None,
        layout=layout_for("layer", svf, rows=WORKERS, width=backbone.info.hidden_size, tied=True),
        entropy_weight=0.15, cost_weight=0.0, backbone=str(folder / "model"), backbone_revision=backbone.info.revision,
        layer=svf.layer, tie_mode="author", bundle=(folder / "bundle").read_bytes(), threads=1,
        tokens=tuple(rng.integers(0, 500, size=400 + i).astype(np.int32) for i in range(QUESTIONS)),
    )  # fmt: skip


def generation(number: int, *, common: bool = True) -> tuple[Generation, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(number)
    draws = tuple(
        Draw(
            np.sort(rng.choice(QUESTIONS, 16, replace=False)),
            np.ones((16, WORKERS), dtype=bool),
            rng.gumbel(size=(16, WORKERS)),
        )
        for _ in range(1 if common else CANDIDATES)
    )
    return Generation(number, draws), rng


def candidates(problem: Problem, rng: Any) -> Any:
    return rng.normal(size=(CANDIDATES, problem.layout.total)) * 0.1


@pytest.fixture(scope="module")
def here(problem: Problem) -> InProcessEvaluator:
    return InProcessEvaluator(make_fitness(problem))


def expected(here: InProcessEvaluator, problem: Problem, number: int, *, common: bool = True) -> list[Measured]:
    drawn, rng = generation(number, common=common)
    return here.evaluate(drawn, candidates(problem, rng), on_result=lambda *_: None)


class Driver:
    """A CeleryEvaluator that evaluates in a thread."""

    def __init__(self, redis: RedisServer, problem: Problem, run_id: str) -> None:
        self.stop = threading.Event()
        self.seen: list[int] = []
        self.problem = problem
        self._evaluator = CeleryEvaluator(
            redis.url, run_id=run_id, problem=problem, stop=self.stop, reporter=SilentReporter(), patience_s=60
        )
        self._threads = ThreadPoolExecutor(1)

    def begin(self, number: int, *, common: bool = True) -> Future[list[Measured]]:
        drawn, rng = generation(number, common=common)
        return self._threads.submit(
            self._evaluator.evaluate, drawn, candidates(self.problem, rng), on_result=lambda i, _: self.seen.append(i)
        )

    def close(self) -> None:
        self.stop.set()
        self._threads.shutdown()
        self._evaluator.close()


@pytest.fixture
def driver(redis: RedisServer, problem: Problem) -> Iterator[Driver]:
    made = Driver(redis, problem, "run")
    yield made
    made.close()


def test_an_evaluator_killed_in_a_generation_changes_nothing(
    redis: RedisServer, problem: Problem, here: InProcessEvaluator, driver: Driver, tmp_path: Path
) -> None:
    client = connect(redis.url)
    with evaluators(redis, tmp_path, 2) as processes:
        ready(processes)
        assert driver.begin(0).result(100) == expected(here, problem, 0)
        running = driver.begin(1)
        victim: list[TrainerProcess] = []

        def working() -> bool:
            for key in client.scan_iter("kubefugu:{run}:1:claim:*"):
                holder = client.get(key)
                if holder is not None:
                    owner = psutil.Process(int(holder)).ppid()
                    victim[:] = [process for process in processes if process.pid == owner]
                    return bool(victim)
            return False

        wait_until(working, what="a claimed candidate")
        kill_tree(victim[0], signal.SIGKILL)
        assert victim[0].wait() == -signal.SIGKILL
        assert running.result(100) == expected(here, problem, 1)
        assert sorted(driver.seen) == sorted([*range(CANDIDATES), *range(CANDIDATES)])
        survivor = next(process for process in processes if process is not victim[0])
        assert survivor.returncode is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_evaluators_killed_at_twenty_random_points_change_nothing(
    redis: RedisServer, problem: Problem, here: InProcessEvaluator, driver: Driver, tmp_path: Path
) -> None:
    """Whenever an evaluator dies: starting, idle, with a candidate in hand, between result and acknowledgement."""
    kills = np.random.default_rng(20)
    killed, number, started = 0, 0, 2
    with evaluators(redis, tmp_path, 2) as processes:
        while killed < 20:
            running = driver.begin(number)
            while not running.done() and killed < 20:
                time.sleep(float(kills.uniform(0.02, 0.8)))
                victim = int(kills.integers(len(processes)))
                kill_tree(processes[victim], signal.SIGKILL)
                processes[victim].wait()
                processes[victim] = evaluator(redis, tmp_path, started)
                killed, started = killed + 1, started + 1
            assert running.result(600) == expected(here, problem, number)
            number += 1
    assert number >= 1


def test_lost_doubled_late_and_poisoned_results(
    redis: RedisServer, problem: Problem, here: InProcessEvaluator, driver: Driver, tmp_path: Path
) -> None:
    client = connect(redis.url)
    mailbox = Mailbox(client, "run")
    wanted = expected(here, problem, 2)
    nan = {**wanted[0].to_json(), "fitness": None}
    running = driver.begin(2)
    wait_until(lambda: client.llen(QUEUE) == CANDIDATES, what="tasks")
    client.delete(QUEUE)  # lost: the broker forgot them all
    for candidate, raw in enumerate(
        [
            b"not json",
            orjson.dumps([1, 2]),
            orjson.dumps({"digest": "0" * 64, "error": "", "result": wanted[2].to_json()}),  # of other work
            json.dumps({"digest": _digest(mailbox, 2, 3), "error": "", "result": nan}).encode(),
            orjson.dumps({"digest": _digest(mailbox, 2, 4), "error": "", "result": {**wanted[4].to_json(), "shares": [1.0]}}),
        ]
    ):
        client.hset("kubefugu:{run}:2:results", str(candidate), raw)
        client.rpush("kubefugu:{run}:2:told", str(candidate))
    client.hset("kubefugu:{run}:2:results", "77", b"{}")  # of no candidate
    app = make_app(redis.url)
    for candidate in range(CANDIDATES):  # doubled
        app.send_task(TASK, args=("run", 2, candidate))
    with evaluators(redis, tmp_path, 1) as processes:
        assert running.result(100) == wanted
        # late: a task and a result of a generation that is over
        app.send_task(TASK, args=("run", 2, 0))
        mailbox.answer(2, 0, "0" * 64, Answer(wanted[5].to_json()))
        assert driver.begin(3, common=False).result(100) == expected(here, problem, 3, common=False)
        assert sorted(driver.seen) == sorted([*range(CANDIDATES), *range(CANDIDATES)])
        wait_until(lambda: client.llen(QUEUE) == 0, what="an empty queue")
        assert processes[0].returncode is None
    app.close()


def _digest(mailbox: Mailbox, number: int, candidate: int) -> str:
    work = mailbox.work(number, candidate)
    assert work is not None
    return work.digest


def test_a_candidate_that_no_evaluator_can_measure_ends_the_run(redis: RedisServer, problem: Problem, tmp_path: Path) -> None:
    other = replace(problem, backbone_revision="another")
    with (
        closing(Driver(redis, other, "refused")) as driver,
        evaluators(redis, tmp_path, 1),
        pytest.raises(UnavailableError, match="3 times: The backbone .* another"),
    ):
        driver.begin(0).result(100)


def test_redis_dies_and_comes_back(redis: RedisServer, problem: Problem, here: InProcessEvaluator, tmp_path: Path) -> None:
    with closing(Driver(redis, problem, "phoenix")) as driver, evaluators(redis, tmp_path, 1) as processes:
        ready(processes)
        running = driver.begin(0)
        wait_until(lambda: driver.seen, what="a result")
        redis.kill()
        redis.start()
        assert running.result(100) == expected(here, problem, 0)
        assert sorted(driver.seen) == list(range(CANDIDATES))


def test_a_broker_that_stays_away_is_one_sentence(tmp_path: Path, problem: Problem) -> None:
    server = RedisServer(tmp_path)
    evaluator = CeleryEvaluator(
        server.url, run_id="r", problem=problem, stop=threading.Event(), reporter=SilentReporter(), patience_s=0.5
    )
    server.kill()
    drawn, rng = generation(0)
    with pytest.raises(UnavailableError, match="goes on from its last checkpoint"):
        evaluator.evaluate(drawn, candidates(problem, rng), on_result=lambda *_: None)
    evaluator.close()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        CeleryEvaluator(
            "redis://user:secret@127.0.0.1:1/0", run_id="r", problem=problem, stop=threading.Event(), reporter=SilentReporter()
        )


def test_stopping_does_not_wait_for_evaluators(driver: Driver) -> None:
    running = driver.begin(0)
    driver.stop.set()
    with pytest.raises(RunStoppedError):
        running.result(60)


def test_a_run_with_a_broker_is_the_run_without_even_when_its_driver_is_killed(redis: RedisServer, tmp_path: Path) -> None:
    write_backbone(tmp_path / "model")
    write_table(tmp_path / "table.jsonl")
    flags = [
        "train", "evolve", "--data", str(tmp_path / "table.jsonl"), "--backbone", str(tmp_path / "model"), "--threads", "1",
        "--generations", "8", "--population", "5", "--batch", "10", "--offsets", "layer", "--sample", "--progress", "none",
    ]  # fmt: skip

    def begin(out: str, *more: str) -> TrainerProcess:
        return TrainerProcess([*flags, "--out", str(tmp_path / out), *more], log=tmp_path / "log", home=tmp_path / "home")

    assert begin("alone").wait() == 0
    with evaluators(redis, tmp_path, 2):
        first = begin("spread", "--broker", redis.url)
        wait_until((tmp_path / "spread" / "metrics.jsonl").is_file, what="a generation")
        first.signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        again = begin("spread", "--broker", redis.url)
        assert again.wait() == 0, again.output
    assert _fitness(tmp_path / "spread") == _fitness(tmp_path / "alone")
    heads = [(tmp_path / name / "artifact.safetensors").read_bytes() for name in ("alone", "spread")]
    assert heads[0] == heads[1]


def _fitness(out: Path) -> list[Any]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["fitness"], line["mean_sha256"], line["sigma"]) for line in lines if line["event"] == "generation"]


def test_draws_travel_exactly() -> None:
    for drawn in (generation(0)[0].draw(0), Draw(np.array([3]), np.array([[True, False]]), np.zeros((0, 0)))):
        back = draw_from_bytes(draw_to_bytes(drawn))
        for one, other in ((drawn.rows, back.rows), (drawn.allowed, back.allowed), (drawn.noise, back.noise)):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_the_runs_identity_is_kept(tmp_path: Path) -> None:
    assert run_identity(tmp_path) == run_identity(tmp_path)
    assert len(run_identity(tmp_path)) == 32
    assert os.listdir(tmp_path) == ["run_id"]
