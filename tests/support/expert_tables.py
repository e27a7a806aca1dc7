"""The tables of questions beside the experts' tests, and engines to ask."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kubefugu_core.errors import UnavailableError
from kubefugu_experts.engines.base import Answer, Engine, Question, Reply
from kubefugu_experts.engines.registry import ENGINES, load
from support.paths import REPO

TABLES = REPO / "tests/unit/experts/tables"
PARAPHRASES = REPO / "tests/unit/experts/paraphrases"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One question and what its answer must contain (any of the alternatives)."""

    question: str
    accepted: tuple[str, ...]

    def is_right(self, reply: Reply) -> bool:
        """True where the reply is an answer that contains an alternative."""
        return isinstance(reply, Answer) and any(part in reply.text for part in self.accepted)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("# ")]


def table(name: str) -> list[Row]:
    """An engine's own questions."""
    return _rows(TABLES / f"{name}.txt")


def paraphrases(name: str) -> list[Row]:
    """An engine's questions in free wording; it need not understand every one of them."""
    return _rows(PARAPHRASES / f"{name}.txt")


def _rows(path: Path) -> list[Row]:
    rows = []
    for line in _lines(path):
        question, _, accepted = line.rpartition(" => ")
        parts = (accepted,) if " | " in accepted else tuple(accepted.split("|"))
        rows.append(Row(question.replace("\\n", "\n"), parts))
    return rows


def nobodys_questions() -> list[str]:
    """Questions that no engine may answer."""
    return _lines(TABLES / "nobody.txt")


@functools.cache
def engine(name: str) -> Engine | None:
    """The engine, or None where something that it needs is missing here."""
    try:
        return load(ENGINES[name])
    except UnavailableError:
        return None


def ask(name: str, text: str, *earlier: str) -> Reply:
    """Ask an engine that must be there."""
    found = engine(name)
    assert found is not None
    return found.answer(Question(text=text, earlier=earlier, now=NOW))
