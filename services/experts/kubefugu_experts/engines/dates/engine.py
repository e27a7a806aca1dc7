"""The dates engine: reads a question, checks that nothing in it is unexplained, asks the rules in turn."""

from __future__ import annotations

import re

from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.engines.dates import meaning
from kubefugu_experts.engines.dates.reading import Reading, read
from kubefugu_experts.engines.dates.rules import RULES, NotADateError, Rule
from kubefugu_experts.engines.dates.words import VOCABULARY
from kubefugu_experts.phrasing import bare, follow_up, tidy, words_to_digits

NOT_MINE = "I only answer questions about calendar dates and times of day."
_MOST_WORDS = 60


def make_engine() -> Engine:
    """Build the engine."""
    return DatesEngine()


class DatesEngine:
    """Answers from the calendar alone."""

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is not a calendar question."""
        reply = self._answer(question.text, question)
        new = follow_up(tidy(question.text))
        if isinstance(reply, Declined) and new and question.earlier:
            for text in _rewritten(bare(question.earlier[-1]).lower(), new.lower(), question):
                reply = self._answer(text, question)
                if isinstance(reply, Answer):
                    break
        return reply

    def _answer(self, text: str, question: Question) -> Reply:
        plain = words_to_digits(tidy(text).lower())
        text = prepare(text)
        if not text or len(text.split()) > _MOST_WORDS:
            return Declined(NOT_MINE)
        reading = read(text, question.now)
        try:
            rule = find_rule(reading)
            found = rule.answer(reading, question.now) if rule else None
            found = found or meaning.answer(text, question.now) or meaning.answer(plain, question.now)
        except NotADateError as error:
            return Answer(str(error))
        except (ValueError, OverflowError):
            return Declined("This lies outside the years 1 to 9999 that I can compute with.")
        return Answer(found) if found else Declined(NOT_MINE)


_IT_IS_WEEKDAY = re.compile(
    r"\b(?:if |given (?:that )?|suppose |assume |assuming )?(?:today|it)(?: is|"
    r"'s) (?=(?:a )?(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
)
_DAY_IN_WORDS = re.compile(r"\b(?:twenty|thirty)-(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth)\b")
_CONTRACTED = re.compile(r"\b(what|who|when|where|how)'s\b")


def prepare(text: str) -> str:
    """Lower case without politeness and contractions; "today is Monday" does not read the clock."""
    text = _IT_IS_WEEKDAY.sub("it is ", bare(text).lower())
    text = re.sub(r"(?<=\d)-(?=(?:day|week|month|year|hour|minute|second)s?\b)", " ", text)
    text = _CONTRACTED.sub(r"\1 is", text)
    text = re.sub(
        r"\(monday ?(?:through|to|-) ?friday\)|\(?excluding weekends\)?|"
        r"\(?including both start and end dates\)?|,? ?counting from january 1(?:st)?\b",
        "",
        text,
    )
    text = re.sub(r"\ba (?:(common|leap) )?year (?=where|when|in which|that|whose)", r"the \1 year ", text)
    return text if _DAY_IN_WORDS.search(text) else words_to_digits(text)


def find_rule(reading: Reading) -> Rule | None:
    """The first rule whose placeholders and triggers fit, where every other word is known to belong to calendar questions."""
    words = {word.removesuffix("'s") for word in reading.skeleton.split()}
    if words - VOCABULARY:
        return None
    return next((rule for rule in RULES if rule.fits(reading)), None)


def _rewritten(earlier: str, new: str, question: Question) -> list[str]:
    """The earlier question with its date, month, year or weekday replaced by the follow-up's."""
    new = re.sub(r"^(?:on|in|for|of) ", "", new)
    kinds = (
        r"[a-z]+ \d{1,2}(?:st|nd|rd|th)?,? \d{4}",
        r"\d{4}-\d{2}-\d{2}",
        r"\b\d{4}\b",
        r"\b\d+(?= (?:day|week|month|year)s?)",
    )
    return [re.sub(kind, new, earlier, count=1) for kind in kinds if re.search(kind, earlier)]
