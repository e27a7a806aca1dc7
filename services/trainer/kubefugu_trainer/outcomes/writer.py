"""Writes outcome tables, parquet or JSON lines by the file's ending, aside and renamed: a reader never sees half a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes import schema
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.runs.files import replace_file

JSON_ENDINGS = (".jsonl", ".ndjson")


def write_table(path: Path, table: OutcomeTable) -> None:
    """Write a table. Raises DataError for an unknown file ending."""
    columns = _columns(table)
    provenance = json.dumps(dict(table.provenance), sort_keys=True)
    if path.suffix == ".parquet":
        arrow = pa.table(columns).replace_schema_metadata({schema.METADATA_KEY: provenance.encode()})
        with replace_file(path) as file:
            pq.write_table(arrow, file, compression="zstd")
    elif path.suffix in JSON_ENDINGS:
        with replace_file(path) as file:
            for row in range(len(table)):
                record = {name: values[row] for name, values in columns.items()}
                file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        with replace_file(Path(schema.sidecar(str(path)))) as file:
            file.write(provenance.encode())
    else:
        raise DataError(f"{path}: an outcome table ends in .parquet or .jsonl", field="out")


def _columns(table: OutcomeTable) -> dict[str, list[Any]]:
    plain = all(len(question) == 1 and question[0][0] == "user" for question in table.messages)
    columns: dict[str, list[Any]] = (
        {schema.PROMPT: [question[0][1] for question in table.messages]}
        if plain
        else {schema.MESSAGES: [[{"role": role, "content": text} for role, text in q] for q in table.messages]}
    )
    if table.groups is not None:
        columns[schema.GROUP] = list(table.groups)
    if table.slices is not None:
        columns[schema.SLICE] = list(table.slices)
    columns[schema.SPLIT] = list(table.splits)
    for prefix, array in ((schema.SCORE, table.scores), (schema.COST, table.costs), (schema.TOKENS, table.tokens)):
        if array is not None:
            columns.update({f"{prefix}{name}": array[:, i].tolist() for i, name in enumerate(table.workers)})
    if table.repeats is not None:
        columns.update({f"{schema.REPEATS}{n}": [list(row[i]) for row in table.repeats] for i, n in enumerate(table.workers)})
    return columns
