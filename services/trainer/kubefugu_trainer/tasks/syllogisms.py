"""Decides categorical syllogisms by going through every way in which three terms can overlap. Pure.

reasoning-gym 0.1.25 calls some invalid inferences valid (it does not ask that the middle term be distributed). Its items are
used only where the answer is proven here, and where it does not hang on whether every term has members (existential import).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

_STATEMENT = re.compile(r"(All|No|Some) (\w+) are (not )?(\w+)", re.IGNORECASE)
_REGIONS = tuple(product((False, True), repeat=3))
"""Membership in each of the three terms: the regions of a Venn diagram."""

Statement = tuple[str, str, str]
"""(all | no | some | some not, subject, predicate)."""


def parse(text: str) -> Statement:
    """Read `Some cats are not dogs`. Raises ValueError for anything else."""
    match = _STATEMENT.fullmatch(text.strip().rstrip(".?"))
    if match is None or (match[3] and match[1].lower() != "some"):
        raise ValueError(f"not a categorical statement: {text!r}")
    return (f"{match[1].lower()}{' not' if match[3] else ''}", match[2].lower(), match[4].lower())


def follows(premises: Sequence[Statement], conclusion: Statement, *, members: bool) -> bool:
    """True if the conclusion holds in every world where the premises do. `members`: only worlds where every term has some."""
    terms = sorted({term for statement in (*premises, conclusion) for term in statement[1:]})
    if len(terms) > 3:
        raise ValueError(f"more than three terms: {', '.join(terms)}")
    for inhabited in product((False, True), repeat=len(_REGIONS)):
        world = [dict(zip(terms, region, strict=False)) for region, there in zip(_REGIONS, inhabited, strict=True) if there]
        if members and not all(any(thing[term] for thing in world) for term in terms):
            continue
        if all(_holds(premise, world) for premise in premises) and not _holds(conclusion, world):
            return False
    return True


def _holds(statement: Statement, world: Sequence[Mapping[str, bool]]) -> bool:
    quantifier, subject, predicate = statement
    return {
        "all": all(thing[predicate] for thing in world if thing[subject]),
        "no": not any(thing[predicate] for thing in world if thing[subject]),
        "some": any(thing[predicate] for thing in world if thing[subject]),
        "some not": any(not thing[predicate] for thing in world if thing[subject]),
    }[quantifier]


def proven(entry: Mapping[str, Any]) -> bool:
    """True if a reasoning-gym item's answer is the right one, with and without existential import."""
    facts = entry["metadata"]
    premises = [parse(facts["premise1"]), parse(facts["premise2"])]
    truths = {follows(premises, parse(facts["conclusion"]), members=members) for members in (False, True)}
    return truths == {entry["answer"] == "Yes"}
