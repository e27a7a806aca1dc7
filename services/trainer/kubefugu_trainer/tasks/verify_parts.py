"""Verifier of questions with several parts: a reply is right where every part is answered somewhere in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_trainer.tasks.question import without_echo
from kubefugu_trainer.tasks.verifiers import Verifier

_MAX_SEGMENTS = 24
"""A reply that tries many values must not be right by their number."""
_BORDER = re.compile(r"\n+|(?<=[.!?;])\s+|,\s+and\s+|\s+and the\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One question of several."""

    prompt: str
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Several questions in one. Each part's verifier sees the reply as a whole, and its lines, sentences and clauses alone."""

    parts: tuple[Part, ...]

    def score(self, prompt: str, reply: str) -> float:
        """1 where every part is right, else 0."""
        return float(all(self._answered(part, reply) for part in self.parts))

    def _answered(self, part: Part, reply: str) -> bool:
        for other in self.parts:
            reply = without_echo(other.prompt, reply)
        pieces = [reply, *(piece for piece in _BORDER.split(reply) if piece and piece.strip())]
        return any(part.verifier.score(part.prompt, piece.strip()) >= 1.0 for piece in pieces[:_MAX_SEGMENTS])
