from __future__ import annotations

import pytest

from kubefugu_trainer.tasks.numbers import numbers_in
from kubefugu_trainer.tasks.reasoning import ReasoningGym
from kubefugu_trainer.tasks.verifiers import (
    Choice,
    Contains,
    FirstOf,
    IsoCode,
    Millions,
    Names,
    NumberSet,
    Numeric,
    Ordered,
    PrimeFactors,
    Verifier,
    Words,
    YesNo,
)
from kubefugu_trainer.tasks.verify_dates import DateMatch, dates_in
from kubefugu_trainer.tasks.verify_expressions import Expression, ExpressionError, evaluate
from kubefugu_trainer.tasks.verify_glosses import GlossOverlap

_ROOT = NumberSet(values=(-3.0, 7.0))
_KNIGHTS = Names(roles=(("Ann", "knight"), ("Bo", "knave")), vocabulary=("knight", "knave"))
_SKY = GlossOverlap(word="igloo", glosses=("an Eskimo hut; usually built of blocks of snow in the shape of a dome",))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x = -3 and y = 4", [-3, 4]),
        ("5 - 3 is 2", [5, 3, 2]),
        ("about 1,234,567.5 people", [1234567.5]),
        ("6.02e23 or 6.02 × 10^23", [6.02e23, 6.02e23]),
        ("that is 3/4, \\frac{1}{2}", [0.75, 0.5]),
        ("the answer is −7.", [-7]),
        ("(-2, 5)", [-2, 5]),
        ("x2 and v1.5", []),
        (".5 of it", [0.5]),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, wanted: list[float]) -> None:
    assert numbers_in(text) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("verifier", "prompt", "reply", "score"),
    [
        (Numeric(value=42), "What is 6 * 7?", "6 * 7 = 42", 1),
        (Numeric(value=42), "What is 6 * 7?", "The answer is 42, since 6 times 7 is 42. I used 3 steps.", 1),
        (Numeric(value=42), "What is 6 * 7?", "It is 41.", 0),
        (Numeric(value=42), "What is 6 * 7?", "I multiply 6 by 7.", 0),
        (Numeric(value=42), "What is 6 * 7?", "", 0),
        (Numeric(value=8.04672, relative=5e-3), "Convert 5 miles to km.", "5 miles is about 8.05 km", 1),
        (Numeric(value=8.04672, relative=5e-3), "Convert 5 miles to km.", "8.5 km", 0),
        (Numeric(value=18), "A word problem with 16 eggs.", "16 - 3 - 4 = 9, 9 * 2 = 18\n#### 18", 1),
        (Numeric(value=7), "What is 7 + 0?", "7", 1),
        (_ROOT, "Solve x^2 - 4x - 21 = 0.", "x = -3 or x = 7", 1),
        (_ROOT, "Solve x^2 - 4x - 21 = 0.", "(x + 3)(x - 7) = 0\nThe solutions are -3 and 7", 1),
        (_ROOT, "Solve x^2 - 4x - 21 = 0.", "x1 = -3, x2 = 7", 1),
        (_ROOT, "Solve x^2 - 4x - 21 = 0.", "x = 7", 0),
        (_ROOT, "Solve x^2 - 4x - 21 = 0.", "x = 3 or x = 7", 0),
        (PrimeFactors(primes=(2, 3, 5)), "Factor 360.", "360 = 2^3 × 3^2 × 5", 1),
        (PrimeFactors(primes=(2, 3, 5)), "Factor 360.", "2, 2, 2, 3, 3, 5", 1),
        (PrimeFactors(primes=(2, 3, 5)), "Factor 360.", "2^3 * 9 * 5", 0),
        (Choice(letter="B", options=("red", "blue")), "Which?", "B", 1),
        (Choice(letter="B", options=("red", "blue")), "Which?", "(b) blue", 1),
        (Choice(letter="B", options=("red", "blue")), "Which?", "The answer is B.", 1),
        (Choice(letter="B", options=("red", "blue")), "Which?", "It is blue.", 1),
        (Choice(letter="B", options=("red", "blue")), "Which?", "A", 0),
        (Choice(letter="B", options=("red", "blue")), "Which?", "red or blue", 0),
        (Contains(accepted=("Bogotá",)), "Capital of Colombia?", "It is Bogota.", 1),
        (Contains(accepted=("Monday",), excluded=("Friday",)), "Weekday?", "Friday, or Monday", 0),
        (Contains(accepted=("Oman",)), "Country?", "Romania", 0),
        (FirstOf(right="2 miles", wrong="3 km"), "Which is longer, 3 km or 2 miles?", "2 miles is longer than 3 km.", 1),
        (FirstOf(right="2 miles", wrong="3 km"), "Which is longer, 3 km or 2 miles?", "3 km is longer than 2 miles.", 0),
        (YesNo(yes=True), "Does it follow?", "Yes, it does.", 1),
        (YesNo(yes=False), "Does it follow?", "No. It is true that ...", 1),
        (YesNo(yes=False), "Is it a tautology?", "It is not a tautology.", 1),
        (YesNo(yes=True), "Does it follow?", "Perhaps.", 0),
        (_KNIGHTS, "?", "Ann is a knight, Bo is a knave.", 1),
        (_KNIGHTS, "?", "Ann is a knave and Bo is a knave.", 0),
        (_KNIGHTS, "?", "Ann: knight\nBo: knave", 1),
        (_KNIGHTS, "?", "Ann is a knight.", 0),
        (Ordered(names=("Ann", "Bo", "Cy")), "Bo Cy Ann?", "Ann, Bo, Cy", 1),
        (Ordered(names=("Ann", "Bo", "Cy")), "Bo Cy Ann?", "Ann > Cy > Bo", 0),
        (IsoCode(code="FR"), "ISO code of France?", "The code is FR.", 1),
        (IsoCode(code="FR"), "ISO code of France?", "FR or DE", 0),
        (Millions(millions=68, relative=0.25), "Population of France?", "About 67.4 million people", 1),
        (Millions(millions=68, relative=0.25), "Population of France?", "In 2023 it was 64,768,389", 1),
        (Millions(millions=68, relative=0.25), "Population of France?", "6.7 million", 0),
        (Words(required=("garden",), min_words=5), "Write about my garden.", "My gardens are green and full of roses.", 1),
        (Words(required=("garden",), min_words=5), "Write about my garden.", "Write about my garden.", 0),
        (Words(any_of=("apple", "pear"), at_least=2, min_words=1), "Name fruits.", "Apple, pear", 1),
        (Words(any_of=("apple", "pear"), at_least=2, min_words=1), "Name fruits.", "Apple", 0),
        (DateMatch(date=(2024, 3, 5)), "2 days after March 3, 2024?", "March 5, 2024", 1),
        (DateMatch(date=(2024, 3, 5)), "2 days after March 3, 2024?", "March 3, 2024 + 2 is Tuesday, 5 March 2024.", 1),
        (DateMatch(date=(2024, 3, 5)), "2 days after March 3, 2024?", "March 3, 2024", 0),
        (Expression(expression="6x^2 + 2"), "Differentiate 2x^3 + 2x.", "The derivative is 6*x**2 + 2.", 1),
        (Expression(expression="6x^2 + 2"), "Differentiate 2x^3 + 2x.", "f'(x) = 2(3x² + 1)", 1),
        (Expression(expression="6x^2 + 2"), "Differentiate 2x^3 + 2x.", "6x^2", 0),
        (Expression(expression="x^2 - 5x + 4"), "Factor x^2 - 5x + 4.", "x^2 - 5x + 4", 0),
        (Expression(expression="x^2 - 5x + 4"), "Factor x^2 - 5x + 4.", "(x - 1)(x - 4)", 1),
        (Expression(expression="(3/3)*x^3", up_to_constant=True), "Integrate 3x^2.", "x**3 + C", 1),
        (Expression(expression="(3/3)*x^3", up_to_constant=True), "Integrate 3x^2.", "x^3 + 7", 1),
        (Expression(expression="(3/3)*x^3", up_to_constant=True), "Integrate 3x^2.", "x^2 + C", 0),
        (_SKY, "Define igloo.", "A dome-shaped hut made of blocks of snow", 1),
        (_SKY, "Define igloo.", "A kind of penguin", 0),
        (_SKY, "Define igloo.", "igloo igloo igloo", 0),
    ],
)  # fmt: skip
def test_scores(verifier: Verifier, prompt: str, reply: str, score: float) -> None:
    assert verifier.score(prompt, reply) == score


def test_dates_in_all_forms() -> None:
    text = "2024-03-05, March 5th, 2024, 5 Mar 2024, the 5th of March 2024 and 3/5/2024"
    assert dates_in(text) == [(2024, 3, 5)] * 5


@pytest.mark.parametrize("text", ["", "x +", "(x", "y", "1/0", "import os", "x ? 2", "sqrt(0 - x)"])
def test_what_is_no_expression_has_no_value(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, variable="x", value=2.0)


def test_expressions_have_the_usual_precedence() -> None:
    assert evaluate("2x^2(x+1)/4 - -3", variable="x", value=2.0) == 9.0
    assert evaluate("-x^2", variable="x", value=3.0) == -9.0
    assert evaluate("2^-1 + sin(0)", variable="x", value=0.0) == 0.5


def test_reasoning_gym_answers_are_found_inside_sentences() -> None:
    import reasoning_gym

    entry = reasoning_gym.create_dataset("chain_sum", size=1, seed=3)[0]
    verifier = ReasoningGym(dataset="chain_sum", entry=entry)
    assert verifier.score(entry["question"], f"The result = {entry['answer']}.") == 1
    assert verifier.score(entry["question"], f"The result = {int(entry['answer']) + 1}.") == 0
    assert verifier.score(entry["question"], "") == 0
