"""Questions with two parts that need two different experts, each part with its own verifier: what workflows are for.

Wording: train questions and one half of the test questions share templates, for parts and for how they are joined; the other
half uses templates that no training question uses. No text occurs twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.fields.calendar import MONTHS, month_days, weekday
from kubefugu_trainer.tasks.fields.geography_facts import COUNTRIES
from kubefugu_trainer.tasks.question import Phrasing, Question
from kubefugu_trainer.tasks.sets import SplitQuestion
from kubefugu_trainer.tasks.verifiers import Contains, NumberSet, Numeric, Verifier
from kubefugu_trainer.tasks.verify_parts import Part, Parts

NAME = "pairs"
_TRIES = 500
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CONVERSIONS = (
    ("miles", "kilometers", 1.609344), ("kilometers", "miles", 1 / 1.609344), ("feet", "meters", 0.3048),
    ("inches", "centimeters", 2.54), ("pounds", "kilograms", 0.45359237), ("kilograms", "pounds", 1 / 0.45359237),
    ("gallons", "liters", 3.785411784), ("hours", "minutes", 60.0), ("days", "hours", 24.0),
    ("acres", "hectares", 0.40468564224),
    ("ounces", "grams", 28.349523125), ("yards", "meters", 0.9144),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Topic:
    """Templates of one kind of part; `draw` gives its slots and its verifier."""

    field: str
    seen: tuple[str, ...]
    fresh: tuple[str, ...]
    draw: Callable[[np.random.Generator], tuple[Mapping[str, object], Verifier]]


def _country(rng: np.random.Generator) -> int:
    return int(rng.integers(len(COUNTRIES)))


def _capital(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    country = COUNTRIES[_country(rng)]
    return {"c": country.name}, Contains(accepted=(country.capital,))


def _currency(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    country = COUNTRIES[_country(rng)]
    return {"c": country.name}, Contains(accepted=country.currency)


def _conversion(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    source, target, factor = _CONVERSIONS[int(rng.integers(len(_CONVERSIONS)))]
    number = int(rng.integers(3, 200))
    return {"n": number, "a": source, "b": target}, Numeric(value=number * factor, relative=5e-3)


def _weekday(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    year, month = int(rng.integers(1900, 2060)), int(rng.integers(1, 13))
    day = int(rng.integers(1, month_days(year, month) + 1))
    right = weekday(year, month, day)
    others = tuple(name for name in _WEEKDAYS if name != right)
    return {"d": f"{MONTHS[month - 1]} {day}, {year}"}, Contains(accepted=(right,), excluded=others)


def _percent(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    share, whole = int(rng.integers(2, 96)), 10 * int(rng.integers(3, 90))
    return {"p": share, "n": whole}, Numeric(value=share * whole / 100)


def _equation(rng: np.random.Generator) -> tuple[Mapping[str, object], Verifier]:
    factor, root, rest = int(rng.integers(2, 13)), int(rng.integers(2, 40)), int(rng.integers(1, 60))
    return {"l": f"{factor}x + {rest}", "r": factor * root + rest}, NumberSet(values=(float(root),))


TOPICS: tuple[_Topic, ...] = (
    _Topic("geography", ("What is the capital of {c}?", "Which city is the capital of {c}?", "Name the capital of {c}."),
           ("What is the capital city of {c}?", "Tell me the capital of {c}."), _capital),
    _Topic("geography", ("What is the currency of {c}?", "Which currency is used in {c}?"),
           ("Name the currency of {c}.",), _currency),
    _Topic("units", ("How many {b} are {n} {a}?", "Convert {n} {a} to {b}.", "What is {n} {a} in {b}?"),
           ("How many {b} are there in {n} {a}?", "Express {n} {a} in {b}."), _conversion),
    _Topic("dates", ("What day of the week was {d}?", "Which weekday was {d}?"),
           ("On which day of the week does {d} fall?",), _weekday),
    _Topic("algebra", ("What is {p}% of {n}?", "Calculate {p}% of {n}."), ("How much is {p}% of {n}?",), _percent),
    _Topic("algebra", ("Solve {l} = {r}.", "Solve for x: {l} = {r}."), ("Find x if {l} = {r}.",), _equation),
)  # fmt: skip
_JOINTS = {
    Phrasing.SEEN: ("{a} {b}", "{a} Also: {b}", "Two questions. {a} {b}", "{a} And: {b}"),
    Phrasing.FRESH: ("First: {a} Second: {b}", "{a} After that: {b}", "I have two questions: {a} {b}"),
}


def _draw(rng: np.random.Generator, phrasing: Phrasing) -> Question:
    first = TOPICS[int(rng.integers(len(TOPICS)))]
    others = [topic for topic in TOPICS if topic.field != first.field]
    second = others[int(rng.integers(len(others)))]
    parts = []
    for topic in (first, second):
        slots, verifier = topic.draw(rng)
        templates = topic.fresh if phrasing is Phrasing.FRESH else topic.seen
        parts.append(Part(prompt=templates[int(rng.integers(len(templates)))].format(**slots), verifier=verifier))
    joints = _JOINTS[phrasing]
    prompt = joints[int(rng.integers(len(joints)))].format(a=parts[0].prompt, b=parts[1].prompt)
    fields = sorted((first.field, second.field))
    return Question(prompt=prompt, field="+".join(fields), topic=NAME, phrasing=phrasing, verifier=Parts(parts=tuple(parts)))


def build_pairs(*, n: int, seed: int, split: str) -> list[SplitQuestion]:
    """`n` two-part questions, the same for the same arguments; `split` train (seen templates only) or test (half of each).

    Texts of one split never occur in the other for the same seed. Raises DataError.
    """
    if split not in ("train", "test"):
        raise DataError(f"Unknown split {split!r} of pairs; known are train and test.", field="split")
    rng = np.random.default_rng([seed, 0 if split == "train" else 1])
    rows: list[SplitQuestion] = []
    drawn: set[str] = set()
    for number in range(n):
        phrasing = Phrasing.FRESH if split == "test" and number % 2 else Phrasing.SEEN
        for _ in range(_TRIES):
            question = _draw(rng, phrasing)
            if question.prompt not in drawn and side(question.prompt) == split:
                break
        else:
            raise DataError(f"There are no {n} different two-part questions.", field="n")
        drawn.add(question.prompt)
        name = "fresh templates" if phrasing is Phrasing.FRESH else "seen templates"
        rows.append(SplitQuestion(question=question, split=split, slice=name))
    return rows


def side(prompt: str) -> str:
    """Which split a text belongs to, by its content alone: so no draw of any seed puts it on the other side."""
    return "test" if sum(prompt.encode()) % 4 == 0 else "train"
