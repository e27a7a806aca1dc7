"""The units engine: conversion, comparison and arithmetic of what a question measures."""

from __future__ import annotations

import re

import pint

from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.engines.units import meaning
from kubefugu_experts.engines.units.calculate import Calculator, NotComparableError
from kubefugu_experts.engines.units.reading import Reading, read
from kubefugu_experts.engines.units.rules import RULES
from kubefugu_experts.engines.units.words import VOCABULARY
from kubefugu_experts.phrasing import Rounding, bare, follow_up, take_rounding, tidy

NOT_MINE = "I only answer questions about units of measurement."
_MOST_WORDS = 50


def make_engine() -> Engine:
    """Build the engine; loading Pint's registry takes a tenth of a second."""
    return UnitsEngine(Calculator(pint.UnitRegistry(cache_folder=None)))


class UnitsEngine:
    """Answers from Pint's definitions alone."""

    def __init__(self, calculator: Calculator) -> None:
        self._calculator = calculator

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is not about units."""
        reply = self._answer(question.text)
        new = follow_up(tidy(question.text))
        if isinstance(reply, Declined) and new and question.earlier:
            for text in _rewritten(bare(question.earlier[-1]), new):
                reply = self._answer(text)
                if isinstance(reply, Answer):
                    break
        return reply

    def _answer(self, text: str) -> Reply:
        text, rounding = take_rounding(tidy(text))
        reply = self._computed(text, rounding)
        if isinstance(reply, Answer):
            return reply
        try:
            replies = [self._computed(request, rounding) for request in meaning.requests(text, self._calculator)]
        except (pint.PintError, OverflowError, ZeroDivisionError, ValueError):
            return reply
        return next((again for again in replies if isinstance(again, Answer)), reply)

    def _computed(self, text: str, rounding: Rounding) -> Reply:
        """The reply to a request all of whose words the narrow rules know."""
        text = bare(text)
        if not text or len(text.split()) > _MOST_WORDS:
            return Declined(NOT_MINE)
        text = re.sub(r"\b([Ww]hat|[Ww]ho|[Hh]ow|[Tt]hat|[Ii]t)'s\b", r"\1 is", text)
        reading = read(text)
        if not (reading.quantities or reading.units) or set(reading.skeleton.split()) - VOCABULARY:
            return Declined(NOT_MINE)
        try:
            found = self._first(reading, rounding)
        except NotComparableError as error:
            asked = re.search(r"\b(?:convert|change|express|turn|into|to)\b", reading.skeleton)
            return Answer(str(error)) if asked else Declined(NOT_MINE)
        except (pint.PintError, OverflowError, ZeroDivisionError, ValueError):
            return Declined("I cannot compute with these units.")
        return Answer(found[0].upper() + found[1:]) if found else Declined(NOT_MINE)

    def _first(self, reading: Reading, rounding: Rounding) -> str | None:
        for rule in RULES:
            if rule.fits(reading):
                found = rule.answer(reading, rounding, self._calculator)
                if found:
                    return found
        return None


def _rewritten(earlier: str, new: str) -> list[str]:
    """The earlier question with its target unit, or its quantity, replaced by the follow-up's."""
    new = re.sub(r"^(?:in|to|into) ", "", new)
    target = re.sub(r"\b(to|in|into) (?!\d)[^\d]+$", rf"\1 {new}", earlier)
    quantity = re.sub(r"\d[\d.,]*(?: ?[^\W\d]+)?", new, earlier, count=1)
    amount = re.sub(r"\d[\d.,]*", new, earlier, count=1)
    return [text for text in (target, quantity, amount, f"convert {earlier} to {new}") if text != earlier]
