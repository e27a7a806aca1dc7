from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.tables import colour_table, row, write_rows

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.reader import read_table
from kubefugu_trainer.outcomes.writer import write_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.jsonl"


def test_reads_any_worker_and_group_names_without_groups_or_costs(path: Path) -> None:
    write_rows(
        path,
        {"prompt": "a", "split": "train", "score:org/Model-1.5@host": 0.25, "score:x": 1},
        {"prompt": "b", "split": "test", "score:org/Model-1.5@host": 0, "score:x": True},
    )
    table = read_table(path)
    assert table.workers == ("org/Model-1.5@host", "x")
    assert table.groups is None
    assert table.costs is None
    np.testing.assert_array_equal(table.scores, [[0.25, 1.0], [0.0, 1.0]])
    assert table.rows("train").tolist() == [0]


def test_keeps_only_the_named_workers_in_their_order(path: Path) -> None:
    write_rows(path, row(score__gamma=0.5))
    table = read_table(path, workers=["gamma", "alpha"])
    assert table.workers == ("gamma", "alpha")
    np.testing.assert_array_equal(table.scores, [[0.5, 1.0]])


def test_messages_count_where_a_row_has_both(path: Path) -> None:
    conversation = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": {}}]},
    ]
    write_rows(path, row("ignored", messages=conversation), row("kept", messages=None))
    table = read_table(path)
    assert table.messages == ((("system", "Be short."), ("user", "Hello")), (("user", "kept"),))


def test_messages_as_json_text(path: Path) -> None:
    write_rows(path, row(messages=json.dumps([{"role": "user", "content": "Hi"}])))
    assert read_table(path).messages == ((("user", "Hi"),),)


def test_a_foreign_parquet_file_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "prompt": ["a", "b"],
            "split": ["train", "test"],
            "score:m": np.array([0.5, 1], np.float32),
            "score:n": [0, 1],
            "extra": [1, 2],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.workers == ("m", "n")
    assert table.scores.dtype == np.float64


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_written_table_reads_back_equal(tmp_path: Path, ending: str) -> None:
    table = colour_table(30, costs=True)
    write_table(tmp_path / f"t.{ending}", table)
    back = read_table(tmp_path / f"t.{ending}")
    for name in ("workers", "messages", "splits", "groups", "slices", "provenance", "repeats"):
        assert getattr(back, name) == getattr(table, name), name
    np.testing.assert_array_equal(back.scores, table.scores)
    np.testing.assert_array_equal(back.costs, table.costs)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (row("b", score__alpha=1.2), "line 2: column 'score:alpha': 1.2 is out of range; it must be in [0, 1]"),
        (row("b", score__alpha=-0.1), "line 2: column 'score:alpha': -0.1 is out of range"),
        (row("b", score__beta=math.nan), "line 2: column 'score:beta': is NaN"),
        (row("b", score__beta=None), "line 2: column 'score:beta': has no value"),
        (row("b", score__beta="0.5"), "line 2: column 'score:beta': must be a number, not '0.5'"),
        (row("b", split="dev"), "line 2: column 'split': unknown split 'dev'"),
        (row("b", split=None), "line 2: column 'split': unknown split None"),
        (row("  "), "line 2: column 'prompt': must be text and not empty"),
        (row(7), "line 2: column 'prompt': must be text"),  # type: ignore[arg-type]
        (row("b", messages=[]), "line 2: column 'messages': must be a list of {role, content} and not empty"),
        (row("b", messages=[{"role": "user"}]), "line 2: column 'messages': each message needs a text role"),
        (row("b", group="only here"), "line 1: column 'group': must be text in every row, or in none"),
        (row("What is it?", split="test"), "line 1 (train) and line 2 (test) are the same question in two splits"),
        ([1, 2], "line 2: a line is one JSON object"),
    ],
)
def test_a_bad_row_is_refused_by_file_line_and_column(path: Path, bad: object, says: str) -> None:
    write_rows(path, row(), bad)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(path) in caught.value.message
    assert says in caught.value.message


def test_rows_of_parquet_are_counted_as_rows(tmp_path: Path) -> None:
    pd.DataFrame([row("a"), row("b", score__alpha=3.0)]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 2: column 'score:alpha': 3 is out of range"):
        read_table(tmp_path / "t.parquet")


def test_a_negative_cost_is_refused(path: Path) -> None:
    write_rows(path, row(cost__alpha=0.1, cost__beta=-1.0))
    with pytest.raises(DataError, match=r"line 1: column 'cost:beta': -1 is out of range; it must be at least 0"):
        read_table(path)


def test_costs_of_some_workers_only_are_left_out_and_said(path: Path) -> None:
    write_rows(path, row(cost__alpha=0.1))
    table = read_table(path)
    assert table.costs is None
    assert table.notes == (f"{path}: 'cost:' columns are left out: there is none for beta.",)


def test_an_unknown_worker_is_refused_with_those_there_are(path: Path) -> None:
    write_rows(path, row())
    with pytest.raises(DataError, match=r"no column 'score:gamma'; the table has scores of: alpha, beta"):
        read_table(path, workers=["alpha", "gamma"])
    with pytest.raises(DataError, match="names one twice"):
        read_table(path, workers=["alpha", "alpha"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"not json\n", "line 1: neither parquet nor JSON lines"),
        (b"PAR1 but not really", "not a readable parquet file"),
        (b'{"prompt": "a", "split": "train"}\n', "no column named 'score:<worker>'"),
        (b'{"prompt": "a", "score:m": 1}\n', "no column 'split'"),
        (b'{"split": "train", "score:m": 1}\n', "neither a column 'prompt' nor 'messages'"),
        (b'{"prompt": "a", "split": "train", "score:": 1}\n', "no column named 'score:<worker>'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(path)


def test_an_empty_parquet_table_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    pd.DataFrame([row()]).iloc[:0].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="the table has no rows"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="No such file"):
        read_table(tmp_path / "absent.parquet")


def test_an_unknown_ending_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in \.parquet or \.jsonl"):
        write_table(tmp_path / "t.csv", colour_table(3))


def test_selecting_workers_and_rows_keeps_cells_together() -> None:
    table = colour_table(30, costs=True)
    part = table.select_workers(["green", "red"]).take([4, 2])
    assert part.messages == (table.messages[4], table.messages[2])
    np.testing.assert_array_equal(part.scores, table.scores[[4, 2]][:, [2, 0]])
    np.testing.assert_array_equal(part.costs, [[0.004, 0.001]] * 2)
    with pytest.raises(DataError, match="no column 'score:black'"):
        table.select_workers(["black"])
