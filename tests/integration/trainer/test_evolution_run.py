"""Evolution runs as users start them: processes, run directories, kills at any point."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.evolution import WORKERS, TrainerProcess, wait_until, write_backbone, write_table

from kubefugu_core.errors import ConflictError, DataError
from kubefugu_routing.policy import load_artifact
from kubefugu_trainer.evolution.checkpoints import Checkpoints
from kubefugu_trainer.evolution.sepcma import State
from kubefugu_trainer.runs.directory import RunDirectory

GENERATIONS = 6
SMALL = ("--generations", str(GENERATIONS), "--population", "6", "--batch", "8", "--subset", "2", "--threads", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone, a table, and a KUBEFUGU_HOME."""
    folder = tmp_path_factory.mktemp("evolution")
    write_backbone(folder / "model")
    write_table(folder / "table.jsonl")
    return folder


def arguments(place: Path, out: Path, *flags: str) -> list[str]:
    inputs = ["--data", str(place / "table.jsonl"), "--backbone", str(place / "model"), "--out", str(out)]
    return ["train", "evolve", *inputs, "--progress", "json", *flags]


def start(place: Path, out: Path, *flags: str) -> TrainerProcess:
    return TrainerProcess(arguments(place, out, *flags), log=place / f"{uuid.uuid4().hex}.log", home=place / "home")


def run(place: Path, out: Path, *flags: str) -> TrainerProcess:
    process = start(place, out, *flags)
    process.wait()
    return process


def trajectory(out: Path) -> list[dict[str, Any]]:
    """What must be equal bit for bit: every candidate's figures, sigma and the mean vector's hash of each generation."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name != "elapsed_s"} for line in lines if line["event"] == "generation"
    ]


def final_state(out: Path, generations: int) -> dict[str, bytes]:
    with np.load(out / "checkpoints" / f"generation-{generations:06d}.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files if name != "record"}


@pytest.fixture(scope="module")
def uninterrupted(place: Path) -> Path:
    out = place / "whole"
    done = run(place, out, *SMALL, "--offsets", "layer")
    assert done.returncode == 0, done.output
    assert done.output.splitlines()[-1] == str(out / "artifact.safetensors")
    return out


def test_a_run_leaves_what_it_should(place: Path, uninterrupted: Path) -> None:
    out = uninterrupted
    artifact = load_artifact(out / "artifact.safetensors")
    assert tuple(row.name for row in artifact.workers) == WORKERS
    assert artifact.has_offsets
    assert artifact.factors is not None
    assert (out / f"{artifact.factors.sha256}.safetensors").is_file()
    assert artifact.training["vector"] == "mean"
    assert artifact.metrics["split"] == "test"
    assert artifact.metrics["items"] == 18
    with np.load(out / "checkpoints" / f"generation-{GENERATIONS:06d}.npz") as arrays:
        mean = arrays["mean"]
    np.testing.assert_array_equal(artifact.head.ravel(), mean[-artifact.head.size :].astype(np.float32))
    for name in ("fitness.png", "sigma.png", "worker_share.png", "index.html"):
        assert (out / "plots" / name).stat().st_size > 1000
    assert (out / "snapshot" / "table.jsonl").read_bytes() == (place / "table.jsonl").read_bytes()
    assert json.loads((out / "status.json").read_text())["state"] == "succeeded"
    records = trajectory(out)
    assert [record["generation"] for record in records] == list(range(GENERATIONS))
    assert len({tuple(record["fitness"]) for record in records}) > 1
    again = run(place, out, *SMALL, "--offsets", "layer")
    assert again.returncode == 0
    assert "already finished" in again.output
    # the evaluation that users run takes the artifact and its bundle
    evaluated = TrainerProcess(
        ["eval", "--data", str(place / "table.jsonl"), "--artifact", str(out), "--backbone", str(place / "model"),
         "--json", str(place / "eval.json"), "--robustness", "0", "--progress", "none"],
        log=place / "eval.log", home=place / "home",
    )  # fmt: skip
    evaluated.wait()
    assert evaluated.returncode == 0, evaluated.output
    assert json.loads((place / "eval.json").read_text())["router"]["accuracy"] == pytest.approx(artifact.metrics["score"])


def wait_for_more(process: TrainerProcess, metrics: Path, before: int) -> None:
    wait_until(
        lambda: process.returncode is not None or (metrics.is_file() and metrics.stat().st_size > before), what="a generation"
    )


def killed_often(place: Path, out: Path, flags: tuple[str, ...], rng: np.random.Generator) -> bool:
    """Kill a run twenty times; False where a busy machine held up the kill until the run had come to its end."""
    metrics = out / "metrics.jsonl"
    for _ in range(20):
        process = start(place, out, *flags)
        if rng.random() < 0.8:  # else at any point of the start
            wait_for_more(process, metrics, metrics.stat().st_size if metrics.is_file() else 0)
        threading.Event().wait(float(rng.uniform(0, 0.03)))
        process.signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            return False
    return True


@pytest.mark.timeout(1200)  # twenty processes that load torch, more where one came to its end
def test_a_driver_killed_at_twenty_points_resumes_bit_for_bit(place: Path) -> None:
    flags = (
        "--generations",
        "40",
        "--population",
        "6",
        "--batch",
        "8",
        "--subset",
        "2",
        "--threads",
        "1",
        "--offsets",
        "layer",
    )
    whole = place / "long"
    assert run(place, whole, *flags).returncode == 0
    rng = np.random.default_rng(20261121)
    tries = [place / f"killed-{number}" for number in range(5)]
    out = next(out for out in tries if killed_often(place, out, flags, rng))
    assert not (out / "report.json").is_file()
    done = run(place, out, *flags)
    assert done.returncode == 0, done.output
    assert trajectory(out) == trajectory(whole)
    assert final_state(out, 40) == final_state(whole, 40)
    ours, theirs = (load_artifact(folder / "artifact.safetensors") for folder in (out, whole))
    assert ours.head.tobytes() == theirs.head.tobytes()
    assert ours.offsets is not None
    assert theirs.offsets is not None
    assert ours.offsets.digest == theirs.offsets.digest


def test_sigterm_ends_at_a_safe_point(place: Path, uninterrupted: Path) -> None:
    for out in (place / f"stopped-{number}" for number in range(5)):
        process = start(place, out, *SMALL, "--offsets", "layer")
        wait_until((out / "metrics.jsonl").is_file, what="the run began")
        process.signal(signal.SIGTERM)
        if process.wait() != 0:  # else a busy machine held up the signal until the run had come to its end
            break
    assert process.returncode == 75, process.output
    assert "goes on" in process.output
    assert run(place, out, *SMALL, "--offsets", "layer").returncode == 0
    assert trajectory(out) == trajectory(uninterrupted)


def copy_until(place: Path, source: Path, target: Path, *, generation: int) -> None:
    """A run directory as a kill after `generation` leaves it; the later checkpoints are gone."""
    shutil.copytree(source, target)
    (target / "report.json").unlink()
    (target / "metrics.jsonl").write_text("")
    lines = [json.loads(line) for line in (target / "checkpoints.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["generation"] <= generation]
    (target / "checkpoints.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))


def rewrite(folder: Path, generation: int, change: Any) -> None:
    path = folder / "checkpoints" / f"generation-{generation:06d}.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    np.savez(path, **arrays)


def test_the_generators_state_decides_the_rest(place: Path, uninterrupted: Path) -> None:
    """Resuming with the state goes on as the whole run did; with a fresh generator it does not; without one it refuses."""
    kept, fresh, lacking = place / "kept", place / "fresh", place / "lacking"
    for target in (kept, fresh, lacking):
        copy_until(place, uninterrupted, target, generation=GENERATIONS - 2)
    tail = trajectory(uninterrupted)[-2:]
    assert run(place, kept, *SMALL, "--offsets", "layer").returncode == 0
    assert trajectory(kept)[-2:] == tail

    def renew(arrays: dict[str, Any]) -> None:
        state = State.from_arrays({name: array for name, array in arrays.items() if name != "record"})
        state.generator = np.random.default_rng(42).bit_generator.state
        arrays.update(state.to_arrays())

    rewrite(fresh, GENERATIONS - 2, renew)
    assert run(place, fresh, *SMALL, "--offsets", "layer").returncode == 0
    assert trajectory(fresh)[-2:] != tail
    rewrite(lacking, GENERATIONS - 2, lambda arrays: arrays.pop("generator"))
    refused = run(place, lacking, *SMALL, "--offsets", "layer")
    assert refused.returncode == 1
    assert "lacks generator" in refused.output


def test_common_random_numbers_can_be_switched_off(place: Path) -> None:
    out = place / "apart"
    flags = ("--generations", "2", "--population", "4", "--batch", "5", "--threads", "1")
    assert run(place, out, *flags, "--no-common-random-numbers").returncode == 0
    assert run(place, out, *flags).returncode == 1  # another configuration in the same directory
    together = place / "together"
    assert run(place, together, *flags).returncode == 0
    assert trajectory(out)[0]["score"] != trajectory(together)[0]["score"]


def test_a_search_from_a_trained_head_improves_the_start(place: Path) -> None:
    """A real optimiser on a real problem: fitness rises, and the mean beats a start of zeros on held-out questions."""
    out = place / "learns"
    flags = ("--generations", "40", "--batch", "0", "--sigma", "0.3", "--scaling", "features", "--entropy-weight", "0")
    done = run(place, out, *flags)
    assert done.returncode == 0, done.output
    report = json.loads((out / "report.json").read_text())
    assert report["score"] > report["start_score"] + 0.2
    assert report["gain_over_start_ci"][0] > 0
    on_top = place / "on-top"
    done = run(place, on_top, *SMALL, "--init", str(out))
    assert done.returncode == 0, done.output
    assert json.loads((on_top / "report.json").read_text())["start_score"] == report["score"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--sigma", "0"), "sigma"),
        (("--population", "3"), "population"),
        (("--offsets", "some"), "offsets"),
        (("--subset", "4"), "subset is 4, the table has 3 workers"),
        (("--workers", "alpha,delta"), "score:delta"),
        (("--broker", "redis://127.0.0.1:1/0"), "broker"),
    ],
)
def test_wrong_inputs_end_in_one_sentence(place: Path, flags: tuple[str, ...], says: str) -> None:
    done = run(place, place / f"wrong-{abs(hash(flags))}", *SMALL, *flags)
    assert done.returncode == 1
    told = [line for line in done.output.splitlines() if not line.startswith("{")]
    assert len(told) == 1
    assert told[0].startswith("kubefugu: ")
    assert says in told[0]


def test_one_process_at_a_time_and_a_damaged_checkpoint(tmp_path: Path) -> None:
    first = RunDirectory(tmp_path, config={"a": 1})
    with pytest.raises(ConflictError, match="another process"):
        RunDirectory(tmp_path, config={"a": 1})
    checkpoints = Checkpoints(first)
    checkpoints._log.append({"generation": 1, "file": "checkpoints/generation-000001.npz"})
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "checkpoints" / "generation-000001.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match="damaged"):
        checkpoints.latest()
    checkpoints.close()
    first.close()
