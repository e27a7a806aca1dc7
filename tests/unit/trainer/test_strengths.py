"""Strengths that planners are told: means of measured outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from kubefugu_core.errors import DataError
from kubefugu_trainer.main import app
from kubefugu_trainer.outcomes.strengths import strengths_of
from kubefugu_trainer.outcomes.table import OutcomeTable


def table(groups: tuple[str, ...] | None) -> OutcomeTable:
    scores = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
    messages = tuple((("user", f"Question {number}"),) for number in range(3))
    return OutcomeTable(workers=("a", "b"), messages=messages, splits=("train",) * 3, scores=scores, groups=groups)


def test_means_by_group_without_zeros_and_small_groups() -> None:
    assert strengths_of(table(("sums", "sums", "words")), least=1) == {"a": {"sums": 0.75}, "b": {"words": 1.0}}
    assert strengths_of(table(("sums", "sums", "words")), least=2) == {"a": {"sums": 0.75}, "b": {}}


def test_a_table_without_groups_is_refused() -> None:
    with pytest.raises(DataError, match="no group"):
        strengths_of(table(None))


def test_the_command_writes_what_the_executor_reads(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "group": "sums", "split": "train", "score:a": n % 2, "score:b": 1} for n in range(12)]
    data, out = tmp_path / "table.jsonl", tmp_path / "strengths.json"
    data.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    result = CliRunner().invoke(app, ["outcomes", "strengths", "--data", str(data), "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert orjson.loads(out.read_bytes()) == {"a": {"sums": 0.5}, "b": {"sums": 1.0}}
