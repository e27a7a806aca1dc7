"""The driver of an evolution run, as the operator starts it: a process, gRPC, a termination message."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.evolution import WORKERS, TrainerProcess, wait_until, write_backbone, write_table
from support.ports import free_port

from kubefugu.trainer.v1 import trainer_pb2, trainer_pb2_grpc


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    write_backbone(tmp_path / "model")
    table = write_table(tmp_path / "table.jsonl")
    workers = "".join(f"  - name: {name}\n    model: {name}\n    url: http://127.0.0.1:9/v1\n" for name in WORKERS)
    head = "apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: pool}\nspec:\n  workers:\n"
    (tmp_path / "pool.yaml").write_text(head + workers)
    return {
        "run": {"uid": "u-1", "name": "nightly"},
        "algorithm": "sepCmaEs",
        "parameters": {
            "iterations": 12, "populationSize": 8, "initialStepSize": "0.05", "episodesPerCandidate": 16,
            "fitness": "Table", "maxTurns": 5, "entropyBonus": "0", "turnBonus": "0.10", "costWeight": "0",
            "trainOffsets": False, "warmStart": True,
        },
        "backbone": {"ref": str(tmp_path / "model"), "revision": "", "bundleUrl": "", "bundleSha256": ""},
        "inputFormat": "raw",
        "data": {"location": str(table), "sha256": hashlib.sha256(table.read_bytes()).hexdigest()},
        "pool": str(tmp_path / "pool.yaml"),
        "workers": list(WORKERS),
        "seed": 42,
        "budget": {"maxCostUsd": "0", "maxSeconds": 0},
        "storage": {"directory": str(tmp_path / "work"), "url": ""},
        "confidence": "0.95",
        "evaluators": False,
    }  # fmt: skip


def start(folder: Path, config: dict[str, Any], port: int) -> TrainerProcess:
    (folder / "config.json").write_text(json.dumps(config))
    return TrainerProcess(
        ["driver", f"--config={folder / 'config.json'}", f"--listen=127.0.0.1:{port}", "--hold",
         f"--termination-log={folder / 'last-words'}"],
        log=folder / "driver.log", home=folder / "home",
    )  # fmt: skip


def run_of(stub: trainer_pb2_grpc.TrainerServiceStub) -> trainer_pb2.Run | None:
    try:
        return stub.GetRun(trainer_pb2.GetRunRequest(), timeout=60).run
    except grpc.RpcError:
        return None


def test_a_run_in_a_cluster(tmp_path: Path, config: dict[str, Any]) -> None:
    port = free_port()
    driver = start(tmp_path, config, port)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        seen: set[int] = set()

        def finished() -> bool:
            now = run_of(stub)
            assert driver.returncode is None, driver.output
            if now is None:
                return False
            if now.sigma > 0:
                seen.add(now.step)
                assert now.total_steps in (12, 0) or now.state != trainer_pb2.RUN_STATE_RUNNING
            return now.state == trainer_pb2.RUN_STATE_SUCCEEDED

        wait_until(finished, what="the run's end", timeout_s=110)
        told = run_of(stub)
        assert told is not None
        assert (told.run_id, told.algorithm, told.step, told.total_steps) == ("u-1", "sepCmaEs", 12, 12)
        assert told.best_fitness >= told.mean_fitness > 0
        assert told.checkpoint_uri.endswith("checkpoints/generation-000012.npz")
        artifact = stub.GetArtifact(trainer_pb2.GetArtifactRequest(), timeout=60)
        assert hashlib.sha256(artifact.content).hexdigest() == artifact.sha256 == told.artifact_sha256
        report = json.loads(artifact.report_json)
        assert report["items"] == 18
        assert report["gain_low"] <= report["gain"] <= report["gain_high"]
        stub.ReleaseRun(trainer_pb2.ReleaseRunRequest(), timeout=60)
    assert driver.wait() == 0
    assert json.loads((tmp_path / "last-words").read_text()) == report


def test_a_stopped_driver_goes_on(tmp_path: Path, config: dict[str, Any]) -> None:
    config["parameters"] |= {"iterations": 4000, "warmStart": False}
    driver = start(tmp_path, config, free_port())
    metrics = tmp_path / "work" / "run" / "metrics.jsonl"
    wait_until(lambda: driver.returncode or (metrics.is_file() and metrics.read_text().count("\n") > 2), what="generations")
    driver.signal(signal.SIGTERM)
    assert driver.wait() == 75, driver.output
    before = metrics.read_text()
    again = start(tmp_path, config, free_port())
    wait_until(lambda: metrics.read_text().count("\n") > before.count("\n") + 2 or again.returncode, what="more generations")
    again.signal(signal.SIGTERM)
    assert again.wait() == 75, again.output
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["generation"] for line in lines] == list(range(len(lines)))
    assert metrics.read_text().startswith(before)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"trainOffsets": True}}, "bundleUrl"),
        ({"evaluators": True}, "KUBEFUGU_TRAINER_BROKER"),
        ({"data": {"sha256": "0" * 64}}, "checksum"),
    ],
)
def test_wrong_orders_are_refused_for_good(tmp_path: Path, config: dict[str, Any], change: dict[str, Any], says: str) -> None:
    for name, value in change.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    driver = start(tmp_path, config, free_port())
    assert driver.wait() == 65
    assert says in json.loads((tmp_path / "last-words").read_text())["message"]
