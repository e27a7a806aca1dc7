"""Arguments in plain English: premises, then a question whether something follows."""

from __future__ import annotations

import re

import z3

from kubefugu_experts.engines.logic.conditionals import proposition
from kubefugu_experts.engines.logic.sentences import NotUnderstoodError, World, categorical, question_as_statement
from kubefugu_experts.engines.logic.solving import Bool, entails, judge, satisfiable
from kubefugu_experts.engines.logic.words import NO_NAMES

_ASKS = re.compile(
    r"^(?:so,? |then,? |now,? |based on (?:this|these|the above)(?: \w+)*,? |given (?:this|these|that)(?: \w+)*,? )?"
    r"(?:does it (?:logically |necessarily )?follow(?: from (?:this|these)(?: \w+)*)?(?: that)?|"
    r"can (?:we|you|one|i|it be) (?:logically |validly |safely )?(?:conclude|conclude[d]?|infer|"
    r"inferred|deduce|deduced|say|derive)(?: from (?:this|these)(?: \w+)*)?(?: that)?"
    r"|is it (?:necessarily |logically |definitely )?(?:true|the case|valid|correct|"
    r"certain)(?: to (?:say|conclude))?(?: that)?|must it be (?:true|the case) that|"
    r"is the (?:conclusion|statement|following conclusion)|does this (?:mean|imply|"
    r"entail)(?: that)?|do we know(?: that)?|would it follow that|is this conclusion valid:?|"
    r"conclusion:|therefore,?|hence,?|thus,?|so,?)[:,]? ?[\"']?(.+?)[\"']?"
    r"(?: (?:valid|true|correct|follow|logically valid|necessarily true|a valid conclusion|supported))?$",
    re.IGNORECASE,
)
_VALID = re.compile(
    r"^(?:is|are) (?:this|that|the|these|it)(?: \w+)?(?: argument| conclusion| reasoning|"
    r" inference| syllogism| deduction)?(?: logically)? (?:valid|correct|sound|true|right|"
    r"a valid (?:argument|syllogism|inference)|logically (?:valid|correct))$|^(?:valid|"
    r"true) or (?:invalid|false|not)$|^does (?:this|that|it|"
    r"the conclusion) (?:logically )?follow$",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(
    r"^(?:consider (?:these|the following)(?: \w+)*|premises?|given(?: that|"
    r" the following(?: \w+)*| these(?: \w+)*)?|suppose(?: that)?|assume(?: that)?|"
    r"assuming(?: that)?|if we know that|we know(?: that)?|here are (?:some|two|the)(?: \w+)*|"
    r"statements?|facts?|you are told(?: that)?|let'?s say(?: that)?|imagine(?: that)?|"
    r"it is known that|know(?:ing)? that)[:,]? ?",
    re.IGNORECASE,
)
_QUESTION_START = re.compile(r"^(?:is|are|was|were|does|do|did|can|could|must|will|has|have)\b", re.IGNORECASE)


def argue(text: str) -> str | None:
    """Premises and a question, answered by entailment."""
    sentences = _sentences(text)
    if len(sentences) < 2 or len(sentences) > 12:
        return None
    premises, asked = sentences[:-1], sentences[-1]
    if _VALID.match(asked):
        if len(premises) < 2:
            return None
        premises, asked = premises[:-1], f"therefore {_without_lead(premises[-1])}"
    names = _names(text)
    for attempt in (_categorical, _propositional):
        try:
            reply = attempt(premises, asked, names)
        except NotUnderstoodError:
            continue
        if reply:
            return reply
    return None


def _without_lead(text: str) -> str:
    return re.sub(r"^(?:therefore|hence|thus|so|conclusion:?|it follows that),? ", "", text, flags=re.IGNORECASE)


def _sentences(text: str) -> list[str]:
    text = re.sub(r"(?:(?<=\s)|^)\(?\d[.)]\s+", ". ", text)
    text = re.sub(
        r"\b((?:follow|conclude|infer|deduce|true|imply|mean|say) that|the (?:conclusion|statement)):[\s.]+",
        r"\1 ",
        text,
        flags=re.IGNORECASE,
    )
    pieces = re.split(r"(?<=[a-z\"'])[.;!?]\s+|[.;]\s+|:\s+(?=[.A-Z]|\d)", text)
    found: list[str] = []
    for piece in pieces:
        piece = _INTRODUCTION.sub("", piece.strip(" .;\n"))
        split = re.split(
            r",? (?:and )?(?=(?:does it (?:logically )?follow|can (?:we|you) (?:conclude|infer|"
            r"deduce)|is it (?:necessarily )?true that|do we know)\b)",
            piece,
            flags=re.IGNORECASE,
        )
        for part in split:
            found += _conjoined(part.strip(" ,.;?"))
    return [part for part in found if part]


def _conjoined(text: str) -> list[str]:
    """ "All cats are mammals and all mammals are animals" is two premises; a question at the end is parted from them."""
    parts = re.split(
        r",? and (?=(?:all|every|each|no|some|not all|only|if) )|, (?=(?:all|every|no|some) )", text, flags=re.IGNORECASE
    )
    last = parts[-1]
    if (
        match := re.match(r"^(.+?), (?:then )?((?:is|are|does|do|can|must|are all|are some) .+)$", last, re.IGNORECASE)
    ) and not _QUESTION_START.match(last):
        first = (
            re.sub(r"^if (?=all|every|no|some|[a-z]+ is )", "", match[1], flags=re.IGNORECASE)
            if not re.search(r"\bthen\b", match[1])
            else match[1]
        )
        parts[-1:] = [first, match[2]]
    if len(parts) > 1:
        parts[0] = re.sub(r"^if (?=all|every|each|no|some|[A-Za-z]+ is )", "", parts[0], flags=re.IGNORECASE)
    return [part.strip() for part in parts]


def _names(text: str) -> frozenset[str]:
    """Words that stand for one thing: capitalised within a sentence, or subjects of "is a"."""
    found = {word.lower() for word in re.findall(r"(?<![.?!:] )(?<!^)\b([A-Z][a-z]+)\b", text)}
    found |= {word.lower() for word in re.findall(r"\b([A-Za-z]+) (?:is|was|isn't) (?:not )?(?:an? )?[a-z]", text)}
    found |= {word.lower() for word in re.findall(r"\b(?:[Ii]s|[Ww]as|[Mm]ust) ([A-Za-z]+) ", text)}
    found |= {word.lower() for word in re.findall(r"\b(?:[Dd]oes|[Dd]id|[Cc]an|[Ww]ill) ([A-Z][a-z]+) ", text)}
    return frozenset(found - NO_NAMES)


def _categorical(premises: list[str], asked: str, names: frozenset[str]) -> str | None:
    world = World()
    given = [categorical(premise, world, names) for premise in premises]
    match = _ASKS.match(asked)
    statements = [match[1]] if match else []
    statements += question_as_statement(asked if not match else match[1], names)
    for statement in statements:
        known = set(world.classes)
        try:
            conclusion = categorical(statement, world, names)
        except NotUnderstoodError:
            continue
        if set(world.classes) - known and len(statements) > 1 and statement != statements[-1]:
            for name in set(world.classes) - known:
                del world.classes[name]
            continue
        return _verdict(given, world.nothing_is_empty(), conclusion, statement, strict=bool(match))
    return None


def _propositional(premises: list[str], asked: str, names: frozenset[str]) -> str | None:
    if not any(re.search(r"\b(?:if|when|whenever|unless|either|or|only)\b", premise, re.IGNORECASE) for premise in premises):
        return None
    premises = [_without_pronouns(premise, names) for premise in premises]
    asked = _without_pronouns(asked, names)
    given = [proposition(premise) for premise in premises]
    match = _ASKS.match(asked)
    if match:
        statement = match[1]
    elif _QUESTION_START.match(asked):
        statement = re.sub(r"^(?:is|are|was|were|does|do|did|will|has|have|must|can)\b ?", "", asked, flags=re.IGNORECASE)
    else:
        return None
    conclusion = proposition(statement)
    known = {str(name) for premise in given for name in _atoms(premise)}
    if not {str(name) for name in _atoms(conclusion)} <= known:
        return None
    return _verdict(given, [], conclusion, statement, strict=bool(match))


def _without_pronouns(sentence: str, names: frozenset[str]) -> str:
    """ "If John studies, he passes": he is John, where the sentence names one person alone."""
    named = list(dict.fromkeys(word for word in re.findall(r"\b[A-Z][a-z]+\b", sentence) if word.lower() in names))
    return re.sub(r"\b(?:he|she|they)\b", named[0], sentence) if len(named) == 1 else sentence


def _atoms(formula: Bool) -> list[Bool]:
    if z3.is_const(formula):
        return [formula]
    return [found for child in formula.children() for found in _atoms(child)]


def _verdict(given: list[Bool], existence: list[Bool], conclusion: Bool, statement: str, *, strict: bool) -> str:
    """Yes, no, or not decided; classes that are spoken of are taken to have members."""
    if not satisfiable(given):
        return "The premises contradict each other."
    if entails(given, conclusion):
        return "Yes, it follows."
    verdict = judge([*given, *existence], conclusion) if satisfiable([*given, *existence]) else judge(given, conclusion)
    if verdict:
        return "Yes, it follows (taking it that none of the groups is empty)."
    if verdict is False:
        return "No, the opposite follows." if strict else "No."
    return "No, it does not follow." if strict else "No, it does not follow: it cannot be determined from the premises."
