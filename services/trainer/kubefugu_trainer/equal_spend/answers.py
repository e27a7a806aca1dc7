"""One answer of one method to one question, and the journal that makes a comparison resumable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.journal import question_key
from kubefugu_trainer.runs.files import AppendLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came and what it took."""

    method: str
    question: str
    """Key of the question."""
    score: float
    tokens: int
    """Input and output of all calls, planning included."""
    calls: int
    """Model and engine calls."""
    cost_usd: float
    latency_s: float
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the method says about itself, such as the plan."""


class AnswerJournal:
    """Append-only; belongs to one configuration."""

    def __init__(self, path: Path, *, config: Mapping[str, Any]) -> None:
        """Open or create. Raises DataError where the file belongs to another configuration."""
        self._log = AppendLog(path)
        lines = self._log.read()
        if not lines:
            self._log.append({"config": dict(config)})
        elif lines[0].get("config") != dict(config):
            raise DataError(f"{path}: it was begun with other arguments; choose another --out", field="out")
        self._answers = {(line["method"], line["question"]): Answer(**line) for line in lines[1:]}

    def get(self, method: str, prompt: str) -> Answer | None:
        """A recorded answer."""
        return self._answers.get((method, question_key(prompt)))

    def add(self, answer: Answer) -> None:
        """Record one; it is on disk when this returns."""
        self._log.append(asdict(answer))
        self._answers[(answer.method, answer.question)] = answer

    def close(self) -> None:
        """Close the file."""
        self._log.close()
