"""Honours "Answer with Yes or No.", "Respond with just the number.", "Give only the answer." for every engine alike.

The short form is taken out of the engine's sentence; where that is not certain, the sentence stays.
"""

from __future__ import annotations

import re

from kubefugu_experts.engines.base import Answer, Engine, Question, Reply

_YES_NO = re.compile(r"\b(?:yes or no|yes/no|yes / no)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"\b(?:(?:just|only|with|as|simply) (?:the |a |an )?(?:final )?(?:number|integer|"
    r"numeric(?:al)? value|final value|digit|count|value)"
    r"|(?:write|provide|give|reply with|state|return) the (?:total number|numerical value|"
    r"count as a number|number)|count as a number|(?:give|express|state) the (?:count|"
    r"answer) numerically)\b",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"\b(?:just|only|full|complete|state|respond with|answer with|name|give|write|"
    r"reply with)\b[^.?]*\bweekday(?:'s)?\b[^.?]*\.?\s*(?:\([^)]*\))?\s*$",
    re.IGNORECASE,
)
_ONLY = re.compile(
    r"\b(?:give|reply with|answer with|respond with|return|provide|state|say|write|output|just|"
    r"only)(?: me)? (?:only|just|nothing but) (?:the |your )?"
    r"(?:final )?(?:answer|result|name|word|city|country|date|solution|\w+ as your final answer)\b",
    re.IGNORECASE,
)
_MINUS_ONE = re.compile(r"answer with -1 if", re.IGNORECASE)
_WEEKDAYS = re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b")
_VALUE = re.compile(r"^(?:The|A|An|It|That|There|Synonyms?|Opposites?)\b[^.]*?(?: is| are|:) (?:the |an? (?=\w+$))?(.+)\.$")


class Terse:
    """An engine whose answers are as short as the question asks for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answer(self, question: Question) -> Reply:
        """The engine's reply, cut down where the question wishes so."""
        reply = self._engine.answer(question)
        return Answer(shorten(reply.text, question.text)) if isinstance(reply, Answer) else reply


def shorten(answer: str, question: str) -> str:
    """The part of an answer that the question asks for alone."""
    if _YES_NO.search(question):
        match = re.match(r"Yes|No", answer)
        return match[0] if match else answer
    if _MINUS_ONE.search(question) and " has no " in answer:
        return "-1"
    if _NUMBER.search(question):
        return _number(answer, question) or answer
    if _WEEKDAY.search(question):
        days = set(_WEEKDAYS.findall(answer))
        return days.pop() if len(days) == 1 else answer
    if _ONLY.search(question) and answer.count(". ") == 0:
        match = _VALUE.match(answer)
        return match[1] if match else answer
    return answer


def _number(answer: str, question: str) -> str | None:
    if "day of the month" in question and (match := re.search(r"\b(\d{1,2}), \d{4}\.$", answer)):
        return match[1]
    if match := re.search(r"\b[A-Z][a-z]+ (\d{1,2}), \d{4}\.$", answer):
        return match[1] if re.search(r"\bday\b", question) else None
    numbers = re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", answer)
    return numbers[0] if len(numbers) == 1 else None
