"""Puzzles about an order: taller than, finished before, left of."""

from __future__ import annotations

import re
from itertools import pairwise

import z3

from kubefugu_experts.engines.logic.solving import Bool, entails, satisfiable
from kubefugu_experts.engines.logic.words import FILLERS, SCALE, SUPERLATIVES

_BEATS = re.compile(r"\b([A-Z][a-zA-Z]*) (?:beat|beats|defeated|outran|overtook|won against|outscored) ([A-Z][a-zA-Z]*)\b")
_BEFORE = r"(?:before|ahead of|earlier than|in front of|sooner than|to the left of|left of|above)"
_AFTER = r"(?:after|behind|later than|to the right of|right of|below)"
_NAME = r"([A-Z][a-zA-Z]*)"
_WORD = "|".join(sorted((word.replace(" ", r"\s") for word in SCALE), key=len, reverse=True))
_COMPARED = re.compile(
    rf"\b{_NAME} (?:is|was|are|runs|ran|weighs|earns|has|scored|finished|swam|drives|"
    rf"jumped) (not )?(?:much |slightly |a bit |even )?({_WORD})(?: points| money)? than {_NAME}\b"
)
_PLACED = re.compile(
    rf"\b{_NAME} (?:is|was|are|sits?|sat|stands?|stood|finished|finishes|came|comes|arrived|"
    rf"arrives|ended|placed|crossed the (?:finish )?line|got (?:here|there|in)|lives|"
    rf"was born)(?: in)?(?: immediately| directly| right| just| somewhere)? ({_BEFORE}|"
    rf"{_AFTER}) {_NAME}\b"
)
_CHAIN = re.compile(
    rf"\b{_NAME} (?:is|was) ({_WORD}) than {_NAME},? (?:who|which|and \3|but \3) (?:is|was) ({_WORD}) than {_NAME}"
)
_ENDS = re.compile(rf"\b{_NAME} (?:finished|came|was|is|arrived|placed)(?: in)? (first|last)(?: place)?\b")
_SUPERLATIVE = re.compile(
    r"\b(?:who|which(?: (?:one|person|of them|runner|child))?|what|name|tell(?: me)?|find|"
    r"give(?: me)?)(?: of (?:them|these|the \w+))?(?: is| was| are|'s)? (?:the )?(second |third |"
    r"2nd |3rd )?(most [a-z]+|least [a-z]+|[a-z]+est)\b",
    re.IGNORECASE,
)
_PLACE_ASKED = re.compile(
    r"\b(?:who|which(?: (?:one|person|of them|runner|horse))?)(?: of (?:them|these|"
    r"the \w+))? (?:finished|came|comes|is|was|arrived|won|sits|stands|placed|"
    r"ended up)(?: in(?! the middle))?(?: the(?! middle))?(?: race)? ?(first|last|second|third|"
    r"fourth|1st|2nd|3rd|4th|in the middle|leftmost|rightmost|on the (?:far )?left|"
    r"on the (?:far )?right|at the (?:front|back|end)|won)?(?: place)?\b",
    re.IGNORECASE,
)
_YES_NO = re.compile(
    rf"\b(?:[Ii]s|[Ww]as|[Dd]id) {_NAME} (?:finish |come |arrive |definitely |"
    rf"necessarily )?({_WORD}|{_BEFORE}|{_AFTER})(?: than)? {_NAME}\b"
)
_LIST = re.compile(
    r"\b(?:order|rank|arrange|sort|list|put)\b.*\bfrom (?:the )?([a-z]+(?:est)?|first|last) to (?:the )?([a-z]+)", re.IGNORECASE
)
_FIRST = re.compile(
    r"\b(?:rank|order|sort|arrange|list|put)\b.*?,? (?:the |from (?:the )?|starting (?:with|"
    r"from) (?:the )?)?([a-z]+est)(?: one| person)?(?: first| to|$)",
    re.IGNORECASE,
)
_POSITIONS = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3}
_QUESTION = re.compile(
    r"(?:^|[.;!?,]\s+)((?:(?:[Ss]o|[Tt]hen),? )?(?:[Ww]ho|[Ww]hich|[Ww]hat|(?:[Ii]s|[Ww]as|[Dd]id) [A-Z]\w*"
    r"|[Oo]rder|[Rr]ank|[Aa]rrange|[Ss]ort|[Ll]ist|[Pp]ut|[Nn]ame|[Tt]ell|[Ff]ind|[Gg]ive|[Ss]ay|[Cc]an you)\b.*)$"
)


def solve(text: str) -> str | None:
    """Who is the tallest? Who finished last? Is Ann older than Bob?"""
    if match := re.match(r"^((?:order|rank|arrange|sort|list|put)\b[^:]*): (.+)$", text, re.IGNORECASE):
        text = f"{match[2].rstrip('.')}. {match[1]}"
    facts, rest = _facts(text)
    if not facts:
        return None
    people = list(dict.fromkeys(name for pair in facts for name in pair))
    if len(people) > 12:
        return None
    ranks = {name: z3.Int(f"rank:{name}") for name in people}
    constraints: list[Bool] = [ranks[more] > ranks[less] for more, less in facts]
    constraints += [z3.Distinct(list(ranks.values())), *(z3.And(rank >= 0, rank < len(people)) for rank in ranks.values())]
    for name, place in _ENDS.findall(rest):
        if name in ranks:
            constraints.append(ranks[name] == (len(people) - 1 if place == "first" else 0))
    if not satisfiable(constraints):
        return "That is impossible: the statements contradict each other."
    return _asked(text, rest, ranks, constraints)


def _facts(text: str) -> tuple[list[tuple[str, str]], str]:
    """(more, less) pairs, where "more" is also "earlier"; and the text without the questions."""
    question = _QUESTION.search(text)
    stated = text[: question.start(1)] if question else text
    facts: list[tuple[str, str]] = []
    for match in _CHAIN.finditer(stated):
        for first, word, second in ((match[1], match[2], match[3]), (match[3], match[4], match[5])):
            facts.append((first, second) if SCALE[word] > 0 else (second, first))
    for first, negated, word, second in _COMPARED.findall(stated):
        if negated:
            continue
        facts.append((first, second) if SCALE[word] > 0 else (second, first))
    for first, relation, second in _PLACED.findall(stated):
        facts.append((first, second) if re.fullmatch(_BEFORE, relation) else (second, first))
    facts += _BEATS.findall(stated)
    stated = _BEATS.sub(" ", stated)
    rest = _PLACED.sub(" ", _COMPARED.sub(" ", _CHAIN.sub(" ", stated)))
    unexplained = _ENDS.sub(" ", rest)
    if any(word.lower() not in FILLERS and not word[0].isupper() for word in re.findall(r"[^\W\d_]+", unexplained)):
        return [], rest
    words = {word for _, _, word, _ in _COMPARED.findall(stated)}
    return (facts if len({abs(SCALE[word]) for word in words} or {1}) == 1 else []), rest


def _asked(text: str, rest: str, ranks: dict[str, Bool], constraints: list[Bool]) -> str | None:
    if match := _YES_NO.search(text):
        first, word, second = match[1], match[2], match[3]
        if first in ranks and second in ranks:
            up = SCALE.get(word, 1 if re.fullmatch(_BEFORE, word) else -1)
            more, less = (first, second) if up > 0 else (second, first)
            if entails(constraints, ranks[more] > ranks[less]):
                return f"Yes, {first} is {word}{' than' if word in SCALE else ''} {second}."
            if entails(constraints, ranks[less] > ranks[more]):
                return f"No, {second} is {word}{' than' if word in SCALE else ''} {first}."
            return "It cannot be determined."
    if match := _LIST.search(text):
        return _in_order(
            ranks, constraints, descending=match[1].lower() == "first" or SUPERLATIVES.get(match[1].lower(), 1) > 0
        )
    if (match := _FIRST.search(text)) and match[1].lower() in SUPERLATIVES:
        return _in_order(ranks, constraints, descending=SUPERLATIVES[match[1].lower()] > 0)
    if match := _SUPERLATIVE.search(text):
        direction = SUPERLATIVES.get(match[2].lower())
        if direction is None:
            return None
        place = {"second": 1, "2nd": 1, "third": 2, "3rd": 2}.get((match[1] or "").strip().lower(), 0)
        return _who(ranks, constraints, place if direction > 0 else -1 - place, f"the {match[1] or ''}{match[2].lower()}")
    if match := _PLACE_ASKED.search(text):
        word = (match[1] or ("first" if " won" in match[0].lower() else "")).lower()
        if not word:
            return None
        if word == "in the middle":
            return _who(ranks, constraints, len(ranks) // 2, word) if len(ranks) % 2 else None
        place = _POSITIONS.get(word, 0 if "left" in word or "front" in word or word == "won" else -1)
        return _who(ranks, constraints, place, word)
    return None


def _in_order(ranks: dict[str, Bool], constraints: list[Bool], *, descending: bool) -> str:
    """Everyone in order, where there is only one."""
    order = sorted(
        ranks, key=lambda name: -sum(entails(constraints, ranks[name] > ranks[other]) for other in ranks if other != name)
    )
    if any(not entails(constraints, ranks[first] > ranks[second]) for first, second in pairwise(order)):
        return "The order cannot be determined."
    return f"The order is {', '.join(order if descending else order[::-1])}."


def _who(ranks: dict[str, Bool], constraints: list[Bool], place: int, what: str) -> str | None:
    """The only one who can have a rank; place 0 is the top, -1 the bottom."""
    if not -len(ranks) <= place < len(ranks):
        return None
    wanted = len(ranks) - 1 - place if place >= 0 else -1 - place
    possible = [name for name, rank in ranks.items() if satisfiable([*constraints, rank == wanted])]
    if len(possible) == 1:
        return f"{possible[0]} is {what}."
    return f"It cannot be determined: it may be {' or '.join(possible)}."
