"""Questions that lean on the one before."""

from __future__ import annotations

import pytest
from support.expert_tables import ask, engine

from kubefugu_experts.engines.base import Answer, Declined

CASES = (
    ("units", "Convert 12 inches to cm", "and in mm?", "304.8"),
    ("units", "convert 5 km to miles", "What about 10 km?", "6.213712"),
    ("geography", "What is the capital of Germany?", "And France?", "Paris"),
    ("geography", "What is the capital of Germany?", "what about its population?", "82927922"),
    ("dates", "What day of the week was July 4, 1776?", "What about July 4, 1777?", "Friday"),
    ("dates", "Is 1900 a leap year?", "and 2000?", "Yes"),
    ("definitions", "Synonyms for happy", "and sad?", "sad"),
    ("algebra", "Differentiate x^3", "What about x^4?", "4*x**3"),
    ("algebra", "What is the derivative of x^3?", "now integrate it", "x**4/4"),
)


@pytest.mark.parametrize(("name", "before", "text", "expected"), CASES)
def test_follow_up(name: str, before: str, text: str, expected: str) -> None:
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")
    assert isinstance(ask(name, text), Declined), "alone it says nothing"
    reply = ask(name, text, before)
    assert isinstance(reply, Answer)
    assert expected in reply.text


def test_an_unrelated_last_message_is_not_answered_from_the_earlier_one() -> None:
    assert isinstance(ask("geography", "Tell me a joke.", "What is the capital of Germany?"), Declined)
    assert isinstance(ask("units", "Thanks!", "convert 5 km to miles"), Declined)
    assert isinstance(ask("algebra", "What is the weather?", "What is 2+2?"), Declined)
