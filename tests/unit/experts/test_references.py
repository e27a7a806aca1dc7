"""Answers against references that share no code with the engines."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date, timedelta

import numpy as np
import pytest
from support.expert_tables import ask, engine

from kubefugu_experts.engines.base import Answer

FACTORS = {
    ("mile", "kilometers"): 1.609344, ("foot", "centimeters"): 30.48, ("inch", "millimeters"): 25.4, ("yard", "meters"): 0.9144,
    ("pound", "grams"): 453.59237, ("ounce", "grams"): 28.349523125, ("stone", "kilograms"): 6.35029318,
    ("gallon", "liters"): 3.785411784, ("acre", "square meters"): 4046.8564224, ("hectare", "acres"): 2.471053815,
    ("nautical mile", "meters"): 1852.0, ("day", "minutes"): 1440.0, ("kilowatt hour", "megajoules"): 3.6,
    ("atmosphere", "pascals"): 101325.0, ("calorie", "joules"): 4.184, ("knot", "kilometers per hour"): 1.852,
    ("gigabyte", "megabytes"): 1000.0, ("week", "hours"): 168.0, ("cup", "milliliters"): 236.5882365,
    ("metric ton", "kilograms"): 1000.0,
}  # fmt: skip


def _answer(name: str, text: str) -> str:
    reply = ask(name, text)
    assert isinstance(reply, Answer), reply
    return reply.text


def _number(text: str) -> float:
    return float(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)[-1])


@pytest.mark.parametrize(("pair", "factor"), FACTORS.items(), ids=str)
def test_conversion_factors_of_the_standards(pair: tuple[str, str], factor: float) -> None:
    rng = np.random.default_rng(3)
    for value in rng.uniform(0.5, 500, size=3).round(2):
        assert _number(_answer("units", f"Convert {value} {pair[0]}s to {pair[1]}.")) == pytest.approx(value * factor, rel=1e-6)


def test_weekdays_against_zellers_congruence() -> None:
    rng = np.random.default_rng(5)
    names = ("Saturday", "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    for _ in range(60):
        year, month, day = int(rng.integers(1600, 2400)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
        shifted, century_year = (month + 12, year - 1) if month < 3 else (month, year)
        k, j = century_year % 100, century_year // 100
        expected = names[(day + 13 * (shifted + 1) // 5 + k + k // 4 + j // 4 + 5 * j) % 7]
        assert expected in _answer("dates", f"What day of the week is {year:04d}-{month:02d}-{day:02d}?")


def test_days_between_dates() -> None:
    rng = np.random.default_rng(6)
    for _ in range(40):
        start = date(1900, 1, 1) + timedelta(days=int(rng.integers(0, 70_000)))
        gap = int(rng.integers(1, 9_000))
        end = start + timedelta(days=gap)
        assert f"{gap} day" in _answer(
            "dates", f"How many days are between {start:%B} {start.day}, {start.year} and {end.isoformat()}?"
        )
        assert f"{end:%B} {end.day}, {end.year}" in _answer("dates", f"What date is {gap} days after {start.isoformat()}?")


def test_derivatives_against_finite_differences() -> None:
    rng = np.random.default_rng(8)
    for _ in range(15):
        a, b, c, d = (int(value) for value in rng.integers(-9, 10, size=4))
        x, h = float(rng.uniform(-2, 2)), 1e-6
        expression = f"{a}*x^3 + {b}*x^2 + {c}*x + {d} + sin(x)"
        text = _answer("algebra", f"What is the derivative of {expression}?").removeprefix("The derivative is ").rstrip(".")
        value = lambda at: a * at**3 + b * at**2 + c * at + d + np.sin(at)  # noqa: E731, B023
        assert _evaluate(text, x) == pytest.approx((value(x + h) - value(x - h)) / (2 * h), rel=1e-4, abs=1e-4)


def test_equations_against_substitution() -> None:
    rng = np.random.default_rng(9)
    for _ in range(20):
        first, second = sorted(int(value) for value in rng.choice(np.arange(-12, 13), size=2, replace=False))
        text = _answer("algebra", f"Solve x^2 + {-(first + second)}*x + {first * second} = 0")
        assert [int(value) for value in re.findall(r"x = (-?\d+)", text)] == [first, second]


def _evaluate(text: str, x: float) -> float:
    """Numpy's arithmetic on an answer of our own engine; only x, sin and cos may be in it."""
    assert re.fullmatch(r"[\dx+*/(). \-sinco]+", text), text
    return float(eval(text, {"__builtins__": {}}, {"x": x, "sin": np.sin, "cos": np.cos}))


@pytest.mark.skipif(shutil.which("wn") is None or engine("definitions") is None, reason="needs WordNet's own program wn")
@pytest.mark.parametrize("word", ["dog", "run", "ephemeral", "quickly", "oak", "bank", "generous", "walked"])
def test_definitions_and_synonyms_against_wordnets_own_program(word: str) -> None:
    shown = subprocess.run(["wn", word, "-over"], capture_output=True, text=True, check=False).stdout
    first = re.search(r"^1\. .*?-- \((.*?)(?:; \"|\)$)", shown, re.MULTILINE)
    assert first is not None
    text = _answer("definitions", f"What does the word {word} mean?")
    glosses = [match.split('; "')[0].rstrip(")") for match in re.findall(r"-- \((.*)\)", shown)]
    assert any(gloss in text for gloss in glosses)
    synonyms = {
        name.strip() for line in re.findall(r"^\d+\. (?:\(\d+\) )?(.*?) --", shown, re.MULTILINE) for name in line.split(",")
    } - {word}
    if len(synonyms) > 2 and word != "walked":
        assert any(name in _answer("definitions", f"synonyms of {word}") for name in synonyms)


def test_geography_against_known_neighbours_and_continents() -> None:
    for country, neighbour in (
        ("Portugal", "Spain"),
        ("Denmark", "Germany"),
        ("Canada", "United States"),
        ("Lesotho", "South Africa"),
    ):
        assert neighbour in _answer("geography", f"Which countries border {country}?")
    for country, continent in (
        ("Peru", "South America"),
        ("Kenya", "Africa"),
        ("Nepal", "Asia"),
        ("Iceland", "Europe"),
        ("Fiji", "Oceania"),
    ):
        assert continent in _answer("geography", f"Which continent is {country} in?")


def test_a_citys_own_name_goes_before_other_names_of_larger_cities() -> None:
    assert "Mexico" in _answer("geography", "Where is Cancun?")
    assert "India" in _answer("geography", "Which country is Bombay in?")


def test_knights_and_knaves_against_all_assignments() -> None:
    rng = np.random.default_rng(12)
    for _ in range(25):
        claims = [(int(rng.integers(0, 3)), bool(rng.integers(0, 2))) for _ in range(3)]
        names = ("Anna", "Bert", "Carl")
        said = " ".join(
            f"{names[index]} says that {names[about]} is a {'knight' if kind else 'knave'}."
            for index, (about, kind) in enumerate(claims)
        )
        models = [
            bits
            for bits in range(8)
            if all(bool(bits >> i & 1) == (bool(bits >> about & 1) == kind) for i, (about, kind) in enumerate(claims))
        ]
        text = _answer(
            "logic", f"Knights always tell the truth and knaves always lie. {said} Who is a knight and who is a knave?"
        )
        if not models:
            assert "impossible" in text
            continue
        for index, name in enumerate(names):
            values = {bool(bits >> index & 1) for bits in models}
            expected = f"{name} is a {'knight' if True in values else 'knave'}" if len(values) == 1 else "cannot be determined"
            assert expected in text
