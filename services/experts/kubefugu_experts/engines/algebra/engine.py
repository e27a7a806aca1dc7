"""The algebra engine: reads a request, asks the kinds of questions in turn."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from kubefugu_experts.engines.algebra import calculus, equations, expressions, integers, meaning, quantities
from kubefugu_experts.engines.algebra.convert import MAX_DIGITS, TooLargeError
from kubefugu_experts.engines.algebra.telling import UntellableError
from kubefugu_experts.engines.base import Answer, Declined, Engine, Question, Reply
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import Rounding, bare, follow_up, take_rounding, tidy, words_to_digits

NOT_MINE = "I only answer questions of arithmetic, algebra and calculus."
_MOST_WORDS = 80
_Kind = Callable[[str, Rounding], str | None]
_KINDS: tuple[_Kind, ...] = (
    calculus.derivative,
    calculus.integral,
    calculus.limit,
    integers.divisor,
    integers.primes,
    integers.factors,
    integers.divisibility,
    quantities.percent,
    integers.series,
    quantities.statistics,
    integers.bases,
    quantities.compare,
    quantities.rounded,
    expressions.evaluate,
    expressions.reshape,
    equations.solve,
    expressions.arithmetic,
)
"""In the order in which they are tried: the more telling first."""

_FRACTION_OF = re.compile(r"^simplify the fraction (\S+) to its lowest terms$", re.IGNORECASE)
_GUIDELINES = re.compile(
    r"\b(?:When performing calculations, please follow|In solving equations, please follow|"
    r"Use same variable symbols|When performing calculations).*$"
)


def make_engine() -> Engine:
    """Build the engine."""
    sys.set_int_max_str_digits(MAX_DIGITS * 10)
    return AlgebraEngine()


class AlgebraEngine:
    """Answers by computing."""

    def answer(self, question: Question) -> Reply:
        """Answer, or decline what is not mathematics in notation or in plain words."""
        reply = self._answer(question.text)
        new = follow_up(tidy(question.text))
        if isinstance(reply, Declined) and question.earlier:
            for text in _rewritten(bare(question.earlier[-1]), new or bare(question.text)):
                reply = self._answer(text)
                if isinstance(reply, Answer):
                    break
        return reply

    def _answer(self, text: str) -> Reply:
        text, rounding = take_rounding(tidy(_GUIDELINES.sub("", text.replace("\n", " "))))
        reply = self._computed(_plain(text), rounding)
        if isinstance(reply, Answer) or len(text.split()) > _MOST_WORDS:
            return reply
        for request in meaning.requests(text):
            again = self._computed(request, rounding)
            if isinstance(again, Answer):
                return again
        return reply

    def _computed(self, text: str, rounding: Rounding) -> Reply:
        """The reply to a request in the words of the narrow readers."""
        if not text or len(text.split()) > _MOST_WORDS:
            return Declined(NOT_MINE)
        for kind in _KINDS:
            try:
                found = kind(text, rounding)
            except FormulaError:
                continue
            except ZeroDivisionError:
                return Answer("It is not defined: it divides by zero.")
            except TooLargeError:
                return Declined("The number would be too large to write down.")
            # What sympy raises where it finds no closed form (NotImplementedError: no algorithm) or the text is no mathematics.
            except (
                UntellableError,
                ValueError,
                TypeError,
                NotImplementedError,
                AttributeError,
                OverflowError,
                IndexError,
                KeyError,
            ):
                return Declined("I could not find a closed answer to this.")
            if found:
                return Answer(found)
        return Declined(NOT_MINE)


def _plain(text: str) -> str:
    """Without politeness and contractions; case is kept, for X and x may be two variables."""
    text = bare(text)
    text = re.sub(r"\b([Ww]hat|[Hh]ow)(?:'s|s)\b", r"\1 is", text)
    text = re.sub(r"^(?:the )?(?:answer|solution) (?:to|of|for):? ", "", text, flags=re.IGNORECASE)
    return words_to_digits(text)


def _rewritten(earlier: str, new: str) -> list[str]:
    """The earlier request with its formula, point or verb replaced by the follow-up's."""
    verb = re.match(r"([a-zA-Z ]+? (?:of |for )?)(?=[-(\d]|[a-zA-Z]\b(?! [a-z]{2}))", earlier)
    texts = [f"{verb[1]}{new}"] if verb else []
    if match := re.match(
        r"(?:now )?(differentiate|integrate|factor|expand|simplify|solve) (?:it|that|this)$", new, re.IGNORECASE
    ):
        body = re.search(
            r"(?:of |for |: ?|differentiate |integrate |factor |expand |simplify |solve )(?!the )(.+)$", earlier, re.IGNORECASE
        )
        if body:
            texts.insert(0, f"{match[1]} {body[1]}")
    return texts
