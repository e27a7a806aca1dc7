"""Task sets: names and files to a list of questions with splits.

`default` is the default pool's fields in equal shares; a field's name is that field alone; `rg:NAME` a reasoning-gym data set;
a path a question file; `json:` before any of them asks for the answer as a JSON object. Several are joined by commas.

Splits of generated questions: train questions and one half of the test questions share templates (slices `seen templates` and
`new templates`); the other half uses templates that neither a training question nor whoever worked on the engines has used
(slice `fresh templates`). No text occurs twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks import reasoning
from kubefugu_trainer.tasks.fields import algebra, dates, definitions, general, geography, logic, units
from kubefugu_trainer.tasks.files import parse_questions, read_questions, read_text
from kubefugu_trainer.tasks.question import Generator, Phrasing, Question
from kubefugu_trainer.tasks.verify_json import SYSTEM, InJson

FIELDS: Mapping[str, Mapping[str, Generator]] = {
    module.FIELD: module.TOPICS for module in (algebra, units, geography, definitions, logic, dates, general)
}
"""Field -> topic -> generator."""
TEST_SHARE = 0.3
NEW_SHARE = 0.4
"""Share of `Phrasing.NEW` in what is not `Phrasing.FRESH`."""
_TRIES = 200
"""Draws without a new text after which a field is used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitQuestion:
    """A question and the part of the table that it goes to."""

    question: Question
    split: str
    slice: str


def build(
    tasks: str, *, n: int, seed: int, split: str = "auto", without: Collection[str] = (), files: Mapping[str, str] | None = None
) -> list[SplitQuestion]:
    """`n` questions of the task sets named in `tasks`, the same for the same arguments.

    `split`: auto (as in the module's docstring), or train, valid or test for all of them. `without`: texts of questions that
    are left out. `files`: texts of question files that are not read from disk, by name. Raises DataError.
    """
    if n < 1:
        raise DataError(f"The number of questions must be at least 1, not {n}.", field="n")
    if split not in ("auto", "train", "valid", "test"):
        raise DataError(f"Unknown split {split!r}; known are auto, train, valid and test.", field="split")
    sources = _all_sources(tasks, seed, files or {})
    if not sources:
        raise DataError("No task set is named.", field="tasks")
    test = 0 if split == "train" else n if split in ("valid", "test") else round(TEST_SHARE * n)
    fresh_test = test // 2
    new = round(NEW_SHARE * (n - fresh_test))
    rng = np.random.default_rng(seed)
    drawn: set[str] = set(without)
    seen = _take(sources, n - fresh_test - new, Phrasing.SEEN, rng, drawn) + _take(sources, new, Phrasing.NEW, rng, drawn)
    fresh = _take(sources, fresh_test, Phrasing.FRESH, rng, drawn)
    order = rng.permutation(len(seen))
    first = {int(i) for i in order[: n - test]}
    held_out = "test" if split == "auto" else split
    rows = [
        SplitQuestion(
            question=question,
            split="train" if split == "auto" and i in first else held_out,
            slice=f"{question.phrasing} templates",
        )
        for i, question in enumerate(seen)
    ]
    rows += [SplitQuestion(question=question, split=held_out, slice=f"{question.phrasing} templates") for question in fresh]
    return rows


def held(tasks: str, *, files: Mapping[str, str] | None = None) -> int | None:
    """How many different questions the task sets hold; None where some of them are generated. Raises DataError."""
    sources = _all_sources(tasks, 0, files or {})
    if not all(source.listed for source in sources):
        return None
    rng, texts = np.random.default_rng(0), set()
    for source in sources:
        while (question := source.draw(rng, Phrasing.SEEN)) is not None:
            texts.add(question.text)
    return len(texts)


def question_files(tasks: str) -> dict[str, str]:
    """Texts of the question files among the task sets, by name: what another machine needs. Raises DataError."""
    names = [name.strip().removeprefix("json:") for name in tasks.split(",")]
    return {name: read_text(Path(name)) for name in names if name and Path(name).is_file()}


class _Generated:
    """A field's generators, drawn in turn."""

    listed = False

    def __init__(self, field: str, topics: Mapping[str, Generator]) -> None:
        self.name = field
        self._cycles: dict[Phrasing, Iterator[Generator]] = {
            phrasing: cycle([*topics.values(), *reasoning.topics(field, phrasing).values()]) for phrasing in Phrasing
        }

    def draw(self, rng: np.random.Generator, phrasing: Phrasing) -> Question | None:
        return next(self._cycles[phrasing])(rng, phrasing)


class _Listed:
    """The questions of a file, in shuffled order."""

    listed = True

    def __init__(self, name: str, questions: Sequence[Question], seed: int) -> None:
        self.name = name
        order = np.random.default_rng(seed).permutation(len(questions))
        self._left = iter([questions[int(i)] for i in order])

    def draw(self, rng: np.random.Generator, phrasing: Phrasing) -> Question | None:
        return next(self._left, None)


class _ReasoningGym:
    """One reasoning-gym data set; it has no second wording."""

    listed = False

    def __init__(self, dataset: str) -> None:
        self.name = dataset

    def draw(self, rng: np.random.Generator, phrasing: Phrasing) -> Question | None:
        return reasoning.draw(self.name, self.name, rng, phrasing)


class _Json:
    """Another source's questions, to be answered by a JSON object."""

    def __init__(self, inner: _Generated | _Listed | _ReasoningGym) -> None:
        self.name = f"json:{inner.name}"
        self.listed = inner.listed
        self._inner = inner

    def draw(self, rng: np.random.Generator, phrasing: Phrasing) -> Question | None:
        question = self._inner.draw(rng, phrasing)
        if question is None:
            return None
        return replace(question, field=self.name, system=SYSTEM, verifier=InJson(inner=question.verifier))


_Source = _Generated | _Listed | _ReasoningGym | _Json


def _all_sources(tasks: str, seed: int, files: Mapping[str, str]) -> list[_Source]:
    return [source for name in tasks.split(",") if name.strip() for source in _sources(name.strip(), seed, files)]


def _sources(name: str, seed: int, files: Mapping[str, str]) -> list[_Source]:
    if name.startswith("json:"):
        return [_Json(inner) for inner in _sources(name.removeprefix("json:"), seed, files) if not isinstance(inner, _Json)]
    if name in files:
        return [_Listed(name, parse_questions(Path(name), files[name]), seed)]
    if name == "default":
        return [_Generated(field, topics) for field, topics in FIELDS.items()]
    if name in FIELDS:
        return [_Generated(name, FIELDS[name])]
    if name.startswith("rg:"):
        return [_ReasoningGym(name.removeprefix("rg:"))]
    if Path(name).is_file():
        return [_Listed(name, read_questions(Path(name)), seed)]
    raise DataError(
        f"Unknown task set {name!r}; known are default, {', '.join(FIELDS)}, rg:<reasoning-gym data set>, question files, "
        "and json: before any of them.",
        field="tasks",
    )


def _take(sources: Sequence[_Source], n: int, phrasing: Phrasing, rng: np.random.Generator, drawn: set[str]) -> list[Question]:
    """`n` questions in equal shares; a source that has no more leaves its share to the others."""
    found: list[Question] = []
    left = list(sources)
    while len(found) < n:
        for source in list(left):
            if len(found) == n:
                break
            question = _fresh(source, phrasing, rng, drawn)
            if question is None:
                left.remove(source)
            else:
                found.append(question)
        if not left and len(found) < n:
            raise DataError(f"The task sets hold only {len(drawn)} different questions, fewer than were asked for.", field="n")
    return found


def _fresh(source: _Source, phrasing: Phrasing, rng: np.random.Generator, drawn: set[str]) -> Question | None:
    for _ in range(_TRIES):
        question = source.draw(rng, phrasing)
        if question is None:
            return None
        if question.text not in drawn:
            drawn.add(question.text)
            return question
    return None
