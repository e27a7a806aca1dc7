"""The logic engine: propositional formulas, arguments in English, knights and knaves, orderings, integer constraints."""

from __future__ import annotations

import re
from collections.abc import Callable

import z3

from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.engines.logic import arguments, integers, knights, meaning, ordering, propositional
from kubefugu_experts.engines.logic.formula import NotAFormulaError
from kubefugu_experts.engines.logic.sentences import NotUnderstoodError
from kubefugu_experts.engines.logic.solving import UndecidedError
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import bare, tidy

NOT_MINE = "I only answer questions of logic and constraints."
_MOST_CHARS = 3_000
_KINDS: tuple[Callable[[str], str | None], ...] = (
    knights.solve,
    propositional.evaluate,
    propositional.classify,
    propositional.equivalent,
    propositional.tables,
    propositional.entailment,
    integers.solve,
    ordering.solve,
    arguments.argue,
)
"""In the order in which they are tried: the more telling first."""


def make_engine() -> Engine:
    """Build the engine."""
    return LogicEngine()


class LogicEngine:
    """Answers by deciding formulas."""

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is no question of logic."""
        if len(question.text) > _MOST_CHARS:
            return Declined(NOT_MINE)
        text = bare(re.sub(r"\n+", ". ", question.text) if _is_list(question.text) else question.text)
        text = re.sub(r"\b([Ww]hat|[Ww]ho)'s\b", r"\1 is", tidy(text))
        if re.match(r"[a-z]{2}", text):
            text = text[0].upper() + text[1:]  # a name that stood after "So," or "Hello,"
        if len(text.split()) < 2:
            return Declined(NOT_MINE)
        reply = _decided(text)
        if isinstance(reply, Answer):
            return reply
        for request in meaning.requests(text):
            again = _decided(request)
            if isinstance(again, Answer):
                return _possible(again) if meaning.is_about_possibility(request) else again
        return reply


def _decided(text: str) -> Reply:
    """The reply to a request in the words of the narrow readers."""
    for kind in _KINDS:
        try:
            found = kind(text)
        except (NotAFormulaError, NotUnderstoodError, FormulaError):
            continue
        except (UndecidedError, z3.Z3Exception):
            return Declined("I could not decide this in time.")
        if found:
            return Answer(found)
    return Declined(NOT_MINE)


def _possible(impossible: Answer) -> Answer:
    return Answer("No, that cannot be." if impossible.text.startswith("Yes") else "Yes, that is possible.")


def _is_list(text: str) -> bool:
    return bool(re.search(r"\n\s*(?:\d+[.)]|[-*]|[A-Z])", text))
