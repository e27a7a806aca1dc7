"""Free wording: most of it is understood, hardly any answer is wrong, and other engines leave it alone."""

from __future__ import annotations

import pytest
from support.expert_tables import ask, engine, paraphrases

from kubefugu_experts.engines.base import Answer
from kubefugu_experts.engines.registry import ENGINES

_LEAST_RIGHT = {"algebra": 0.9, "logic": 0.8, "dates": 0.85, "definitions": 0.85, "geography": 0.9, "units": 0.9}
_MOST_WRONG = {"definitions": 0.06}
"""WordNet's own view of a word: oak is wood first, a tulip no flower."""
_MOST_WRONG_ELSEWHERE = 0.05


@pytest.mark.parametrize("name", ENGINES)
def test_free_wording_is_understood(name: str) -> None:
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")
    rows = paraphrases(name)
    replies = [(row, ask(name, row.question)) for row in rows]
    missed = [row.question for row, reply in replies if not row.is_right(reply)]
    wrong = [row.question for row, reply in replies if isinstance(reply, Answer) and not row.is_right(reply)]
    assert len(rows) - len(missed) >= _LEAST_RIGHT[name] * len(rows), missed
    assert len(wrong) <= _MOST_WRONG.get(name, _MOST_WRONG_ELSEWHERE) * len(rows), wrong


@pytest.mark.parametrize("name", ENGINES)
def test_others_leave_free_wording_alone(name: str) -> None:
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")
    foreign = [row.question for other in ENGINES if other != name for row in paraphrases(other)]
    answered = [question for question in foreign if isinstance(ask(name, question), Answer)]
    assert len(answered) <= 0.01 * len(foreign), answered
