"""Whole sentences as propositions: "If it rains, the street is wet. It rains. Is the street wet?" """

from __future__ import annotations

import re

import z3

from kubefugu_experts.engines.logic.sentences import NotUnderstoodError, verb_stem
from kubefugu_experts.engines.logic.solving import Bool

_EMPTY = frozenset(
    [
        "it",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "the",
        "a",
        "an",
        "then",
        "will",
        "would",
        "does",
        "do",
        "did",
        "has",
        "have",
        "had",
        "there",
        "get",
        "gets",
        "got",
        "getting",
        "become",
        "becomes",
        "became",
        "today",
        "tomorrow",
        "now",
        "must",
        "can",
        "could",
        "may",
        "also",
        "that",
        "to",
        "of",
        "in",
        "on",
        "at",
        "my",
        "your",
        "his",
        "her",
        "their",
        "our",
        "its",
        "i",
        "he",
        "she",
        "they",
        "we",
        "you",
        "am",
        "as",
        "going",
        "goes",
        "go",
        "went",
        "turn",
        "turns",
        "turned",
        "stay",
        "stays",
        "stayed",
    ]
)
_NOT = re.compile(r"\b(?:not|never|no longer)\b|n't\b|\bit is (?:false|not (?:true|the case)) that\b")
_IF = re.compile(r"^(?:if|whenever|when|every time|as long as|provided that|assuming) (.+?)(?:,? then |, )(.+)$")
_THEN_IF = re.compile(r"^(.+?) (?:if|whenever|when|provided that) (.+)$")
_ONLY_IF = re.compile(r"^(.+?) only (?:if|when) (.+)$")
_IFF = re.compile(r"^(.+?) (?:if and only if|exactly when|precisely when) (.+)$")
_UNLESS = re.compile(r"^(.+?) unless (.+)$")
_EITHER = re.compile(r"^(?:either )(.+?),? or (.+)$")
_OR = re.compile(r"^(.+?),? or (.+)$")
_AND = re.compile(r"^(?:both )?(.+?),? (?:and|but) (.+)$")


def proposition(text: str) -> Bool:
    """A sentence as a formula over atoms. Raises NotUnderstoodError."""
    text = " ".join(text.lower().strip(" .,;:?!\"'").split())
    text = re.sub(
        r"^(?:and|but|also|so|that|therefore|hence|suppose that|suppose|we know that|"
        r"it is known that|it is (?:true|the case) that),? ",
        "",
        text,
    )
    if match := _IFF.match(text):
        return proposition(match[1]) == proposition(match[2])
    if match := _IF.match(text):
        return z3.Implies(proposition(match[1]), proposition(match[2]))
    if match := _ONLY_IF.match(text):
        return z3.Implies(proposition(match[1]), proposition(match[2]))
    if match := _UNLESS.match(text):
        return z3.Or(proposition(match[1]), proposition(match[2]))
    if match := _THEN_IF.match(text):
        return z3.Implies(proposition(match[2]), proposition(match[1]))
    if match := _EITHER.match(text) or _OR.match(text):
        return z3.Or(proposition(match[1]), proposition(_completed(match[1], match[2])))
    if match := _AND.match(text):
        return z3.And(proposition(match[1]), proposition(_completed(match[1], match[2])))
    return atom(text)


def _completed(first: str, second: str) -> str:
    """ "the ball is red or blue": the second part borrows the first's subject."""
    if re.search(r"\b(?:is|are|was|were|does|has|rains?|will|can|[a-z]+s)\b", second) and len(second.split()) > 1:
        return second
    subject = re.match(r"(.+?\b(?:is|are|was|were|has|have|will|can)\b)", first)
    subject = subject or re.match(r"(\w+ \w+s) \w+$", first)
    return f"{subject[1]} {second}" if subject else second


def atom(text: str) -> Bool:
    """A simple sentence, perhaps negated."""
    negated = bool(_NOT.search(text))
    text = _NOT.sub(" ", text)
    words = [verb_stem(word) for word in re.findall(r"[a-z'-]+", text) if word not in _EMPTY]
    if not words or len(words) > 7 or re.search(r"\b(?:who|what|which|why|how|where|when)\b", text):
        raise NotUnderstoodError(text)
    holds = z3.Bool("atom:" + " ".join(words))
    return z3.Not(holds) if negated else holds
