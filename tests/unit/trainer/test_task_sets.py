from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sympy

from kubefugu_core.errors import DataError
from kubefugu_trainer.tasks.fields import calendar, geography, polynomials, units
from kubefugu_trainer.tasks.fields.geography_facts import CITIES, COUNTRIES
from kubefugu_trainer.tasks.question import Phrasing, without_echo
from kubefugu_trainer.tasks.sets import FIELDS, build
from kubefugu_trainer.tasks.verifiers import Contains, NumberSet, Numeric
from kubefugu_trainer.tasks.verify_dates import DateMatch
from kubefugu_trainer.tasks.verify_expressions import Expression
from kubefugu_trainer.tasks.wording import Wording
from kubefugu_trainer.tasks.wordnet_files import FOLDERS, glosses

needs_wordnet = pytest.mark.skipif(not any(f.is_dir() for f in FOLDERS), reason="needs WordNet's files (wordnet-base)")
NO_WORDS = ",".join(field for field in FIELDS if field != "definitions")


def test_a_set_is_the_same_for_the_same_arguments() -> None:
    first = build(NO_WORDS, n=120, seed=5)
    assert first == build(NO_WORDS, n=120, seed=5)
    assert first != build(NO_WORDS, n=120, seed=6)


def test_no_text_occurs_twice_and_fresh_wordings_are_for_testing_only() -> None:
    rows = build(NO_WORDS, n=900, seed=1)
    assert len({row.question.prompt for row in rows}) == 900
    assert Counter(row.split for row in rows) == {"train": 630, "test": 270}
    for row in rows:
        assert row.slice == f"{row.question.phrasing} templates"
        assert row.split == "test" or row.slice != "fresh templates"
    slices = Counter(row.slice for row in rows if row.split == "test")
    assert slices["fresh templates"] == slices["seen templates"] + slices["new templates"] == 135
    assert slices["seen templates"] > slices["new templates"] > 0
    shares = Counter(row.question.field for row in rows)
    assert max(shares.values()) - min(shares.values()) <= 3


def test_every_template_set_is_split() -> None:
    sets = {"seen": ("What is {x}?",), "new": ("Which is {x}?",), "fresh": ("{x}?",)}
    assert Wording(**sets)
    for name, other in (("seen", "new"), ("new", "fresh"), ("fresh", "seen")):
        with pytest.raises(ValueError, match="three disjoint"):
            Wording(**sets | {name: sets[other]})
        with pytest.raises(ValueError, match="three disjoint"):
            Wording(**sets | {name: ()})


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_set_for_one_split(split: str) -> None:
    rows = build("algebra,dates", n=40, seed=1, split=split)
    assert {row.split for row in rows} == {split}
    fresh = "fresh templates" in {row.slice for row in rows}
    assert fresh == (split != "train")


@pytest.mark.parametrize(
    ("tasks", "arguments", "says"),
    [
        ("nonsense", {}, "Unknown task set 'nonsense'"),
        ("rg:nonsense", {}, "no data set 'nonsense'"),
        (" , ", {}, "No task set is named"),
        ("algebra", {"n": 0}, "at least 1"),
        ("algebra", {"split": "dev"}, "Unknown split 'dev'"),
    ],
)
def test_what_cannot_be_built_is_said(tasks: str, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        build(tasks, **({"n": 4, "seed": 0} | arguments))  # type: ignore[arg-type]


def test_question_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"question": "How many?", "answer": "some steps\\n#### 1,200"}\n'
        '{"prompt": "Which?", "answer": "B", "kind": "choice", "options": ["x", "y"]}\n'
        '{"prompt": "Say hi", "answer": "Hi", "kind": "exact", "field": "chat"}\n',
        encoding="utf-8",
    )
    rows = {row.question.prompt: row.question for row in build(str(path), n=3, seed=0, split="train")}
    assert rows["How many?"].verifier.score("How many?", "It is 1200.") == 1
    assert rows["How many?"].field == "mine"
    assert rows["Which?"].verifier.score("Which?", "B") == 1
    assert rows["Say hi"].verifier.score("Say hi", "hi.") == 1
    assert rows["Say hi"].verifier.score("Say hi", "hi you") == 0
    assert rows["Say hi"].field == "chat"
    with pytest.raises(DataError, match="only 3 different questions"):
        build(str(path), n=4, seed=0, split="train")
    path.write_text('{"prompt": "x"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.jsonl: line 1: needs prompt"):
        build(str(path), n=1, seed=0)


def _truths(field: str, topic: str, phrasing: Phrasing) -> list[tuple[str, object]]:
    rng = np.random.default_rng(11)
    questions = [FIELDS[field][topic](rng, phrasing) for _ in range(20)]
    return [(question.prompt, question.verifier) for question in questions]


@pytest.mark.parametrize("phrasing", list(Phrasing))
@pytest.mark.parametrize(("field", "topic"), [(f, t) for f, topics in FIELDS.items() for t in topics if f != "definitions"])
def test_every_generator_words_its_question(field: str, topic: str, phrasing: Phrasing) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        question = FIELDS[field][topic](rng, phrasing)
        assert question.prompt.strip()
        assert "{" not in question.prompt
        assert question.score("") == 0
        assert question.score(question.prompt) == 0, question


def test_polynomials_agree_with_sympy() -> None:
    x = sympy.Symbol("x")
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = (tuple(int(c) for c in rng.integers(-9, 10, size=3)) for _ in range(2))
        p, q = (sum(c * x**i for i, c in enumerate(t)) for t in (a, b))
        as_sympy = sympy.sympify(polynomials.text(a, "x", star=True))
        assert sympy.expand(as_sympy - p) == 0
        assert sympy.expand(sum(c * x**i for i, c in enumerate(polynomials.multiply(a, b))) - p * q) == 0
        assert sympy.expand(sum(c * x**i for i, c in enumerate(polynomials.derivative(a))) - sympy.diff(p, x)) == 0
        exact = sympy.Rational(*polynomials.integral(a, -2, 3).as_integer_ratio())
        assert exact == sympy.integrate(p, (x, -2, 3))


def test_roots_that_were_built_in_solve_the_equation() -> None:
    for prompt, verifier in _truths("algebra", "quadratic", Phrasing.SEEN):
        assert isinstance(verifier, NumberSet)
        match = sympy.sympify
        text = prompt.split(" = 0")[0] if " = 0" in prompt else ""
        if not text or "**" not in text:
            continue
        expression = text[text.index(next(part for part in text.split() if "**" in part)) :]
        symbol = next(iter(match(expression).free_symbols))
        assert set(sympy.solve(match(expression), symbol)) == {sympy.Integer(int(v)) for v in verifier.values}


def test_a_repeated_question_is_no_answer() -> None:
    assert without_echo("What is 3?", "what  is 3? It is 4.") == "It is 4."
    assert without_echo("What is 3?", "It is 4.") == "It is 4."


def test_derivatives_and_definite_integrals_are_numeric_or_expressions() -> None:
    assert all(isinstance(v, Expression) for _, v in _truths("algebra", "derivative", Phrasing.NEW))
    assert all(isinstance(v, Numeric) for _, v in _truths("algebra", "area", Phrasing.NEW))


def test_the_calendar_agrees_with_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    for ordinal in rng.integers(1, datetime.date.max.toordinal(), size=2000):
        day = datetime.date.fromordinal(int(ordinal))
        parts = (day.year, day.month, day.day)
        number = calendar.day_number(*parts)
        assert number - calendar.day_number(1, 1, 1) == day.toordinal() - 1
        assert calendar.from_day_number(number) == parts
        assert calendar.weekday(*parts) == day.strftime("%A")
    assert [y for y in range(1896, 1912) if calendar.leap(y)] == [1896, 1904, 1908]
    assert all(isinstance(v, DateMatch) for _, v in _truths("dates", "after", Phrasing.SEEN))


_PINT_NAMES = {
    "metric ton": "metric_ton", "nautical mile": "nautical_mile", "fluid ounce": "fluid_ounce", "cubic meter": "meter**3",
    "square meter": "meter**2", "square kilometer": "kilometer**2", "square foot": "foot**2", "square mile": "mile**2",
    "kilowatt hour": "kilowatt*hour", "watt hour": "watt*hour",
}  # fmt: skip


@pytest.mark.parametrize("dimension", list(units.DIMENSIONS))
def test_unit_factors_agree_with_pint(dimension: str) -> None:
    import pint

    registry = pint.UnitRegistry()
    sizes = []
    for unit in units.DIMENSIONS[dimension]:
        name = _PINT_NAMES.get(unit.singular, unit.singular.replace(" per ", "/"))
        sizes.append(registry.Quantity(1, name).to_base_units().magnitude / unit.size)
    # Pint's acre is the US survey acre, 4e-6 larger than the international one.
    np.testing.assert_allclose(sizes, sizes[0], rtol=1e-5)


def test_geography_facts_are_consistent() -> None:
    names = {country.name for country in COUNTRIES}
    assert len(names) == len(COUNTRIES) == len({c.iso2 for c in COUNTRIES})
    assert {country for _, country in CITIES} <= names
    by_name = {c.name: c for c in COUNTRIES}
    one_way = {(c.name, other) for c in COUNTRIES for other in c.neighbours if c.name not in by_name.get(other, c).neighbours}
    # A neighbour list may be incomplete, but who is listed must be on the same land mass.
    apart = {"Oceania", "North America", "South America"}
    for name, other in one_way:
        if other in by_name and {name, other} != {"Papua New Guinea", "Indonesia"}:
            pair = {by_name[name].continent, by_name[other].continent}
            assert len(pair) == 1 or not pair & apart or pair == {"North America", "South America"}, (name, other)
    for prompt, verifier in _truths("geography", "continent", Phrasing.SEEN):
        assert isinstance(verifier, Contains), prompt
    assert geography.FIELD in FIELDS


@needs_wordnet
def test_definitions_are_checked_against_wordnet() -> None:
    assert any("hut" in gloss for gloss in glosses("igloo"))
    assert glosses("no such word") == ()
    rng = np.random.default_rng(2)
    for _ in range(40):
        question = FIELDS["definitions"]["define"](rng, Phrasing.NEW)
        gloss = glosses(question.verifier.word)[0]  # type: ignore[attr-defined]
        assert question.verifier.score(question.prompt, gloss) == 1, (question.prompt, gloss)
        assert question.verifier.score(question.prompt, "It is a kind of zxqy.") == 0
