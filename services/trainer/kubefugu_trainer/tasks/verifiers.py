"""Verifiers: reply in, score in [0, 1] out. Deterministic, and as lenient about wording as a fair reader would be.

A reply that is wrong in substance scores 0 whatever its wording; numbers that merely repeat the question are no answer.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Protocol

from kubefugu_trainer.tasks.numbers import close, numbers_in

_MARKS = re.compile(r"(?:####|\\boxed\{|\banswer\b\s*(?:is|:|=)|\bfinal answer\b\s*[:=]?)", re.IGNORECASE)


class Verifier(Protocol):
    """Scores one reply to one question."""

    def score(self, prompt: str, reply: str) -> float:
        """1 for right, 0 for wrong; between for partly right where the task has such a thing."""
        ...


def fold(text: str) -> str:
    """Lower case, accents and typographic quotes removed, white space single: for comparing words."""
    text = unicodedata.normalize("NFKD", text).replace("’", "'").replace("‘", "'")
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(text.casefold().split())


def has_phrase(text: str, phrase: str) -> bool:
    """True if the folded phrase stands in the folded text at word borders."""
    return re.search(rf"(?<!\w){re.escape(fold(phrase))}(?!\w)", fold(text)) is not None


def answer_part(reply: str) -> str:
    """What follows the last answer mark (`####`, `\\boxed{`, `answer is`), else the whole reply."""
    marks = list(_MARKS.finditer(reply))
    tail = reply[marks[-1].end() :] if marks else ""
    return tail if tail.strip() else reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """One number. The answer is the last number after an answer mark, else the last one that the question does not contain."""

    value: float
    relative: float = 1e-3
    absolute: float = 1e-9

    def score(self, prompt: str, reply: str) -> float:
        """1 if the reply's answer is the value within the tolerances."""
        part = answer_part(reply)
        found = numbers_in(part)
        if part is reply:
            given = numbers_in(prompt)
            fresh = [number for number in found if not any(close(number, old, relative=0, absolute=1e-12) for old in given)]
            found = fresh or found
        else:
            found = found[:1]
        return float(bool(found) and close(found[-1], self.value, relative=self.relative, absolute=self.absolute))


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSet:
    """A set of numbers, all of them and no other; numbers of the question and indices such as x1 do not count."""

    values: tuple[float, ...]
    relative: float = 1e-3
    absolute: float = 1e-6

    def score(self, prompt: str, reply: str) -> float:
        """1 if the answer's numbers are exactly the set."""
        part = answer_part(reply)
        assigned = re.findall(r"=\s*([^=,;\n]*?)(?=,|;|\n|\bor\b|\band\b|$)", part)
        candidates = [numbers_in(" ".join(f" {piece} " for piece in assigned)), numbers_in(part)]
        last_line = part.strip().splitlines()[-1] if part.strip() else ""
        candidates.append(numbers_in(last_line))
        return float(any(self._matches(found) for found in candidates))

    def _matches(self, found: list[float]) -> bool:
        def near(a: float, b: float) -> bool:
            return close(a, b, relative=self.relative, absolute=self.absolute)

        return (
            bool(found)
            and all(any(near(number, value) for value in self.values) for number in found)
            and all(any(near(number, value) for number in found) for value in self.values)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimeFactors:
    """The primes of a factorisation, with or without multiplicity; exponents and the number itself do not count."""

    primes: tuple[int, ...]

    def score(self, prompt: str, reply: str) -> float:
        """1 if the bases named are exactly the primes."""
        bases = re.sub(r"(?:\^|\*\*)\s*\{?\d+\}?|[⁰¹²³⁴⁵⁶⁷⁸⁹]+", " ", answer_part(reply))
        given = set(numbers_in(prompt))
        found = {number for number in numbers_in(bases) if number not in given}
        return float(found == {float(prime) for prime in self.primes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Multiple choice: the letter, or the option's text and no other option's."""

    letter: str
    options: tuple[str, ...]

    def score(self, prompt: str, reply: str) -> float:
        """1 if the reply names the right option and no other."""
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(self.options)]
        part = answer_part(reply).strip()
        leading = re.match(rf"\W*(?:option\s*)?([{letters}{letters.lower()}])(?![\w'])", part)
        if leading:
            return float(leading.group(1).upper() == self.letter)
        named = set(re.findall(rf"(?<!\w)\(?([{letters}])\)?(?!\w)", part))
        texts = {letters[i] for i, option in enumerate(self.options) if has_phrase(part, option)}
        return float((named or texts) == {self.letter})


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoCode:
    """A two-letter code in capitals."""

    code: str

    def score(self, prompt: str, reply: str) -> float:
        """1 if it is the only two-letter code of the reply."""
        return float(set(re.findall(r"\b[A-Z]{2}\b", answer_part(reply))) == {self.code})


@dataclass(frozen=True, slots=True, kw_only=True)
class Millions:
    """A number of people, written out or as `68 million` / `1.4 billion`."""

    millions: float
    relative: float

    def score(self, prompt: str, reply: str) -> float:
        """1 if the first number of people in the reply is within the tolerance."""
        text = answer_part(reply)
        for match in re.finditer(r"(\d[\d,]*(?:\.\d+)?)\s*(million|billion|thousand)?", text, re.IGNORECASE):
            number = float(match[1].replace(",", ""))
            scale = {"billion": 1000.0, "million": 1.0, "thousand": 1e-3}.get((match[2] or "").lower(), 1e-6)
            if match[2] or number >= 10_000:
                return float(close(number * scale, self.millions, relative=self.relative, absolute=0))
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contains:
    """One of the accepted phrases stands in the reply, and none of the excluded ones (outside the question's own words)."""

    accepted: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    def score(self, prompt: str, reply: str) -> float:
        """1 if an accepted phrase is there and no excluded one."""
        part = answer_part(reply)
        good = any(has_phrase(part, phrase) for phrase in self.accepted)
        bad = any(has_phrase(part, phrase) and not has_phrase(prompt, phrase) for phrase in self.excluded)
        return float(good and not bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstOf:
    """One of two options: the right one is named, and the wrong one not before it (`3 km is longer than 1 mile`)."""

    right: str
    wrong: str

    def score(self, prompt: str, reply: str) -> float:
        """1 if the right option is named first or alone."""
        text = fold(answer_part(reply))
        right, wrong = text.find(fold(self.right)), text.find(fold(self.wrong))
        return float(right >= 0 and (wrong < 0 or right < wrong))


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNo:
    """A yes/no question: the first verdict word of the reply counts."""

    yes: bool
    yes_words: tuple[str, ...] = ("yes", "true", "correct", "valid", "satisfiable", "it does follow", "possible", "consistent")
    no_words: tuple[str, ...] = (
        "no", "false", "incorrect", "invalid", "not valid", "unsatisfiable", "does not", "doesn't", "is not", "isn't", "cannot",
        "impossible", "inconsistent", "not satisfiable", "not possible", "not consistent", "not true",
    )  # fmt: skip

    def score(self, prompt: str, reply: str) -> float:
        """1 if the first verdict word is the right one."""
        text = fold(answer_part(reply))
        positions = {
            verdict: min(
                (m.start() for w in words if (m := re.search(rf"(?<!\w){re.escape(w)}(?!\w)", text))), default=len(text)
            )
            for verdict, words in ((True, self.yes_words), (False, self.no_words))
        }
        if positions[True] == positions[False]:
            return 0.0
        return float((positions[True] < positions[False]) == self.yes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """A role for each of some names (`Anna is a knight, Ben is a knave`)."""

    roles: tuple[tuple[str, str], ...]
    """(name, role) pairs; the reply must give each name its role."""
    vocabulary: tuple[str, ...]
    """All roles that can be given."""

    def score(self, prompt: str, reply: str) -> float:
        """1 if each name's nearest following role word is its own."""
        text = fold(answer_part(reply))
        if not all(re.search(rf"\b{re.escape(fold(name))}\b", text) for name, _ in self.roles):
            text = fold(reply)
        return float(all(self._given(text, name) == fold(role) for name, role in self.roles))

    def _given(self, text: str, name: str) -> str | None:
        roles = "|".join(re.escape(fold(role)) for role in self.vocabulary)
        found = re.findall(rf"\b{re.escape(fold(name))}\b[^.;,\n]*?\b({roles})s?\b", text)
        return found[-1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """Names in one order, first to last."""

    names: tuple[str, ...]

    def score(self, prompt: str, reply: str) -> float:
        """1 if the names' last full listing in the reply is in this order."""
        text = fold(answer_part(reply))
        wanted = [fold(name) for name in self.names]
        found = re.findall("|".join(rf"\b{re.escape(name)}\b" for name in wanted), text)
        return float(len(found) >= len(wanted) and found[-len(wanted) :] == wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Free text: long enough, with the required words, and repeating the question at most in part."""

    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    at_least: int = 1
    """How many of `any_of` must be there."""
    min_words: int = 3

    def score(self, prompt: str, reply: str) -> float:
        """1 if the reply is long enough and has the words."""
        words = fold(reply).split()
        if len(words) < self.min_words or fold(reply) in fold(prompt):
            return 0.0
        if not all(_has_stem(reply, word) for word in self.required):
            return 0.0
        found = sum(has_phrase(reply, word) for word in self.any_of)
        return float(not self.any_of or found >= self.at_least)


def _has_stem(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(fold(word))}\w{{0,4}}(?!\w)", fold(text)) is not None
