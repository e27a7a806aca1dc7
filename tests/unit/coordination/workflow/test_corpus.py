"""Planner outputs with what must become of each: valid, sloppy and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubefugu_coordination.workflow.diagnosis import NOTES
from kubefugu_coordination.workflow.validate import read_plan

CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "planner_outputs.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_the_corpus_is_large_and_has_every_kind() -> None:
    assert len(CASES) >= 200
    assert {case["kind"] for case in CASES} == {"valid", "sloppy", "hostile"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_planner_output(case: dict[str, Any]) -> None:
    workers = [f"w{index}" for index in range(case["workers"])]
    reading = read_plan(case["text"], workers=workers, max_steps=case["max_steps"])
    codes = [found.code.value for found in reading.diagnoses]
    if "errors" in case:
        assert reading.plan is None
        assert codes == case["errors"]
        return
    assert reading.plan is not None, reading.diagnoses
    got = [[int(step.worker[1:]), step.subtask, list(step.access)] for step in reading.plan.steps]
    assert got == case["steps"]
    assert codes == case["notes"]
    assert all(found.code in NOTES for found in reading.diagnoses)
