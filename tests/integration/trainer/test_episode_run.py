"""Runs on live episodes as users start them: processes, real HTTP workers, kills, a worker that goes away."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.episodes import WORKERS, WorldServer, write_world
from support.evolution import TrainerProcess, wait_until

from kubefugu_routing.policy import load_artifact
from kubefugu_trainer.evolution.choice import Draw
from kubefugu_trainer.queue.candidates import draw_from_bytes, draw_to_bytes
from kubefugu_trainer.queue.problems import solver_of

pytestmark = pytest.mark.timeout(300)
GENERATIONS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[WorldServer]:
    with WorldServer() as started:
        yield started


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, server: WorldServer) -> Path:
    return write_world(tmp_path_factory.mktemp("episodes"), server.upstream.url)


def start(place: Path, out: Path | str, *flags: str) -> TrainerProcess:
    questions = place / "questions.jsonl"
    arguments = [
        "train", "evolve", "--pool", str(place / "pool.yaml"), "--init", str(place / "stage1.safetensors"),
        "--backbone", str(place / "model"), "--tasks", f"json:{questions},{questions}", "--n", "12", "--held-out", "8",
        "--turns", "2", "--temperature", "0.3", "--subset", "2", "--generations", str(GENERATIONS), "--population", "6",
        "--batch", "6", "--sigma", "0.5", "--scaling", "features", "--threads", "1", "--out", str(out), "--progress", "json",
        *flags,
    ]  # fmt: skip
    return TrainerProcess(arguments, log=place / f"{uuid.uuid4().hex}.log", home=place / "home")


def trajectory(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "elapsed_s"} for line in lines if line["event"] == "generation"]


@pytest.fixture(scope="module")
def finished(place: Path) -> Path:
    process = start(place, place / "whole")
    assert process.wait(timeout_s=120) == 0, process.output
    return place / "whole"


def test_a_run_leaves_what_it_found(place: Path, finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["items"] == 8
    assert {"gain_over_start", "p_vs_start", "gain_over_stage1", "gain_over_stage1_ci", "groups"} <= set(report)
    assert report["policies"]["stage1"]["turns"] == 1.0
    artifact = load_artifact(finished / "artifact.safetensors")
    assert artifact.roles
    assert [row.name for row in artifact.workers] == list(WORKERS)
    assert artifact.training["episodes"]["turns"] == 2
    records = trajectory(finished)
    assert len(records) == GENERATIONS
    assert all(len(record["roles"]) == 3 and 1 <= record["turns"] <= 2 for record in records)
    for name in ("fitness", "sigma", "worker_share", "roles", "groups"):
        assert (finished / "plots" / f"{name}.png").stat().st_size > 1000
    assert "groups.png" in (finished / "plots" / "index.html").read_text()


def test_killed_and_with_a_worker_away_a_run_comes_to_the_same_end(
    place: Path, finished: Path, server: WorldServer, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    process = start(place, out)
    wait_until(lambda: (out / "checkpoints.jsonl").is_file() and len(trajectory(out)) >= 2, what="two generations")
    process.signal(signal.SIGKILL)
    process.wait()
    server.stop()  # what was asked once is not asked again; what is new waits for the worker
    again = start(place, out)
    wait_until(lambda: "generations" in again.output, what="the run goes on")
    server.start()
    assert again.wait(timeout_s=120) == 0, again.output
    assert trajectory(out) == trajectory(finished)
    assert (out / "artifact.safetensors").read_bytes() == (finished / "artifact.safetensors").read_bytes()


def test_a_signal_ends_a_run_that_waits_for_a_worker(place: Path, server: WorldServer, tmp_path: Path) -> None:
    server.stop()
    try:
        process = start(place, tmp_path / "waiting")
        wait_until(lambda: "worker_circuit_opened" in process.output or process.returncode is not None, what="an open circuit")
        process.signal(signal.SIGTERM)
        assert process.wait() == 75
        assert "goes on from its last checkpoint" in process.output
    finally:
        server.start()


def test_an_evaluator_measures_what_the_driver_measures(finished: Path) -> None:
    rng = np.random.default_rng(0)
    draw = Draw(
        np.arange(6), np.ones((6, len(WORKERS)), dtype=bool), np.zeros((0, 0)), rng.integers(2**62, size=6, dtype=np.int64)
    )
    sent = draw_from_bytes(draw_to_bytes(draw))
    raw = (finished / "snapshot" / "problem.json").read_bytes()
    with np.load(finished / "snapshot" / "start.npz") as arrays:
        x = arrays["start"]
    measured = []
    for drawn in (draw, sent):
        solver = solver_of(raw, device="cpu")
        measured.append(solver.solve((x + 0.01).tobytes(), draw_to_bytes(drawn)))
        solver.close()
    assert measured[0] == measured[1]


def test_a_prefix_holds_the_run_and_the_endpoint_tells_about_it(place: Path, finished: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    flags = ("--replies", str(finished / "replies.sqlite"), "--status", "127.0.0.1:0", "--generations", "2")
    process = start(place, prefix.as_uri(), *flags)
    assert process.wait(timeout_s=120) == 0, process.output
    assert {"config.json", "checkpoints.jsonl", "artifact.safetensors", "report.json"} <= {p.name for p in prefix.iterdir()}
    assert trajectory(prefix) == trajectory(finished)[:2]


def test_artifacts_are_compared_on_the_same_episodes(place: Path, finished: Path, tmp_path: Path) -> None:
    questions = place / "questions.jsonl"
    process = TrainerProcess(
        ["train", "compare", f"stage2={finished}", f"stage1={place / 'stage1.safetensors'}", "--pool", str(place / "pool.yaml"),
         "--backbone", str(place / "model"), "--tasks", f"json:{questions},{questions}", "--n", "12", "--held-out", "8",
         "--turns", "2", "--threads", "1", "--replies", str(finished / "replies.sqlite"), "--json", str(tmp_path / "c.json")],
        log=tmp_path / "log", home=place / "home",
    )  # fmt: skip
    assert process.wait() == 0, process.output
    figures = json.loads((tmp_path / "c.json").read_text())
    report = json.loads((finished / "report.json").read_text())
    assert figures["policies"]["stage2"]["score"] == report["score"]
    assert figures["against"]["stage2 - stage1"]["gain"] == pytest.approx(report["gain_over_stage1"])
    assert "held-out episodes" in process.output
    assert "stage2 - stage1" in process.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--offsets", "layer"), "heads"),
        (("--turns", "6"), "allows 5 turns"),
        (("--subset", "4"), "subset is 4"),
        (("--data", "x.jsonl"), "Either --data TABLE or --pool FILE"),
        (("--held-out", "400"), "different questions"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(place: Path, tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    process = start(place, tmp_path / "out", *flags)
    assert process.wait() == 1
    assert says in process.output
    assert "Traceback" not in process.output
