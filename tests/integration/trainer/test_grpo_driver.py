"""The driver of a GRPO run, as the operator starts it: a process, live workers with keys, gRPC, a termination message."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.drivers import collected, start_driver
from support.evaluators import RedisServer, evaluators, ready
from support.evolution import wait_until
from support.ports import free_port
from support.questions import two_workers, write_questions
from support.tiny_conductor import tiny_backbone
from support.upstream import Upstream

from kubefugu_routing.causal.artifact import load_conductor

pytestmark = pytest.mark.timeout(300)
KEY = "sk-of-alpha"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with two_workers() as server:
        yield server


@pytest.fixture
def config(tmp_path: Path, upstream: Upstream) -> dict[str, Any]:
    tiny_backbone(tmp_path / "model")
    questions = write_questions(tmp_path / "questions.jsonl", count=16)
    workers = "".join(
        f"  - {{name: {name}, model: {name}-model, url: '{upstream.url}', prices: {{inputPerMillionTokens: '1000'}}}}\n"
        for name in ("alpha", "beta")
    )
    head = "apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: pool}\nspec:\n  workers:\n"
    (tmp_path / "pool.yaml").write_text(head + workers)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alpha").write_text(KEY)
    return {
        "run": {"uid": "u-1", "name": "planner"},
        "algorithm": "grpo",
        "parameters": {
            "groupSize": 4, "questionsPerStep": 2, "steps": 6, "learningRate": "0.0001", "maxSteps": 3, "adapter": "LoRA",
            "rank": 4, "layers": 0, "dtype": "Float32", "questions": 0, "heldOut": 4, "leastWorkers": 1, "mostWorkers": 0,
            "maxTokens": 24, "answerTokens": 16, "temperature": "1", "warmExamples": 8, "warmEpochs": 1,
            "warmLearningRate": "0.01", "searchTries": 6, "oversample": 1, "microBatch": 3, "costWeight": "0", "saveEvery": 2,
        },
        "backbone": {"ref": str(tmp_path / "model"), "revision": "", "bundleUrl": "", "bundleSha256": ""},
        "inputFormat": "auto",
        "data": {"location": str(questions), "sha256": hashlib.sha256(questions.read_bytes()).hexdigest()},
        "pool": str(tmp_path / "pool.yaml"),
        "workers": [],
        "seed": 1,
        "budget": {"maxCostUsd": "0", "maxSeconds": 0},
        "storage": {"directory": str(tmp_path / "work"), "url": ""},
        "confidence": "0.95",
        "evaluators": False,
    }  # fmt: skip


def lines(folder: Path, stage: str = "rollouts") -> list[dict[str, Any]]:
    file = folder / "work" / "run" / "metrics.jsonl"
    rows = file.read_text().splitlines() if file.is_file() else []
    return [row for row in map(json.loads, rows) if row["stage"] == stage]


def test_a_conductor_is_trained_on_two_nodes_and_collected(tmp_path: Path, config: dict[str, Any], upstream: Upstream) -> None:
    """The first node is lost with its disk in the middle of GRPO: the prefix has what another one goes on from."""
    config["storage"]["url"] = (tmp_path / "bucket").as_uri()
    kept = tmp_path / "bucket" / "u-1" / "run"
    driver = start_driver(tmp_path, config, free_port())
    wait_until(lambda: driver.returncode is not None or len(lines(tmp_path)) > 3, what="steps of GRPO")
    driver.signal(signal.SIGTERM)
    assert driver.wait() == 75, driver.output
    before = lines(tmp_path)
    asked_before = len(upstream.requests)
    shutil.rmtree(tmp_path / "work")
    port = free_port()
    told, artifact = collected(start_driver(tmp_path, config, port), port)
    assert (told.run_id, told.algorithm, told.step, told.total_steps) == ("u-1", "grpo", 6, 6)
    assert told.best_fitness >= told.mean_fitness
    assert told.cost_usd > 0
    assert told.checkpoint_uri == f"{kept.as_uri()}/checkpoints/grpo/checkpoint-6"
    for pattern in ("*/complete.json", "*/*.safetensors"):
        found = {path.parent.name for path in (kept / "checkpoints" / "grpo").glob(pattern)}
        assert found == {"checkpoint-4", "checkpoint-6"}
    assert hashlib.sha256(artifact.content).hexdigest() == artifact.sha256 == told.artifact_sha256
    report = json.loads(artifact.report_json)
    assert report == json.loads((tmp_path / "last-words").read_text())
    assert report["artifact_uri"] == told.artifact_uri == (kept / "artifact.safetensors").as_uri()
    assert (kept / "artifact.safetensors").read_bytes() == artifact.content
    assert (report["items"], report["baseline"]) == (4, 1.0)
    assert "Best single worker: alpha." in report["message"]
    assert report["gain"] == pytest.approx(report["score"] - report["baseline"])
    assert report["gain_low"] <= report["gain"] <= report["gain_high"]

    taken = lines(tmp_path)
    assert sorted({line["step"] for line in taken}) == [0, 1, 2, 3, 4, 5]
    after = {line["step"]: line for line in taken}
    assert all(line == after[line["step"]] for line in before), "a step that is taken again draws and earns the same"
    fresh = {orjson.dumps(request.body) for request in upstream.requests[asked_before:]}
    assert not fresh & {orjson.dumps(request.body) for request in upstream.requests[: asked_before // 2]}, "replies came along"

    trained = load_conductor(tmp_path / "work" / "run" / "artifact.safetensors")
    assert (trained.kind, trained.training["questions"], trained.training["held_out"]) == ("lora", 12, 4)
    (held,) = {tuple(json.loads(path.read_text())["tasks"]) for path in (tmp_path / "work" / "run").glob("held_out_*.json")}
    assert not {line["example"]["task"] for line in taken} & set(held)

    asked = {(request.body["model"], request.headers.get("authorization")) for request in upstream.requests}
    assert asked == {("alpha-model", f"Bearer {KEY}"), ("beta-model", None)}
    for path in (path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "keys"):
        assert KEY.encode() not in path.read_bytes(), path


def test_evaluators_execute_the_plans_and_the_budget_ends_training(
    tmp_path: Path, config: dict[str, Any], upstream: Upstream
) -> None:
    """The evaluators can't read the driver's file of questions once the run is begun: it travels with the problem."""
    config["parameters"] |= {"steps": 500, "searchTries": 12}
    config |= {"evaluators": True, "budget": {"maxCostUsd": "0.05", "maxSeconds": 0}}
    redis = RedisServer(tmp_path)
    keys = {"KUBEFUGU_TRAINER_KEYS_DIR": str(tmp_path / "keys")}
    try:
        with evaluators(redis, tmp_path, 1, environment=keys) as processes:
            ready(processes)
            port = free_port()
            driver = start_driver(tmp_path, config, port, KUBEFUGU_TRAINER_BROKER=redis.url)
            wait_until(lambda: driver.returncode is not None or lines(tmp_path, "warm start"), what="the warm start")
            (tmp_path / "questions.jsonl").unlink()
            told, artifact = collected(driver, port)
    finally:
        redis.kill()
    report = json.loads(artifact.report_json)
    assert "The budget (money) ended training after " in report["message"]
    assert told.step < 500
    assert told.cost_usd >= 0.05
    assert report["baseline"] == 1.0
    assert ("alpha-model", f"Bearer {KEY}") in {(r.body["model"], r.headers.get("authorization")) for r in upstream.requests}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"questions": 20}}, "data has 16 different questions; 20 for training and 4 held-out ones need 24"),
        ({"parameters": {"questionsPerStep": 14}}, "14 for training and 4 held-out ones need 18"),
        ({"parameters": {"rank": 512}}, "0.9 MB are kept without storage.url"),
        ({"evaluators": True}, "KUBEFUGU_TRAINER_BROKER"),
        ({"data": {"sha256": "0" * 64}}, "checksum"),
    ],
)
def test_wrong_orders_are_refused_for_good(tmp_path: Path, config: dict[str, Any], change: dict[str, Any], says: str) -> None:
    for name, value in change.items():
        config[name] = config[name] | value if isinstance(value, dict) else value
    driver = start_driver(tmp_path, config, free_port())
    assert driver.wait() == 65, driver.output
    assert says in json.loads((tmp_path / "last-words").read_text())["message"]
