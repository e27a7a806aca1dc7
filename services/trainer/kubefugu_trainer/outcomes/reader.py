"""Strict reader of outcome tables. Every refusal is one sentence that names the file, the row and the column.

Refused: scores outside [0, 1] or NaN, workers without a column, a question in two splits, unknown splits, empty tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes import schema
from kubefugu_trainer.outcomes.table import SPLITS, FloatArray, Messages, OutcomeTable

Columns = Mapping[str, Sequence[Any]]


def read_table(path: Path, *, workers: Sequence[str] | None = None) -> OutcomeTable:
    """Read and check a table; `workers` keeps only these, in this order. Raises DataError, see the module's docstring."""
    raw = _bytes(path)
    if raw[:4] == b"PAR1":
        columns, provenance = _parquet(path)
        unit = "row"
    else:
        columns, provenance = _json_lines(path, raw)
        unit = "line"
    return _Checker(source=str(path), unit=unit).table(columns, workers, provenance, hashlib.sha256(raw).hexdigest())


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if not raw.strip():
        raise DataError(f"{path}: the file is empty")
    return raw


def _parquet(path: Path) -> tuple[Columns, dict[str, Any]]:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from error
    metadata = (table.schema.metadata or {}).get(schema.METADATA_KEY)
    return {name: table.column(name).to_pylist() for name in table.column_names}, json.loads(metadata) if metadata else {}


def _json_lines(path: Path, raw: bytes) -> tuple[Columns, dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: line {number}: neither parquet nor JSON lines: {error}") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}: line {number}: a line is one JSON object with the columns of a row")
        records.append(record)
    names = list(dict.fromkeys(name for record in records for name in record))
    sidecar = Path(schema.sidecar(str(path)))
    provenance = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
    return {name: [record.get(name) for record in records] for name in names}, provenance


class _Checker:
    """Checks one table's columns. `source` and `unit` (row or line) go into every sentence."""

    def __init__(self, *, source: str, unit: str) -> None:
        self.source = source
        self.unit = unit

    def fail(self, row: int, column: str, what: str) -> DataError:
        return DataError(f"{self.source}: {self.unit} {row + 1}: column '{column}': {what}", field=column)

    def table(
        self, columns: Columns, workers: Sequence[str] | None, provenance: Mapping[str, Any], sha256: str
    ) -> OutcomeTable:
        names = self._workers(columns, workers)
        rows = len(next(iter(columns.values())))
        if rows == 0:
            raise DataError(f"{self.source}: the table has no rows")
        messages = self._messages(columns, rows)
        splits = self._splits(columns)
        self._unique(messages, splits)
        notes: list[str] = []
        return OutcomeTable(
            workers=names,
            messages=messages,
            splits=splits,
            scores=self._numbers(columns, schema.SCORE, names, upper=1.0),
            groups=self._labels(columns, schema.GROUP),
            slices=self._labels(columns, schema.SLICE),
            costs=self._optional(columns, schema.COST, names, notes),
            tokens=self._optional(columns, schema.TOKENS, names, notes),
            repeats=self._repeats(columns, names),
            source=self.source,
            sha256=sha256,
            provenance=provenance,
            notes=tuple(notes),
        )

    def _workers(self, columns: Columns, wanted: Sequence[str] | None) -> tuple[str, ...]:
        present = tuple(name.removeprefix(schema.SCORE) for name in columns if name.startswith(schema.SCORE))
        if not present or "" in present:
            raise DataError(f"{self.source}: no column named 'score:<worker>'; columns: {', '.join(columns)}", field="score:")
        if wanted is None:
            return present
        missing = [name for name in wanted if name not in present]
        if missing:
            raise DataError(
                f"{self.source}: no column 'score:{missing[0]}'; the table has scores of: {', '.join(present)}",
                field=f"score:{missing[0]}",
            )
        if not wanted or len(set(wanted)) != len(wanted):
            raise DataError(
                f"{self.source}: the list of workers is empty or names one twice: {', '.join(wanted)}", field="workers"
            )
        return tuple(wanted)

    def _messages(self, columns: Columns, rows: int) -> tuple[Messages, ...]:
        if schema.PROMPT not in columns and schema.MESSAGES not in columns:
            raise DataError(f"{self.source}: neither a column 'prompt' nor 'messages'", field=schema.PROMPT)
        prompts = columns.get(schema.PROMPT, [None] * rows)
        conversations = columns.get(schema.MESSAGES, [None] * rows)
        return tuple(
            self._prompt(row, prompt) if conversation is None else self._conversation(row, conversation)
            for row, (prompt, conversation) in enumerate(zip(prompts, conversations, strict=True))
        )

    def _prompt(self, row: int, prompt: object) -> Messages:
        if not isinstance(prompt, str) or not prompt.strip():
            raise self.fail(row, schema.PROMPT, "must be text and not empty")
        return (("user", prompt),)

    def _conversation(self, row: int, value: object) -> Messages:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise self.fail(row, schema.MESSAGES, "is text but not a JSON list of messages") from None
        if not isinstance(value, list) or not value:
            raise self.fail(row, schema.MESSAGES, "must be a list of {role, content} and not empty")
        messages: list[tuple[str, str]] = []
        for message in value:
            role = message.get("role") if isinstance(message, dict) else None
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, list):
                content = "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
            if not isinstance(role, str) or not isinstance(content, str):
                raise self.fail(row, schema.MESSAGES, "each message needs a text role and text content")
            messages.append((role, content))
        if not any(text.strip() for _, text in messages):
            raise self.fail(row, schema.MESSAGES, "all messages are empty")
        return tuple(messages)

    def _splits(self, columns: Columns) -> tuple[str, ...]:
        if schema.SPLIT not in columns:
            raise DataError(f"{self.source}: no column 'split' (train, test or valid)", field=schema.SPLIT)
        for row, value in enumerate(columns[schema.SPLIT]):
            if value not in SPLITS:
                raise self.fail(row, schema.SPLIT, f"unknown split {value!r}; known are train, test and valid")
        return tuple(columns[schema.SPLIT])

    def _unique(self, messages: tuple[Messages, ...], splits: tuple[str, ...]) -> None:
        first: dict[Messages, int] = {}
        for row, question in enumerate(messages):
            other = first.setdefault(question, row)
            if splits[other] != splits[row]:
                raise DataError(
                    f"{self.source}: column 'prompt': {self.unit} {other + 1} ({splits[other]}) and {self.unit} {row + 1} "
                    f"({splits[row]}) are the same question in two splits",
                    field=schema.PROMPT,
                )

    def _labels(self, columns: Columns, column: str) -> tuple[str, ...] | None:
        values = columns.get(column)
        if values is None or all(value is None for value in values):
            return None
        for row, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise self.fail(row, column, "must be text in every row, or in none")
        return tuple(str(value) for value in values)

    def _numbers(self, columns: Columns, prefix: str, names: Sequence[str], *, upper: float) -> FloatArray:
        array = np.empty((len(next(iter(columns.values()))), len(names)), dtype=np.float64)
        for index, name in enumerate(names):
            column = f"{prefix}{name}"
            for row, value in enumerate(columns[column]):
                array[row, index] = self._number(row, column, value, upper)
        return array

    def _number(self, row: int, column: str, value: object, upper: float) -> float:
        if value is None:
            raise self.fail(row, column, "has no value")
        if not isinstance(value, (int, float)):
            raise self.fail(row, column, f"must be a number, not {value!r}")
        number = float(value)
        if np.isnan(number):
            raise self.fail(row, column, "is NaN")
        if not 0.0 <= number <= upper:
            bound = "in [0, 1]" if upper == 1.0 else "at least 0 and finite"
            raise self.fail(row, column, f"{number:g} is out of range; it must be {bound}")
        return number

    def _optional(self, columns: Columns, prefix: str, names: Sequence[str], notes: list[str]) -> FloatArray | None:
        present = [name for name in names if f"{prefix}{name}" in columns]
        if not present:
            return None
        missing = [name for name in names if name not in present]
        if missing:
            notes.append(f"{self.source}: '{prefix}' columns are left out: there is none for {', '.join(missing)}.")
            return None
        return self._numbers(columns, prefix, names, upper=float(np.finfo(np.float64).max))

    def _repeats(self, columns: Columns, names: Sequence[str]) -> tuple[tuple[tuple[float, ...], ...], ...] | None:
        wanted = [f"{schema.REPEATS}{name}" for name in names]
        if any(column not in columns for column in wanted):
            return None
        lists: list[list[tuple[float, ...]]] = []
        for column in wanted:
            cells = []
            for row, value in enumerate(columns[column]):
                if not isinstance(value, list) or not value:
                    raise self.fail(row, column, "must be a list of numbers and not empty")
                cells.append(tuple(self._number(row, column, item, 1.0) for item in value))
            lists.append(cells)
        return tuple(zip(*lists, strict=True))
