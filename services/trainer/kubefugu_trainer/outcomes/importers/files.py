"""Files of a corpus: given ones, or all of a kind below given folders; JSON also inside zip archives."""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError


def find(sources: Sequence[Path], *endings: str) -> list[Path]:
    """Files with one of the endings, folders searched to the bottom, sorted. Raises DataError where a source has none."""
    found: list[Path] = []
    for source in sources:
        if source.is_file():
            found.append(source)
            continue
        if not source.is_dir():
            raise DataError(f"{source}: there is no such file or folder", field="source")
        inside = sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in endings)
        if not inside:
            raise DataError(f"{source}: there is no {' or '.join(endings)} file in it", field="source")
        found.extend(inside)
    return found


def json_records(path: Path) -> list[dict[str, Any]]:
    """The list of objects in a JSON file, or in all JSON files of a zip archive. Raises DataError."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside = [name for name in archive.namelist() if name.endswith(".json") and not name.startswith("__MACOSX")]
                return [record for name in sorted(inside) for record in _list(json.loads(archive.read(name)), path)]
        return _list(json.loads(path.read_bytes()), path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: {error}") from error


def _list(value: Any, path: Path) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{path}: expected a JSON list of objects, one an answer")
    return value


def csv_rows(path: Path, *required: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with a header. Raises DataError where a required column is missing."""
    csv.field_size_limit(sys.maxsize)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    for name in required:
        if name not in columns:
            raise DataError(f"{path}: no column {name!r}; columns: {', '.join(columns[:12]) or 'none'}", field=name)
    for row in reader:
        yield reader.line_num, {key: value or "" for key, value in row.items() if key is not None}


def value(record: dict[str, Any], key: str, path: Path, number: int) -> Any:
    """A record's field. Raises DataError that names the file and the record where it is missing."""
    if key not in record:
        raise DataError(f"{path}: record {number + 1}: no field {key!r}", field=key)
    return record[key]
