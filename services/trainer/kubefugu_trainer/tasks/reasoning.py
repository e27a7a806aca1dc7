"""Questions of reasoning-gym (https://github.com/open-thought/reasoning-gym), checked by its own scoring functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.syllogisms import proven
from kubefugu_trainer.tasks.verifiers import answer_part

SEEN: dict[str, tuple[str, ...]] = {
    "algebra": ("simple_equations", "chain_sum", "basic_arithmetic", "gcd"),
    "logic": ("syllogism", "knights_knaves"),
    "dates": ("calendar_arithmetic",),
}
"""Data sets that training questions use, by field."""
NEW: dict[str, tuple[str, ...]] = {"algebra": ("lcm", "products", "decimal_arithmetic")}
"""Data sets that go with the further templates of training questions."""
FRESH: dict[str, tuple[str, ...]] = {"algebra": ("fraction_simplification",), "dates": ("time_intervals",)}
"""Data sets kept for the test split that nothing was tuned on."""
_SEEDS = 2**31
_TRIES = 200
_CHECKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {"syllogism": proven}
"""Data sets whose answers are proven before they are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningGym:
    """Scored by the data set's own function; the best of the whole reply, its answer part, last line and last token counts."""

    dataset: str
    entry: Mapping[str, Any]

    def score(self, prompt: str, reply: str) -> float:
        """reasoning-gym's score, 0 below a full 1 (its partial credit is for format, not substance)."""
        import reasoning_gym

        scorer = reasoning_gym.get_score_answer_fn(self.dataset)
        return float(any(_scored(scorer, text, self.entry) >= 1.0 for text in _candidates(reply)))


def _scored(scorer: Callable[..., float], answer: str, entry: Mapping[str, Any]) -> float:
    try:
        return float(scorer(answer=answer, entry=dict(entry)))
    except Exception:  # some of the package's scorers raise whatever their parsing does on text that is no answer
        return 0.0


def _candidates(reply: str) -> list[str]:
    part = answer_part(reply).strip()
    if not part:
        return []
    line = part.splitlines()[-1].strip()
    after = re.split(r"[=:]", line)[-1].strip()
    token = re.sub(r"^[^\w(-]+|[^\w)]+$", "", line.split()[-1]) if line.split() else ""
    return list(
        dict.fromkeys(text for text in (reply.strip(), part, line, line.rstrip("."), after, after.rstrip("."), token) if text)
    )


def draw(dataset: str, field: str, rng: np.random.Generator, phrasing: Phrasing) -> Question:
    """One question of a data set. Raises DataError for an unknown data set or a missing package."""
    try:
        import reasoning_gym
    except ImportError as error:
        raise DataError("The package reasoning-gym is not installed (pip install kubefugu-trainer[tasks]).") from error
    try:
        entry = _entry(reasoning_gym, dataset, rng)
    except ValueError as error:
        raise DataError(f"reasoning-gym has no data set {dataset!r}.", field="tasks") from error
    verifier = ReasoningGym(dataset=dataset, entry=entry)
    return Question(prompt=str(entry["question"]), field=field, topic=f"rg:{dataset}", phrasing=phrasing, verifier=verifier)


def _entry(package: Any, dataset: str, rng: np.random.Generator) -> dict[str, Any]:
    """An item whose answer was not refuted."""
    for _ in range(_TRIES):
        entry: dict[str, Any] = package.create_dataset(dataset, size=1, seed=int(rng.integers(_SEEDS)))[0]
        check = _CHECKS.get(dataset)
        if check is None or check(entry):
            return entry
    raise DataError(f"None of {_TRIES} items of reasoning-gym's {dataset!r} has a proven answer.", field="tasks")


def topics(field: str, phrasing: Phrasing) -> dict[str, Generator]:
    """The field's reasoning-gym generators for a set of wordings; empty where it has none."""

    def make(dataset: str) -> Generator:
        return lambda rng, wording: draw(dataset, field, rng, wording)

    names = {Phrasing.SEEN: SEEN, Phrasing.NEW: NEW, Phrasing.FRESH: FRESH}[phrasing].get(field, ())
    return {f"rg:{name}": make(name) for name in names}
