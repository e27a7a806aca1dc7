"""Wordings: templates in three disjoint sets, and small talk around a question, likewise in three sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kubefugu_trainer.tasks.question import Phrasing

_T = TypeVar("_T")

_BEFORE = {
    Phrasing.SEEN: (
        "", "", "", "", "", "", "Please help: ", "Quick question: ", "Hi! ", "Hello, ", "Can you help me? ",
        "I need an answer: ",
        "For my homework: ", "Question: ", "I was wondering: ", "Could you tell me this? ",
    ),
    Phrasing.NEW: (
        "", "", "", "", "Hey there, ", "One more thing - ", "My teacher asked: ", "Q: ", "Sorry to bother you. ", "So, ",
    ),
    Phrasing.FRESH: ("", "", "", "", "", "Excuse me, ", "Here is my problem: ", "Dear assistant, ", "Next: ", "Just curious: "),
}  # fmt: skip
_AFTER = {
    Phrasing.SEEN: (
        "", "", "", "", "", "", " Thanks!", " Please answer briefly.", " Give only the answer.", " Thank you in advance.",
    ),
    Phrasing.NEW: ("", "", "", "", " Cheers.", " I'd appreciate a short answer.", " Any idea?", " Keep it short, please."),
    Phrasing.FRESH: ("", "", "", "", " Many thanks.", " One line is enough.", " That helps me.", " No explanation needed."),
}  # fmt: skip


_CARELESS = 0.1
"""Share of questions with a small first letter, and of questions without a final mark."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Templates of one topic; the sets share none. What each is for: `Phrasing`."""

    seen: Sequence[str]
    new: Sequence[str]
    fresh: Sequence[str]

    def __post_init__(self) -> None:
        sets = (set(self.seen), set(self.new), set(self.fresh))
        if not all(sets) or len(set.union(*sets)) != sum(map(len, sets)):
            raise ValueError("a wording needs three disjoint, non-empty sets of templates")

    def say(self, rng: np.random.Generator, phrasing: Phrasing, slots: Mapping[str, object], *, plain: bool = False) -> str:
        """Fill a template; unless `plain`, sometimes with words around it, a small first letter or no final mark."""
        templates = {Phrasing.SEEN: self.seen, Phrasing.NEW: self.new, Phrasing.FRESH: self.fresh}[phrasing]
        text = pick(rng, templates).format(**slots)
        if plain:
            return text
        before, after = pick(rng, _BEFORE[phrasing]), pick(rng, _AFTER[phrasing])
        if before.endswith((", ", "- ")) or rng.random() < _CARELESS:
            text = _uncapitalised(text)
        if not after and rng.random() < _CARELESS:
            text = text.rstrip("?.!")
        return f"{before}{text}{after}"


def _uncapitalised(text: str) -> str:
    return text[0].lower() + text[1:] if len(text) > 1 and text[1].islower() else text


def pick(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    """One item, uniformly."""
    return items[int(rng.integers(len(items)))]


def integer(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer in [low, high], uniformly."""
    return int(rng.integers(low, high + 1))


def nonzero(rng: np.random.Generator, bound: int) -> int:
    """An integer in [-bound, bound] without 0."""
    value = integer(rng, 1, bound)
    return value if rng.random() < 0.5 else -value
