"""Sentences about things: all, no, some, names and conditionals, as formulas over one sort of things."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import z3

from kubefugu_experts.engines.logic.solving import Bool
from kubefugu_experts.engines.logic.words import IRREGULAR_PLURALS

_NEGATED = r"(?:not|n't|never)"
_BE = r"(?:is|are|was|were|am|be)"


_THINGS = frozenset(("thing", "things", "object", "objects", "item", "items", "one", "ones", "being", "beings", "individuals"))


class NotUnderstoodError(ValueError):
    """The sentence is none of the known forms."""


def term(text: str) -> str:
    """A class or property by its key: lower case, without article, in the singular."""
    text = re.sub(r"[^a-z' -]", "", text.lower()).strip()
    text = re.sub(r"^(?:an?|the|any|all|some|able to|capable of|members? of(?: the)?)\s+", "", text)
    words = text.split()
    while len(words) > 1 and words[-1] in _THINGS:
        words.pop()
    if not words or len(words) > 5:
        raise NotUnderstoodError(text)
    return " ".join([*words[:-1], singular(words[-1])])


def singular(word: str) -> str:
    """The singular of a plural noun, roughly; the same word always gets the same key."""
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if re.search(r"(?:ss|x|zz|ch|sh)es$", word) and len(word) > 4:
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word


@dataclass(slots=True)
class World:
    """The vocabulary of a puzzle: classes, and names of single things."""

    sort: Any = field(default_factory=lambda: z3.DeclareSort("Thing"))
    classes: dict[str, Any] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    def has(self, name: str, thing: Any) -> Bool:
        """The thing is of the class."""
        if name not in self.classes:
            self.classes[name] = z3.Function(f"class:{name}", self.sort, z3.BoolSort())
        return self.classes[name](thing)

    def named(self, name: str) -> Any:
        """The thing of a name."""
        key = name.lower()
        if key not in self.names:
            self.names[key] = z3.Const(f"name:{key}", self.sort)
        return self.names[key]

    def all_are(self, first: str, second: str, *, negated: bool = False) -> Bool:
        """Every first is (not) a second."""
        thing = z3.Const("thing", self.sort)
        holds = self.has(second, thing)
        return z3.ForAll([thing], z3.Implies(self.has(first, thing), z3.Not(holds) if negated else holds))

    def some_are(self, first: str, second: str, *, negated: bool = False) -> Bool:
        """Some first is (not) a second."""
        thing = z3.Const("thing", self.sort)
        holds = self.has(second, thing)
        return z3.Exists([thing], z3.And(self.has(first, thing), z3.Not(holds) if negated else holds))

    def nothing_is_empty(self) -> list[Bool]:
        """Existential import: there is at least one thing of every class that is spoken of."""
        thing = z3.Const("thing", self.sort)
        return [z3.Exists([thing], make(thing)) for make in self.classes.values()]


_UNIVERSAL = re.compile(
    rf"^(?:all|every|each|any)(?: of)?(?: the)? (.+?) (?:{_BE}|can be) (?:also |always |either |all )?({_NEGATED} )?(.+)$"
)
_UNIVERSAL_CAN = re.compile(
    r"^(?:all|every|each|any)(?: the)? (.+?) (can|have|has|like|likes|love|loves|eat|eats|need|"
    r"needs|must|will|know|knows) (.+)$"
)
_NONE = re.compile(rf"^(?:no|none of the|not a single) (.+?) (?:{_BE}|can be) (.+)$")
_SOME_NOT = re.compile(
    rf"^(?:some|at least one|a few|there (?:is|are|exists?) (?:some |a |an |"
    rf"at least one )?)(?: of the)? ?(.+?) (?:that |who |which )?(?:{_BE}) ?{_NEGATED} (.+)$"
)
_SOME = re.compile(
    rf"^(?:some|at least one|a few|many|several|most|there (?:is|are|exists?) (?:some |a |an |"
    rf"at least one )?)(?: of the)? ?(.+?) (?:that |who |which )?(?:{_BE}) (.+)$"
)
_NOT_ALL = re.compile(rf"^not (?:all|every) (.+?) {_BE} (.+)$")
_ONLY = re.compile(rf"^only (.+?) {_BE} (.+)$")
_IF_CLASS = re.compile(
    rf"^if (?:something|someone|anything|anyone|a thing|a person|x|"
    rf"it) {_BE} (.+?),? (?:then )?(?:it|he|she|they|that thing|that person|"
    rf"x) {_BE} ({_NEGATED} )?(.+)$"
)
_SINGULAR = re.compile(rf"^([a-z]+(?:[ -][a-z]+)?) {_BE} ({_NEGATED} )?(.+)$")
_VERBAL = re.compile(r"^(all|every|each|some|no) ([a-z]+) ((?!are\b|is\b|of\b|that\b|who\b|in\b)[a-z]+(?: [a-z]+){0,3})$")
_NAMED_VERB = re.compile(
    rf"^([a-z]+) (?!{_BE}\b)(?:(does not|did not|do not|cannot|can not|never) |can |will )?"
    r"([a-z]+)(?: ([a-z]+(?: [a-z]+){0,2}))?$"
)
_BARE_PLURAL = re.compile(rf"^([a-z]+s|people|men|women|children|fish|mice|sheep) are ({_NEGATED} )?(.+)$")


def categorical(text: str, world: World, names: frozenset[str]) -> Bool:
    """A sentence as a formula. `names` are the words that stand for single things. Raises NotUnderstoodError."""
    text = re.sub(r"n't\b", " not", " ".join(text.lower().strip(" .,;:?!\"'").split()))
    text = re.sub(r"^(?:and|but|also|then|so|that|hence|therefore|thus|furthermore|moreover),? ", "", text)
    if match := _UNIVERSAL.match(text):
        return world.all_are(term(match[1]), term(match[3]), negated=bool(match[2]))
    if match := _NONE.match(text):
        return world.all_are(term(match[1]), term(match[2]), negated=True)
    if match := _NOT_ALL.match(text):
        return world.some_are(term(match[1]), term(match[2]), negated=True)
    if match := _SOME_NOT.match(text):
        return world.some_are(term(match[1]), term(match[2]), negated=True)
    if match := _SOME.match(text):
        return world.some_are(term(match[1]), term(match[2]))
    if match := _ONLY.match(text):
        return world.all_are(term(match[2]), term(match[1]))
    if match := _IF_CLASS.match(text):
        return world.all_are(term(match[1]), term(match[3]), negated=bool(match[2]))
    if match := _UNIVERSAL_CAN.match(text):
        return world.all_are(term(match[1]), _verb(match[2], match[3]))
    if (match := _NAMED_VERB.match(text)) and match[1] in names:
        holds = world.has(_verb(match[3], match[4] or ""), world.named(match[1]))
        return z3.Not(holds) if match[2] else holds
    if (match := _SINGULAR.match(text)) and match[1] in names:
        holds = world.has(term(match[3]), world.named(match[1]))
        return z3.Not(holds) if match[2] else holds
    if match := _VERBAL.match(text):
        predicate = _verb(*(match[3].partition(" ")[::2]))
        if match[1] in ("all", "every", "each"):
            return world.all_are(term(match[2]), predicate)
        if match[1] == "no":
            return world.all_are(term(match[2]), predicate, negated=True)
        return world.some_are(term(match[2]), predicate)
    if match := _BARE_PLURAL.match(text):
        return world.all_are(term(match[1]), term(match[3]), negated=bool(match[2]))
    raise NotUnderstoodError(text)


def _verb(verb: str, rest: str) -> str:
    """The key of what somebody does: barks, bark and barked are the same."""
    return f"{verb_stem(verb)} {term(rest)}" if rest else verb_stem(verb)


def verb_stem(word: str) -> str:
    """A verb's key: rains, raining and rained are the same."""
    word = singular(word)
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word.removesuffix(ending)
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 3 else word


_ASKED = (
    (
        re.compile(
            r"^(?:is|are) (?:it )?(?:true |the case |certain |correct )?(?:that )?(all|every|each|"
            r"any|some|no) (.+?) (?!is |are )(.+)$"
        ),
        "quantified",
    ),
    (re.compile(r"^(?:is|was) ([a-z]+(?:[ -][a-z]+)?) (?:necessarily |also |therefore |then )?(not )?(.+)$"), "named"),
)


def question_as_statement(text: str, names: frozenset[str]) -> list[str]:
    """Statements that a yes-or-no question may ask for ("is Rex an animal" -> "rex is an animal")."""
    text = " ".join(text.lower().strip(" .,;:?!\"'").split())
    statements = []
    if match := re.match(r"^(?:is|was|must) ([a-z]+(?:[ -][a-z]+)?) (?:necessarily |also |therefore |then |be )?(.+)$", text):
        first = match[1].split()
        if first[0] in names:
            rest = " ".join([*first[1:], match[2]])
            statements.append(f"{first[0]} is {rest}")
    if (match := re.match(r"^(?:does|did|can|will|do) ([a-z]+) (.+)$", text)) and match[1] in names:
        statements.append(f"{match[1]} {match[2]}")
    if match := re.match(r"^(?:are|is) (all|every|each|some|no|any) (?:of the )?(.+)$", text):
        words = match[2].split()
        quantifier = "all" if match[1] == "any" else match[1]
        for cut in range(1, len(words)):
            statements.append(f"{quantifier} {' '.join(words[:cut])} are {' '.join(words[cut:])}")
    if match := re.match(
        r"^are (?!all|every|each|some|no|any)([a-z]+s|people|men|women|children|fish|mice|"
        r"sheep) (?:necessarily |also |always )?(.+)$",
        text,
    ):
        statements.append(f"all {match[1]} are {match[2]}")
    return statements
