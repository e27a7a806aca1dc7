"""What an engine is: a question in, an answer or a refusal out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question in natural language."""

    text: str
    """The last user message."""
    earlier: tuple[str, ...] = ()
    """The user's earlier messages, oldest first, for questions that lean on them ("and in miles?")."""
    now: datetime = field(default_factory=lambda: datetime.now().astimezone())
    """The clock, for questions that ask for it; nothing else may read it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A short sentence that holds the result plainly."""

    text: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Not answered: not the engine's field, or beyond it. The reason is one sentence for people."""

    reason: str


Reply: TypeAlias = Answer | Declined


class Engine(Protocol):
    """A narrow expert. Built once per process; `answer` keeps no state."""

    def answer(self, question: Question) -> Reply:
        """Answer what is certainly the engine's own, decline everything else. Raises nothing for bad input."""
        ...


EngineFactory: TypeAlias = Callable[[], Engine]
"""Builds an engine. Raises ImportError or FileNotFoundError where something that it needs is missing."""
