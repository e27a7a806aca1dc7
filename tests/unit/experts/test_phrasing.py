"""Politeness, numbers in words, rounding, follow-ups, and answers as short as asked for."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubefugu_experts.engines.terse import shorten
from kubefugu_experts.phrasing import Rounding, bare, fold, follow_up, parse_number, take_rounding, words_to_digits


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "Hi there! What is the capital of France? Thanks!",
        "Please help: What is the capital of France?",
        "My teacher asked: What is the capital of France? Cheers.",
        "Could you please tell me what is the capital of France",
        "Quick question: what is the capital of France, please?",
        "Sorry to bother you. What is the capital of France? Keep it short, please.",
        "What is the capital of France? Answer with only the name.",
        "  What\tis the  capital of France ???",
        "For my homework: What is the capital of France? I'd appreciate a short answer.",
        "What is the capital of France Please answer briefly.",
    ],
)
def test_the_question_is_unwrapped(text: str) -> None:
    assert bare(text).lower() == "what is the capital of france"


@pytest.mark.parametrize(
    "text",
    [
        "what part of speech is quickly",
        "antonym of right",
        "I was born on May 1 1990. Give the number of days until June 1 1990",
        "5!",
    ],
)
def test_what_belongs_to_the_question_stays(text: str) -> None:
    assert bare(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", Fraction(2469, 2)),
        ("two and a half", Fraction(5, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("minus three", Fraction(-3)),
        ("a hundred and twenty-five", Fraction(125)),
        ("2.5 million", Fraction(2_500_000)),
        ("three quarters", Fraction(3, 4)),
        ("half", Fraction(1, 2)),
        ("a dozen", Fraction(12)),
        ("1½", Fraction(3, 2)),
        ("-1e3", Fraction(-1000)),
    ],
)
def test_numbers(text: str, value: Fraction) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["", "a", "cat", "1/0", "one one", "1,23", "--2"])
def test_no_numbers(text: str) -> None:
    assert parse_number(text) is None


@given(st.integers(0, 999_999))
def test_numbers_in_words_come_back(number: int) -> None:
    assert words_to_digits(f"x {_in_words(number)} y") in (f"x {number} y", "x one y")


def _in_words(number: int) -> str:
    small = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    tens = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    if number < 20:
        return small[number]
    if number < 100:
        return tens[number // 10] + (f"-{small[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{small[number // 100]} hundred" + (f" and {_in_words(number % 100)}" if number % 100 else "")
    return f"{_in_words(number // 1000)} thousand" + (f" {_in_words(number % 1000)}" if number % 1000 else "")


@pytest.mark.parametrize(
    ("text", "rest", "shown"),
    [
        ("what is 2/3 to two decimal places", "what is 2/3", "0.67"),
        ("2/3 rounded to 3 significant figures", "2/3", "0.667"),
        ("round 2/3 to the nearest tenth", "round 2/3", "0.7"),
        ("what is 2/3", "what is 2/3", None),
    ],
)
def test_rounding(text: str, rest: str, shown: str | None) -> None:
    left, rounding = take_rounding(text)
    assert left == rest
    assert rounding.apply(Decimal(2) / Decimal(3)) == shown


def test_rounding_keeps_the_digits_asked_for() -> None:
    assert Rounding(decimals=2).apply(Decimal("1.5")) == "1.50"
    assert Rounding(decimals=0).apply(Decimal("2.5")) == "3"


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("What about Spain?", "Spain"),
        ("and in miles?", "in miles"),
        ("How about 2024?", "2024"),
        ("What is Spain?", None),
        ("Tell me a joke", None),
    ],
)
def test_follow_ups(text: str, new: str | None) -> None:
    assert follow_up(text) == new


def test_folding() -> None:
    assert fold("Côte d'Ivoire") == "cote divoire"
    assert fold("São  Tomé-Príncipe") == "sao tome principe"


@pytest.mark.parametrize(
    ("answer", "question", "short"),
    [
        ("Yes, 2000 is a leap year.", "Is it? Answer Yes or No.", "Yes"),
        ("There are 14 Wednesdays.", "How many? Answer with a number.", "14"),
        ("It is a Friday (July 15, 2022).", "Reply with just the weekday name.", "Friday"),
        ("The capital of France is Paris.", "What? Give only the answer.", "Paris"),
        ("The 3rd Friday of March 2024 is March 15, 2024.", "which day of the month? Respond with just the number.", "15"),
        ("March 2022 has no 5th Friday.", "Answer with -1 if there is none.", "-1"),
        ("The capital of France is Paris.", "What is the capital of France?", "The capital of France is Paris."),
    ],
)
def test_answers_are_as_short_as_asked_for(answer: str, question: str, short: str) -> None:
    assert shorten(answer, question) == short
