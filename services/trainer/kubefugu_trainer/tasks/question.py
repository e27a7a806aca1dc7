"""A question and how its answer is checked. Pure data."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kubefugu_trainer.tasks.verifiers import Verifier


class Phrasing(StrEnum):
    """Which set of templates worded a question."""

    SEEN = "seen"
    """Templates that training questions use too."""
    NEW = "new"
    """Templates that training questions use too; the default pool's engines were widened while looking at what these missed."""
    FRESH = "fresh"
    """Templates kept for the test split, and from whoever works on the engines: nothing may be tuned on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One generated question."""

    prompt: str
    """Text of the user message."""
    field: str
    """Kind of worker that it is meant for."""
    topic: str
    """Generator inside the field."""
    phrasing: Phrasing
    """Set of templates."""
    verifier: Verifier
    """Checks a reply."""
    system: str = ""
    """Text of a system message before it; "": none."""
    tools: str = ""
    """OpenAI function definitions that go along, as JSON; "": none."""

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """(role, text) of the conversation that is asked."""
        return ((("system", self.system),) if self.system else ()) + (("user", self.prompt),)

    @property
    def text(self) -> str:
        """What tells it from other questions."""
        return f"{self.system}\n{self.prompt}" if self.system else self.prompt

    def score(self, reply: str) -> float:
        """Score of a reply; what it merely repeats of the question is left out first."""
        return self.verifier.score(self.prompt, without_echo(self.prompt, reply))


def without_echo(prompt: str, reply: str) -> str:
    """The reply without the question, where it repeats that word for word."""
    pattern = r"\s+".join(re.escape(word) for word in prompt.split())
    if not pattern or not re.search(pattern, reply, flags=re.IGNORECASE):
        return reply  # as it is: a program's first line may be indented
    return re.sub(pattern, " ", reply, flags=re.IGNORECASE).strip()


Generator = Callable[[np.random.Generator, Phrasing], Question]
"""Draws one question in the wording asked for."""
