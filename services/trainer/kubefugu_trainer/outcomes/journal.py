"""The journal of a collection: one line for each answer that was received, on disk before it counts. Resuming reads it back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_trainer.runs.files import AppendLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One answer of one worker, scored."""

    question: str
    """Key of the question."""
    worker: str
    repeat: int
    score: float
    declined: bool
    """True: a specialist's refusal. It scores 0."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    latency_ms: float
    finish_reason: str
    reply: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What this is a measurement of."""
        return (self.question, self.worker, self.repeat)


def question_key(prompt: str) -> str:
    """Key of a question: hash of its whole text."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:32]


class Journal:
    """Append-only; belongs to one configuration."""

    def __init__(self, path: Path, *, config: Mapping[str, Any]) -> None:
        """Open or create. Raises DataError where the file belongs to another configuration, naming what differs."""
        self._log = AppendLog(path)
        lines = self._log.read()
        if not lines:
            self._log.append({"config": dict(config)})
        else:
            _check(path, lines[0].get("config"), config)
        self.measurements: dict[tuple[str, str, int], Measurement] = {}
        for line in lines[1:]:
            measurement = Measurement(**line)
            self.measurements[measurement.key] = measurement

    def add(self, measurement: Measurement) -> None:
        """Record an answer; it is on disk when this returns."""
        self._log.append({name: getattr(measurement, name) for name in Measurement.__slots__})
        self.measurements[measurement.key] = measurement

    @property
    def cost_usd(self) -> float:
        """What all recorded answers cost."""
        return sum(measurement.cost_usd for measurement in self.measurements.values())

    def close(self) -> None:
        """Close the file."""
        self._log.close()


def _check(path: Path, found: object, config: Mapping[str, Any]) -> None:
    known = found if isinstance(found, dict) else {}
    for name, value in config.items():
        if known.get(name) != value:
            raise DataError(
                f"{path}: this journal was begun with {name} = {known.get(name)!r}, not {value!r}; "
                "finish it with the same arguments or choose another --out",
                field=name,
            )
