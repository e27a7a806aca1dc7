"""Free wording as plain requests: formulas, premises, comparisons and numbers are found wherever they stand.

The requests are worded as the narrow readers of this package understand them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubefugu_experts.engines.logic import puzzles
from kubefugu_experts.engines.logic.formula import Formula, NotAFormulaError, is_compound
from kubefugu_experts.phrasing.meaning import meant, operation

_LETTER = (
    r"(?:(?<![A-Za-z'])[A-HJ-Zb-z](?![A-Za-z'])|(?<![A-Za-z'])a(?= ?(?:->|<->|=>|and\b|or\b|implies|\)|→|∧|∨|,|\.|"
    r"\?))|(?<=\()a\b)"
)
_CONNECTIVE = r"(?:and|or|not|implies|iff|if and only if|xor|<->|->|=>|<=>|&&?|\|\|?|~|¬|∧|∨|→|↔|!)"
_STRETCH = re.compile(rf"(?:[()]|{_LETTER}|{_CONNECTIVE})(?:\s*(?:[()]|{_LETTER}|{_CONNECTIVE}))*(?![A-Za-z])")
_ENDS = re.compile(r"^(?:\s|\)|(?:and|or|implies|iff)\b|->|=>|&|\|)+|(?:\s|\(|\b(?:and|or|not|implies|iff)|->|=>|&|\|)+$")
_VALUE = re.compile(r"(?<![A-Za-z'])([A-Za-z])(?: ?= ?| is | are | be | being | equals )(true|false|T|F)\b", re.IGNORECASE)
_ON_FORMULAS = (
    operation("table", (5, r"truth[- ]?tables?")),
    operation("count", (6, r"(?:how many|number of|count)\b.*\b(?:rows?|models?|assignments?|valuations?|"
    r"interpretations?|ways|cases)")),
    operation("equivalent", (4, r"equivalen\w*|say(?:s|ing)? the same|mean(?:s|ing)? the same|same (?:thing|truth|"
    r"meaning)|identical|interchang\w*")),
    operation(
        "follows",
        (4, r"follows?|conclud\w*|deriv\w*|infer\w*|deduc\w*|entail\w*|prov(?:e|es|able)|impl(?:y|ies)[\"']? [\"']|"
        r"consequence|argument"),
    ),
    operation(
        "tautology",
        (4, r"tautolog\w*|always (?:true|hold\w*)|(?:every|each|all|any)(?: possible)?(?: truth)? ?(?:assign\w+|"
        r"valuation\w*|case|row|values?)"),
        (3, r"logically (?:valid|true)|necessarily true|no matter|never false|valid(?: formula)?"),
    ),
    operation("contradiction", (5, r"contradict\w*|always false|never (?:be )?true|unsatisf\w*|impossible to (?:satisfy|"
    r"make)")),
    operation("satisfiable", (4, r"satisf\w*|ever (?:be )?true|ways? to make|possible to make|"
    r"can\b.*\bbe (?:made )?true|consistent|some assignment")),
    operation("possible", (3, r"(?:can|could)\b.*\b(?:hold|be the case)")),
    operation("contingency", (5, r"contingen\w*")),
)  # fmt: skip
_ASKED_OF_ONE = {
    "table": "truth table for {}",
    "count": "how many assignments satisfy {}",
    "tautology": "is {} a tautology",
    "contradiction": "is {} a contradiction",
    "satisfiable": "is {} satisfiable",
    "possible": "is {} satisfiable",
    "contingency": "is {} a contingency",
}
_QUANTIFIER = r"(?:all|every|each|any|no|none|some|not all|not every|only|at least one|if|whenever|when|either)"
_LEAD = re.compile(
    r"^(?:(?:so|then|now|and|but|well|hence|thus|therefore|from this|from that|we know|i know|you know|it is known|"
    r"suppose|assume|given|"
    r"imagine|let's say|say|consider|knowing|assuming|facts?|premises?|claim|if it is true|if we know|it is given|"
    r"this means|is it so"
    r"|in that case|this being so|based on (?:this|that)|does (?:this|that) mean|it follows)(?: that|:|,)?\s+)+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    rf"(?:[.;?!]+\s*|:\s+|,\s+(?:and |but |so |then |therefore |hence )?(?:that )?(?={_QUANTIFIER}\b)|"
    rf"\s+and\s+(?:that )?(?={_QUANTIFIER}\b)"
    r"|,\s+(?=(?:is|are|does|do|can|could|must|so|therefore|hence) )|\s+-+\s+|,\s+(?:so|then|therefore|hence)\s+|"
    r"\s+(?=then some|then all|then no))",
    re.IGNORECASE,
)
_AROUND = " ,.;:?!\"'"
_JUDGED = re.compile(
    r"^(?:is (?:he|she|that|this|it|the (?:argument|conclusion|reasoning)|my \w+)(?: \w+)?|)\s*(?:right|correct|true|"
    r"valid|sound|so|certain|ok)"
    r"(?: or (?:not|wrong|false|invalid))?$",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"^(?:is it|is|it is|must it be|would it be|can (?:i|we|one|you) (?:be|say)|are (?:we|you))(?: then| really| also| now)*"
    r"(?: (?:certain|sure|true|necessarily true|guaranteed|clear|right|correct|safe|the case|for sure|"
    r"fair))?(?: to say)? that ",
    re.IGNORECASE,
)
_SURE_OF = re.compile(r"^(?:can|could|may|are) (?:i|we|one|you) (?:be )?(?:sure|certain|confident) ", re.IGNORECASE)
_SURELY = re.compile(
    r",? (?:for sure|for certain|necessarily|certainly|in any case|too|as well|then|also|definitely)$", re.IGNORECASE
)
_MODAL = re.compile(r"^(?:must|should|has to) ((?:all|every|each|some|any|no|the)? ?.+?) be (.+)$", re.IGNORECASE)
_POSSIBLE = re.compile(
    r"^(?:can|could|may|might) (?:there be )?(?:an?|any|some) ([a-z-]+) (?:possibly |also |ever )*(?:be|that is|"
    r"which is) (?:an? )?(.+)$",
    re.IGNORECASE,
)


def requests(text: str) -> Iterator[str]:
    """Plain requests that mean the same; none where the meaning is not certain."""
    if not re.search(r"\d", text):
        yield from _on_formulas(text)
        yield from _on_premises(text)
        yield from puzzles.on_order(text)
    else:
        yield from puzzles.on_integers(text)


def _formulas(text: str) -> list[Formula]:
    """Every stretch of the text that is a formula, in order."""
    found = []
    for match in _STRETCH.finditer(text):
        for piece in re.split(r",", match[0]):
            stretch = piece.strip()
            while (shorter := _ENDS.sub("", stretch)) != stretch:
                stretch = shorter
            if stretch.startswith("(") and stretch.count("(") > stretch.count(")"):
                stretch = stretch[1:]
            try:
                found.append(Formula(stretch))
            except NotAFormulaError:
                continue
    return found


def _on_formulas(text: str) -> Iterator[str]:
    values = _VALUE.findall(text)
    rest = _VALUE.sub(" , ", re.sub(r"\bover (?:the variables? )?[a-zA-Z](?:(?:,| and) [a-zA-Z])*\b", "", text))
    found = _formulas(rest)
    compound = [formula.text for formula in found if is_compound(formula)]
    if not compound:
        return
    if values:
        known = ", ".join(f"{name} is {'true' if value.lower() in ('true', 't') else 'false'}" for name, value in values)
        if len(compound) == 1:
            yield f"if {known}, what is {compound[0]}"
        return
    name = meant(rest, _ON_FORMULAS)
    if name == "equivalent" and len(compound) == 2:
        yield f"is ({compound[0]}) equivalent to ({compound[1]})"
    elif name == "follows" and len(found) >= 2:
        texts = [formula.text for formula in found]
        first = re.search(
            rf"^[^.]*?\b(?:does|would|must|do|whether|can)? ?[\"(]*{re.escape(texts[0])}[\")]* (?:logically )?(?:follow|"
            rf"be (?:derived|inferred))",
            rest,
        )
        premises, conclusion = (texts[1:], texts[0]) if first else (texts[:-1], texts[-1])
        yield f"given {', '.join(premises)}, does it follow that {conclusion}"
    elif name in _ASKED_OF_ONE and len(dict.fromkeys(compound)) == 1:
        yield _ASKED_OF_ONE[name].format(compound[0])


def _on_premises(text: str) -> Iterator[str]:
    """Premises as sentences of their own, and what is asked as "Does it follow that ...?"."""
    if not re.search(rf"\b{_QUANTIFIER}\b", text, re.IGNORECASE):
        return
    clauses = [
        clause
        for part in _CLAUSE.split(text)
        if (clause := _SURELY.sub("", _LEAD.sub("", f"{part.strip(_AROUND)} ")).strip(" ,"))
    ]
    clauses = [re.sub(r"^if (?=(?:all|every|each|no|some|any)\b)", "", clause, flags=re.IGNORECASE) for clause in clauses]
    clauses = [re.sub(r"^(?:each|any)\b", "every", clause, flags=re.IGNORECASE) for clause in clauses]
    if clauses and re.match(r"(?:true or false|yes or no|right or wrong)$", clauses[-1], re.IGNORECASE):
        clauses.pop()
    if len(clauses) < 3 or not re.match(_QUANTIFIER, clauses[0], re.IGNORECASE):
        clauses = [
            clause
            for clause in clauses
            if not re.fullmatch(r"(?:true or false|my \w+ (?:claims|says)|consider)", clause, re.IGNORECASE)
        ]
    if clauses and _JUDGED.match(clauses[-1]):
        clauses.pop()
    if not 2 <= len(clauses) <= 10:
        return
    *premises, asked = clauses
    stated = ". ".join(premise[0].upper() + premise[1:] for premise in premises)
    yield f"{stated}. Does it follow that {_statement(asked)}?"
    if match := _POSSIBLE.match(asked):
        yield f"{stated}. Can we conclude that no {match[1]} is {match[2]}?"
    else:
        yield f"{stated}. {asked[0].upper() + asked[1:]}?"


def is_about_possibility(request: str) -> bool:
    """True where "it follows" means "no": the request asks for the impossibility of what the question asks for."""
    return "Can we conclude that no " in request


def _statement(asked: str) -> str:
    asked = _SURE_OF.sub("", _SURE.sub("", asked))
    if match := _MODAL.match(asked):
        verb = "are" if re.match(r"(?:all|some|no)\b", match[1], re.IGNORECASE) else "is"
        return f"{match[1]} {verb} {match[2]}"
    return asked
