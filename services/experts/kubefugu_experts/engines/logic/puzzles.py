"""Puzzles in free wording as plain requests: who is the tallest, which numbers have this sum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubefugu_experts.engines.logic.words import SCALE, SUPERLATIVES
from kubefugu_experts.formulas import FormulaError, parse_relation, stretches
from kubefugu_experts.phrasing import words_to_digits

_PAIRS = (
    *("tall short", "old young", "fast slow quick", "heavy light", "big small large", "rich poor wealth", "strong weak"),
    *("smart wise", "long short brief", "high low", "good bad", "warm cold hot cool", "loud quiet", "bright dim", "happy sad"),
    *("great less lea", "deep shallow", "wide narrow", "expensive cheap", "hard soft", "new old"),
)
_COMPARATIVE = "|".join(sorted(SCALE, key=len, reverse=True))
_SUPERLATIVE = "|".join(sorted(SUPERLATIVES, key=len, reverse=True))
_NAME = (
    r"(?:[Tt]he )?([A-Z][a-zA-Z]*|(?<=[Tt]he )[a-z]+)(?: (?:box|car|house|ball|cup|book|team|train|tree|stone|bag|"
    r"horse|runner|one))?"
)
_COMPARED = re.compile(rf"\b{_NAME}(?:,)? (?:\w+ ){{0,4}}?({_COMPARATIVE})(?: \w+){{0,2}} than {_NAME}\b")
_BEFORE = r"(?:before|ahead of|earlier than|in front of|sooner than|left of)"
_AFTER = r"(?:after|behind|later than|right of)"
_PLACED = re.compile(rf"\b{_NAME} (?:\w+ ){{1,4}}?({_BEFORE}|{_AFTER}) {_NAME}\b")
_NOT_SURE = re.compile(r"\b(?:not|n't|never|as \w+ as|twice|either|or|unless)\b")
_ORDER = re.compile(
    rf"\bfrom (?:the )?({_SUPERLATIVE}|first|last)\b.*?\bto (?:the )?({_SUPERLATIVE}|first|last)\b", re.IGNORECASE
)


def on_order(text: str) -> Iterator[str]:
    """Comparisons anywhere in the text, and the question about them."""
    sentences = [part for part in re.split(r"(?<=[.;?!])\s+|(?<=[a-z]), (?=(?:who|which|what|name)\b)", text) if part]
    asked = sentences[-1] if sentences else ""
    stated = " ".join(sentences[:-1])
    if _NOT_SURE.search(stated) or not stated:
        return
    stated = re.sub(r"\bmore(?= (?:\w+ )?than\b)", "greater", stated)
    asked = re.sub(r"\bmost\b(?! [a-z]+(?:ed|ive|ful|ant)\b)", "greatest", asked)
    stated = re.sub(r",? (?:and|but|while) (?=[A-Z])|, (?=[A-Z])", ". ", stated)
    facts, words = [], set()
    for sentence in re.split(r"[.;]\s*", stated):
        if match := _COMPARED.search(sentence):
            facts.append(f"{_name(match[1])} is {match[2]} than {_name(match[3])}.")
            words.add(match[2])
        elif match := _PLACED.search(sentence):
            facts.append(
                f"{_name(match[1])} finished {'before' if re.fullmatch(_BEFORE, match[2]) else 'after'} {_name(match[3])}."
            )
        elif re.search(r"\bthan\b", sentence):
            return
    question = _about_order(asked, words)
    if len(facts) >= 2 and question:
        yield f"{' '.join(facts)} {question}"


def _name(word: str) -> str:
    return word[0].upper() + word[1:]


def _same_scale(words: set[str], superlative: str) -> bool:
    """Taller goes with shortest and with tallest, not with oldest."""
    stems = {re.sub(r"(?:er|est|r|st)$", "", word)[:4] for word in (*words, superlative)}
    return any(all(any(each.startswith(stem[:3]) for each in pair.split()) for stem in stems) for pair in _PAIRS)


def _about_order(asked: str, words: set[str]) -> str | None:
    if match := _ORDER.search(asked):
        return f"Order them from {match[1].lower()} to {match[2].lower()}."
    if match := _COMPARED.search(asked):
        return f"Is {_name(match[1])} {match[2]} than {_name(match[3])}?"
    if re.search(r"\bmiddle\b|\bin between\b", asked):
        return "Who is in the middle?"
    if match := re.search(rf"\b(second |third )?({_SUPERLATIVE})\b", asked, re.IGNORECASE):
        superlative = match[2].lower()
        if words and _same_scale(words, superlative):
            return f"Who is the {match[1] or ''}{superlative}?"
    if match := re.search(r"\b(first|last)\b", asked):
        return f"Who finished {match[1]}?"
    return None


_SUM = re.compile(
    r"\b(?:sum|add(?:s|ed)? up to|add(?:s|ed)? to|total\w*|together\b(?: \w+){0,2}?|sum up to)(?: \w+){0,3}? (-?\d+)",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(
    r"\b(?:difference|differ(?:s)? by)(?: \w+){0,3}? (\d+)|\b(\d+) (?:larger|more|greater|bigger|"
    r"higher) than (?:the )?(?:other|second)"
)
_PRODUCT = re.compile(r"\b(?:product|multipl\w+)(?: \w+){0,3}? (-?\d+)")
_CONSECUTIVE = re.compile(r"\b(\d) consecutive (even |odd )?(?:positive )?(?:integers|numbers|whole numbers)", re.IGNORECASE)
_EXTREME = re.compile(r"\b(smallest|largest|least|greatest|biggest|lowest|highest|minimum|maximum)\b", re.IGNORECASE)
_WHOLE = re.compile(r"\b((?:positive|non-?negative|natural) )?(?:integers?|whole numbers?|natural numbers?)\b", re.IGNORECASE)
_FOUR_LEGS, _TWO_LEGS = (
    r"(cows|rabbits|pigs|sheep|goats|horses|dogs|cats|donkeys|cattle)",
    r"(chickens|hens|ducks|birds|geese|turkeys|ostriches)",
)
_BELOW, _ABOVE = r"(?:below|under|less than|smaller than)", r"(?:above|over|more than|greater than|larger than|exceeds)"


def on_integers(text: str) -> Iterator[str]:
    """Numbers with a sum and a difference or product; consecutive ones; constraints; heads and legs."""
    text = words_to_digits(text)
    if four := re.search(rf"\b{_FOUR_LEGS}\b", text, re.IGNORECASE):
        yield from _animals(text, four[1])
        return
    stated = re.sub(r"\b\d (?=(?:\w+ ){0,2}(?:numbers|integers))", "", text)  # how many there are is no result
    total, difference, product = _SUM.search(stated), _DIFFERENCE.search(stated), _PRODUCT.search(stated)
    if match := _CONSECUTIVE.search(text):
        made = f"sum {total[1]}" if total else f"product {product[1]}" if product else ""
        if made:
            yield f"find {match[1]} consecutive {match[2] or ''}integers whose {made.replace(' ', ' is ')}"
        return
    if re.search(r"\b2 (?:\w+ ){0,2}(?:numbers|integers)\b", text) and total and (difference or product):
        other = (
            f"difference is {difference[1] or difference[2]}" if difference else f"product is {product[1] if product else ''}"
        )
        yield f"find two integers whose sum is {total[1]} and {other}"
        return
    yield from _constraints(text)


def _animals(text: str, four: str) -> Iterator[str]:
    two = re.search(rf"\b{_TWO_LEGS}\b", text, re.IGNORECASE)
    heads = re.search(r"\b(\d+) (?:heads|animals|creatures)\b", text)
    legs = re.search(r"\b(\d+) (?:legs|feet)\b", text)
    if two and heads and legs:
        yield f"A farm has {two[1]} and {four}. There are {heads[1]} heads and {legs[1]} legs. How many of each"


def _constraints(text: str) -> Iterator[str]:
    whole = _WHOLE.search(text)
    if not whole:
        return
    text = re.sub(rf"\b([a-z]) whose square (?:\w+ ){{0,2}}?{_BELOW} (\d+)", r"\1: \1^2 < \2 ", text)
    text = re.sub(rf"\b([a-z]) whose square (?:\w+ ){{0,2}}?{_ABOVE} (\d+)", r"\1: \1^2 > \2 ", text)
    text = re.sub(r"\b([a-z]) (?:\w+ ){0,2}?(?:strictly )?between (-?\d+) and (-?\d+)", r"\1: \2 < \1 < \3 ", text)
    relations = [run for run in stretches(text) if _is_relation(run)]
    if not relations or re.search(r"'|\bf\(", text):
        return
    letters = sorted({letter for run in relations for letter in re.findall(r"(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])", run)})
    body, kind = " and ".join(relations), f"{(whole[1] or '').lower()}integer"
    extreme = _EXTREME.search(text)
    if extreme and len(letters) == 1:
        yield f"find the {extreme[1].lower()} {kind} {letters[0]} such that {body}"
    elif re.search(r"\b(?:how many|count|number of)\b", text, re.IGNORECASE) and len(letters) == 1:
        yield f"how many {kind}s {letters[0]} satisfy {body}"
    elif re.search(r"^(?:does|do|can|is|are|could)\b|\b(?:exist|any integer)\b|\bsolvable\b", text, re.IGNORECASE):
        yield f"is there an {kind} {', '.join(letters)} such that {body}"
    elif re.search(r"\b(?:which|what|all|list|find|determine|give|name)\b", text, re.IGNORECASE):
        every = "all " if re.search(r"\b(?:which|all|every|list)\b", text, re.IGNORECASE) else ""
        yield f"find {every}{kind}s {' and '.join(letters)} such that {body}"


def _is_relation(text: str) -> bool:
    try:
        return bool(parse_relation(text)) and bool(re.search(r"[a-zA-Z]", text))
    except FormulaError:
        return False
