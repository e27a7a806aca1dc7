"""The driver of a run on live episodes, as the operator starts it: outcomes, warm start, search, gain over a single worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.drivers import collected, start_driver
from support.episodes import WORKERS, WorldServer, write_questions, write_world
from support.evaluators import RedisServer, evaluators, ready
from support.evolution import wait_until
from support.ports import free_port

from kubefugu_routing.policy import load_artifact

pytestmark = pytest.mark.timeout(300)
KEY = "sk-of-calc"


@pytest.fixture
def server() -> Iterator[WorldServer]:
    with WorldServer() as started:
        yield started


@pytest.fixture
def config(tmp_path: Path, server: WorldServer) -> dict[str, Any]:
    place = write_world(tmp_path, server.upstream.url)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "calc").write_text(KEY)
    questions = write_questions(place / "questions.jsonl", count=32)
    return {
        "run": {"uid": "u-1", "name": "live"},
        "algorithm": "sepCmaEs",
        "parameters": {
            "iterations": 3, "populationSize": 6, "initialStepSize": "0.5", "episodesPerCandidate": 6, "fitness": "Episodes",
            "maxTurns": 2, "questions": 20, "heldOut": 8, "answerTokens": 32, "entropyBonus": "0.05", "turnBonus": "0.10",
            "costWeight": "0", "trainOffsets": False, "warmStart": True,
        },
        "backbone": {"ref": str(place / "model"), "revision": "", "bundleUrl": "", "bundleSha256": ""},
        "inputFormat": "raw",
        "data": {"location": str(questions), "sha256": hashlib.sha256(questions.read_bytes()).hexdigest()},
        "pool": str(place / "pool.yaml"),
        "workers": [],
        "seed": 3,
        "budget": {"maxCostUsd": "0", "maxSeconds": 0},
        "storage": {"directory": str(tmp_path / "work"), "url": ""},
        "confidence": "0.95",
        "evaluators": False,
    }  # fmt: skip


def test_a_head_with_roles_comes_from_live_episodes_that_evaluators_play(
    tmp_path: Path, config: dict[str, Any], server: WorldServer
) -> None:
    redis = RedisServer(tmp_path)
    keys = {"KUBEFUGU_TRAINER_KEYS_DIR": str(tmp_path / "keys")}
    try:
        with evaluators(redis, tmp_path, 1, environment=keys) as processes:
            ready(processes)
            port = free_port()
            driver = start_driver(tmp_path, config | {"evaluators": True}, port, KUBEFUGU_TRAINER_BROKER=redis.url)
            frozen = tmp_path / "work" / "run" / "snapshot" / "problem.json"
            wait_until(lambda: driver.returncode is not None or frozen.is_file(), what="the frozen problem")
            (tmp_path / "questions.jsonl").unlink()
            _, answer = collected(driver, port)
    finally:
        redis.kill()
    report = json.loads(answer.report_json)
    assert (report["items"], report["baseline"]) == (8, 1.0)
    assert report["message"].startswith("Best single worker: calc.")
    assert report["gain"] == pytest.approx(report["score"] - 1.0)
    assert report["gain_low"] <= report["gain"] <= report["gain_high"]
    artifact = load_artifact(tmp_path / "work" / "run" / "artifact.safetensors")
    assert artifact.roles
    assert [row.name for row in artifact.workers] == list(WORKERS)
    assert artifact.training["episodes"]["train"] == 20
    asked = {(request.body["model"], request.headers.get("authorization")) for request in server.upstream.requests}
    assert {told for model, told in asked if model == "calc"} == {f"Bearer {KEY}"}
    assert {told for model, told in asked if model != "calc"} == {None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parameters": {"questions": 28}}, "data has 32 different questions; 28 for training and 8 held-out ones need 36"),
        ({"parameters": {"questions": 19}}, "questions is 19; at least 20 are needed"),
        ({"parameters": {"trainOffsets": True}}, "trainOffsets must be false"),
        ({"parameters": {"maxTurns": 9}}, "The pool allows 5 turns, not 9."),
        ({"budget": {"maxCostUsd": "1"}}, "leave maxCostUsd at 0"),
    ],
)
def test_wrong_orders_are_refused_for_good(tmp_path: Path, config: dict[str, Any], change: dict[str, Any], says: str) -> None:
    for name, value in change.items():
        config[name] = config[name] | value
    driver = start_driver(tmp_path, config, free_port())
    assert driver.wait() == 65, driver.output
    assert says in json.loads((tmp_path / "last-words").read_text())["message"]
