"""Glosses straight from WordNet's database files (wndb(5WN)): the reference that definitions are checked against."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from kubefugu_core.errors import DataError

FOLDERS = (Path("/usr/share/wordnet"), Path("/usr/share/wordnet/dict"), Path("/usr/local/WordNet-3.0/dict"))
_PARTS = ("noun", "verb", "adj", "adv")


def folder() -> Path:
    """Folder of the database files. Raises DataError where WordNet is not installed."""
    for path in FOLDERS:
        if (path / "index.noun").is_file():
            return path
    raise DataError("WordNet's files are not installed (Debian package wordnet-base): the definitions tasks need them")


@lru_cache(maxsize=1)
def _index() -> dict[str, list[tuple[str, int]]]:
    offsets: dict[str, list[tuple[str, int]]] = {}
    for part in _PARTS:
        for line in (folder() / f"index.{part}").read_text(encoding="ascii").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            count = int(fields[2])
            offsets.setdefault(fields[0], []).extend((part, int(offset)) for offset in fields[-count:])
    return offsets


@lru_cache(maxsize=len(_PARTS))
def _data(part: str) -> bytes:
    return (folder() / f"data.{part}").read_bytes()


def glosses(word: str) -> tuple[str, ...]:
    """Definitions of a word in all its senses, without the examples; empty for an unknown word."""
    found = []
    for part, offset in _index().get(word.lower().replace(" ", "_"), []):
        data = _data(part)
        line = data[offset : data.index(b"\n", offset)].decode("utf-8")
        definition = line.split(" | ", 1)[1].split(';  "')[0].split('; "')[0].strip()
        found.append(definition)
    return tuple(found)
