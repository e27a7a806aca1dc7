"""Every engine answers its own questions and declines everybody else's."""

from __future__ import annotations

import pytest
from support.expert_tables import Row, ask, engine, nobodys_questions, table

from kubefugu_experts.engines.base import Answer, Declined
from kubefugu_experts.engines.registry import ENGINES

NAMES = tuple(ENGINES)
_LEAST_QUESTIONS = 40
_MOST_FOREIGN_ANSWERED = 0.01


def _need(name: str) -> None:
    if engine(name) is None:
        pytest.skip(f"the engine {name} cannot be loaded here")


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name in NAMES for row in table(name)], ids=lambda value: str(value)[:60]
)
def test_own_questions_are_answered(name: str, row: Row) -> None:
    _need(name)
    reply = ask(name, row.question)
    assert row.is_right(reply), reply


@pytest.mark.parametrize("name", NAMES)
def test_foreign_questions_are_declined(name: str) -> None:
    _need(name)
    foreign = [row.question for other in NAMES if other != name for row in table(other)] + nobodys_questions()
    answered = [question for question in foreign if isinstance(ask(name, question), Answer)]
    assert len(answered) <= _MOST_FOREIGN_ANSWERED * len(foreign), answered


@pytest.mark.parametrize("name", NAMES)
def test_small_talk_is_never_answered(name: str) -> None:
    _need(name)
    assert [question for question in nobodys_questions() if isinstance(ask(name, question), Answer)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_large_enough(name: str) -> None:
    assert len({row.question for row in table(name)}) >= _LEAST_QUESTIONS
    assert len(nobodys_questions()) >= _LEAST_QUESTIONS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "wrap",
    [
        "Please help: {}",
        "Hi! {} Thanks!",
        "  {}  ",
        "I was wondering: {}",
        "Quick question: {} Give only the answer.",
        "{} Thank you in advance.",
    ],
)
def test_small_talk_around_a_question_changes_nothing(name: str, wrap: str) -> None:
    _need(name)
    rows = [row for row in table(name) if "\n" not in row.question and row.question[0].isupper()][:25]
    assert [row.question for row in rows if isinstance(ask(name, wrap.format(row.question)), Declined)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_declined_question_says_why(name: str) -> None:
    _need(name)
    reply = ask(name, "Tell me a joke.")
    assert isinstance(reply, Declined)
    assert reply.reason.endswith(".")
