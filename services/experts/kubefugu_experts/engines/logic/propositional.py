"""The questions about propositional formulas."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import z3

from kubefugu_experts.engines.logic.formula import Formula, NotAFormulaError, is_compound
from kubefugu_experts.engines.logic.solving import entails, model, satisfiable

_MAX_ROWS = 16


def _pieces(text: str) -> list[str]:
    """Formulas separated by commas, semicolons or numbers."""
    text = re.sub(r"(?:^|\s)\(?\d\s*[.)]\s*", "; ", text)
    pieces = [piece for piece in re.split(r"[,;]\s*(?:and\s+)?|\.\s+", text) if piece.strip(" .")]
    return [re.sub(r"^(?:and|that)\s+", "", piece.strip()) for piece in pieces]


_F = r"(.+?)"
_LOGICAL = (
    r"(?:propositional |logical |boolean |following |given )*(?:formula|statement|proposition|"
    r"expression|sentence|compound proposition)?"
)
_CLASSIFY = (
    re.compile(
        rf"^(?:is|check (?:if|whether)|determine (?:if|whether)|decide (?:if|whether)|does|if|"
        rf"whether) (?:the )?{_LOGICAL}:? ?{_F}[:,]? (?:is )?(?:always |logically |"
        rf"necessarily )?(?:an? )?(tautology|tautological|valid|always true|logically true|"
        rf"logically valid|contradiction|contradictory|always false|unsatisfiable|satisfiable|"
        rf"consistent|contingent|contingency|true|false)(?:(?:,? or| nor)? (?:an? |is it )?(?:not|"
        rf"tautology|contradiction|contingency|contingent|satisfiable|unsatisfiable|"
        rf"neither))*(?: formula| statement| in all cases| under every (?:assignment|"
        rf"interpretation)| for all (?:truth )?values(?: of .*)?)?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:classify|what (?:kind|type) of (?:formula|proposition|"
        rf"statement) is) (?:the )?{_LOGICAL}:? ?{_F}(?: as (?:an? )?(?:tautology|contradiction|"
        rf"contingency|contingent)[, ]*(?:(?:or )?(?:an? )?(?:tautology|contradiction|contingency|"
        rf"contingent)[, ]*)*)?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:is|are) (?:there|any) (?:an? |any )?(?:truth )?(?:assignment|valuation|"
        rf"interpretation|model)s?(?: of (?:truth )?values)? (?:that (?:makes?|satisfies|satisfy)|"
        rf"making|satisfying|for|which makes) (?:the )?{_LOGICAL}:? ?{_F}(?: true)?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^can (?:the )?{_LOGICAL}:? ?{_F} (?:ever )?be (true|satisfied|false)(?: together|"
        rf" at the same time| simultaneously)?$",
        re.IGNORECASE,
    ),
)


_SATISFIABILITY = re.compile(
    rf"^(?:decide|check|determine|test|find)(?: the)? satisfiability (?:of|for) (?:the )?{_LOGICAL}:? ?{_F}$", re.IGNORECASE
)
_HOLDS = re.compile(
    rf"^(?:does|is|do) (?:the )?{_LOGICAL}:? ?{_F} (?:hold|holds|true|come out true) (?:under|in|"
    rf"for|on|with) (?:all|every|each|any)"
    r"(?: possible)?(?: truth)? ?(?:assignments?|interpretations?|cases?|rows?|valuations?|circumstances?|values?)(?: of .*)?$",
    re.IGNORECASE,
)


def classify(text: str) -> str | None:
    """Is p or not p a tautology? Is (a and not a) satisfiable?"""
    if match := _SATISFIABILITY.match(text):
        return _classified(Formula(match[1]), "satisfiable")
    if match := _HOLDS.match(text):
        return _classified(Formula(match[1]), "tautology")
    for pattern in _CLASSIFY:
        match = pattern.match(text)
        if match is None:
            continue
        try:
            formula = Formula(match[1])
        except NotAFormulaError:
            continue
        if not is_compound(formula):
            return None
        asked = match[2].lower() if pattern.groups > 1 else ""
        if asked in ("true", "false") and re.search(r"\b(?:always|necessarily|logically)\b", text, re.IGNORECASE):
            asked = f"always {asked}"
        return _classified(formula, asked)
    return None


def _classified(formula: Formula, asked: str) -> str:
    can, must = satisfiable([formula.z3]), not satisfiable([z3.Not(formula.z3)])
    kind = (
        "a tautology (true under every assignment)"
        if must
        else "a contingency (true under some assignments, false under others)"
        if can
        else "a contradiction (false under every assignment)"
    )
    if "tautolog" in asked or asked in ("valid", "always true", "logically true", "logically valid"):
        return f"{'Yes' if must else 'No'}, it is {kind}."
    if asked.startswith("contradict") or asked in ("always false", "unsatisfiable"):
        return f"{'No' if can else 'Yes'}, it is {kind}."
    if asked.startswith("contingen"):
        return f"{'Yes' if can and not must else 'No'}, it is {kind}."
    if can and not must:
        return f"Yes, it is satisfiable, for example with {tell_model(formula)}; it is not a tautology."
    return f"{'Yes' if can else 'No'}, it is {'satisfiable and ' if can else 'unsatisfiable: '}{kind}."


def tell_model(formula: Formula) -> str:
    """An assignment that makes the formula true: "A = true, B = false"."""
    found = model([formula.z3])
    if found is None:
        return "none"
    return ", ".join(
        f"{name} = {'true' if z3.is_true(found.eval(z3.Bool(name), model_completion=True)) else 'false'}"
        for name in formula.names
    )


_EQUIVALENT = (
    re.compile(
        rf"^(?:are|is|check (?:if|whether)|determine (?:if|whether)|if|"
        rf"whether) (?:the )?(?:formulas?|statements?|propositions?|expressions?)?:? ?{_F} (?:and|"
        rf"&|,|vs) {_F} (?:are )?(?:logically )?(?:equivalent|the same|equal)(?: to each other)?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:is|does|are|do) (?:the )?(?:formula|statement|proposition|"
        rf"expression)?:? ?{_F} (?:logically )?(?:equivalent to|the same as|equal to|equal) {_F}$",
        re.IGNORECASE,
    ),
)


def equivalent(text: str) -> str | None:
    """Are p -> q and not q -> not p equivalent?"""
    for pattern in _EQUIVALENT:
        for left, right in _splits(text, pattern):
            try:
                first, second = Formula(left), Formula(right)
            except NotAFormulaError:
                continue
            if not (is_compound(first) or is_compound(second)):
                continue
            same = not satisfiable([first.z3 != second.z3])
            return f"{'Yes' if same else 'No'}, they are {'' if same else 'not '}logically equivalent."
    return None


def _splits(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Every way to part "F and G" into two formulas, for "and" may also be an operator."""
    match = pattern.match(text)
    if match is None:
        return
    if " and " not in text.lower():
        yield match[1], match[2]
        return
    body = re.sub(
        r"^(?:are|is|does|check (?:if|whether)|determine (?:if|whether)|if|"
        r"whether) (?:the )?(?:formulas?|statements?|propositions?|expressions?)?:? ?",
        "",
        text,
        flags=re.IGNORECASE,
    )
    body = re.sub(r" (?:are )?(?:logically )?(?:equivalent|the same|equal)(?: to each other)?$", "", body, flags=re.IGNORECASE)
    for separator in (r" equivalent to ", r" the same as ", r" equal to ", r" and "):
        for found in re.finditer(separator, body, re.IGNORECASE):
            left, right = body[: found.start()], body[found.end() :]
            if left.count("(") == left.count(")"):
                yield left.strip(" '\""), right.strip(" '\"")
    yield match[1], match[2]


_FOLLOW = (
    r"(?:does it (?:logically |necessarily )?follow that|can (?:we|you|one|i) (?:logically |"
    r"validly )?(?:conclude|infer|deduce|derive)(?: that)?|does this (?:entail|imply)|"
    r"does that (?:entail|imply)|do these (?:entail|imply)|is it (?:valid|correct|"
    r"logical) to conclude(?: that)?|is it (?:necessarily )?(?:true|the case) that|must it be (?:true|"
    r"the case) that|does|is|must)"
)
_ENTAILMENT = (
    re.compile(
        rf"^(?:from|given(?: that)?|if|suppose(?: that)?|assume(?: that)?|assuming(?: that)?|let|"
        rf"premises?:?|knowing(?: that)?|the premises(?: are)?:?|"
        rf"since)?:? ?{_F}[,.;]? {_FOLLOW}:? {_F}(?: (?:follow|follows|hold|holds|be true|true|"
        rf"necessarily true|have to be true|follow logically|be derived|valid|necessarily hold))?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:do|does) (?:the )?(?:premises?|formulas?|"
        rf"statements?)?:? ?{_F} (?:logically )?(?:entails?|implies|imply|yield|prove) {_F}$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:is )?(?:the argument|the inference|this argument|"
        rf"the following argument)?:? ?(?:premises?:? ?)?{_F}[,.;]? (?:conclusion:|therefore,?|"
        rf"hence,?|so,?|thus,?|⊢|\|-|∴|\|=|⊨|entails) {_F}[,.;?]*(?: (?:is (?:this|the|"
        rf"that)(?: argument| inference)? )?(?:valid|a valid argument|correct|logically valid|"
        rf"sound))?(?: argument)?$",
        re.IGNORECASE,
    ),
)


def entailment(text: str) -> str | None:
    """From p -> q and p, does it follow that q?"""
    for pattern in _ENTAILMENT:
        match = pattern.match(text)
        if match is None:
            continue
        try:
            premises = _premises(match[1])
            conclusion = Formula(
                re.sub(
                    r"[.?,;]? ?is (?:this|the|that)(?: argument| inference)? (?:valid|correct).*$",
                    "",
                    match[2],
                    flags=re.IGNORECASE,
                )
            )
        except NotAFormulaError:
            continue
        if not any(is_compound(premise) for premise in premises):
            continue
        if not satisfiable([premise.z3 for premise in premises]):
            return "The premises contradict each other, so everything follows from them."
        follows = entails([premise.z3 for premise in premises], conclusion.z3)
        if follows:
            return "Yes, it follows."
        refuted = entails([premise.z3 for premise in premises], z3.Not(conclusion.z3))
        return f"No, {conclusion.text} does not follow{': it is false whenever the premises hold' if refuted else ''}."
    return None


def _premises(text: str) -> list[Formula]:
    text = re.sub(r"^(?:the )?(?:premises?|formulas?|statements?)(?: are)?:? ", "", text.strip(), flags=re.IGNORECASE)
    try:
        return [Formula(part) for piece in _pieces(text) for part in _conjuncts(piece)]
    except NotAFormulaError:
        return [Formula(piece) for piece in _pieces(text)]


def _conjuncts(text: str) -> list[str]:
    """In a list of premises a plain "and" parts premises ("p -> q and p"), unless it stands in parentheses or after an "if"."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"[()]|\b(?:if|then|both|and|that)\b", text, re.IGNORECASE):
        word = match[0].lower()
        if word == "(":
            depth += 1
        elif word in ("if", "both"):
            depth += 10
        elif word == "then":
            depth = depth % 10
        elif word == ")":
            depth -= 1
        elif word == "and" and depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


_VALUES = (
    r"((?:[A-Za-z](?: ?, ?[A-Za-z])*(?: and [A-Za-z])? ?(?:=|is|are|:=)(?: both)? ?(?:true|false|"
    r"[TF01])(?:,? and |, |; | ?)?)+)"
)
_EVALUATE = (
    re.compile(
        rf"^(?:if|given(?: that)?|when|suppose(?: that)?|let|assume(?: that)?|with|"
        rf"where) {_VALUES},? (?:then )?(?:what is|what's|what would be|evaluate|determine|find|"
        rf"compute|is)(?: the (?:truth )?value of)?(?: the)? {_LOGICAL}:? ?{_F}(?: true| false|"
        rf" true or false)?$",
        re.IGNORECASE,
    ),
    re.compile(
        rf"^(?:what is|what's|evaluate|determine|find|compute|"
        rf"is)(?: the (?:truth )?value of)? (?:the )?{_LOGICAL}:? ?{_F}(?: true| false|"
        rf" true or false)?,? (?:if|when|where|given(?: that)?|for|with|"
        rf"assuming(?: that)?) {_VALUES}$",
        re.IGNORECASE,
    ),
)


def evaluate(text: str) -> str | None:
    """If P is true and Q is false, what is P and not Q?"""
    for number, pattern in enumerate(_EVALUATE):
        match = pattern.match(text)
        if match is None:
            continue
        values, body = (match[1], match[2]) if number == 0 else (match[2], match[1])
        formula = Formula(body)
        assignment = _assignment(values)
        if not set(formula.names) <= set(assignment) or not (is_compound(formula)):
            continue
        fixed = [z3.Bool(name) == z3.BoolVal(value) for name, value in assignment.items()]
        return f"It is {'true' if satisfiable([*fixed, formula.z3]) else 'false'}."
    return None


def _assignment(text: str) -> dict[str, bool]:
    assignment = {}
    for names, value in re.findall(
        r"([A-Za-z](?: ?, ?[A-Za-z])*(?:,? and [A-Za-z])?) ?(?:=|is|are|:=)(?: both)? ?(true|false|[TF01])\b",
        text,
        re.IGNORECASE,
    ):
        for name in re.findall(r"\b[A-Za-z]\b", names):
            assignment[name] = value.lower() in ("true", "t", "1")
    return assignment


_TABLE = re.compile(
    rf"^(?:(?:what is|what's|give|write|show|make|construct|draw|create|print|build|generate|find|"
    rf"compute) )?(?:the |an? )?truth[- ]table (?:of|for) (?:the )?{_LOGICAL}:? ?{_F}$",
    re.IGNORECASE,
)
_MODELS = re.compile(
    rf"^(?:how many|what is the number of|the number of|number of|count the) (?:different |"
    rf"distinct |satisfying |truth )*(?:assignments?|models?|interpretations?|valuations?|rows?|"
    rf"solutions?|ways)(?: of (?:the )?(?:truth table|variables))?(?: to)? (?:satisfy|satisfies|"
    rf"make|makes|making|that satisfy|that make|satisfying|does|are there for|of|for|"
    rf"in the truth table of|have) (?:the )?{_LOGICAL}:? ?{_F}(?: true| have| is true| are true)?$",
    re.IGNORECASE,
)
_FIND = re.compile(
    rf"^(?:find|give|show|what is|name)(?: me)? (?:an? |the |some )?(?:satisfying |"
    rf"truth )*(?:assignment|model|valuation|interpretation|"
    rf"values?)(?: of truth values)?(?: for the variables)? (?:that (?:satisfies|makes|satisfy|"
    rf"make)|satisfying|making|for|of|which makes) (?:the )?{_LOGICAL}:? ?{_F}(?: true)?$",
    re.IGNORECASE,
)


def tables(text: str) -> str | None:
    """Truth tables, the number of models, one model."""
    if match := _TABLE.match(text):
        return _table(Formula(match[1]))
    if match := _MODELS.match(text):
        formula = Formula(match[1])
        return (
            f"There are {sum(value for _, value in _rows(formula))} satisfying assignments." if is_compound(formula) else None
        )
    if match := _FIND.match(text):
        formula = Formula(match[1])
        if not is_compound(formula):
            return None
        return f"It is true with {tell_model(formula)}." if satisfiable([formula.z3]) else "There is none: it is unsatisfiable."
    return None


def _rows(formula: Formula) -> Iterator[tuple[tuple[bool, ...], bool]]:
    variables = [z3.Bool(name) for name in formula.names]
    for values in itertools.product((True, False), repeat=len(variables)):
        replaced: Any = z3.substitute(
            formula.z3, *((variable, z3.BoolVal(value)) for variable, value in zip(variables, values, strict=True))
        )
        yield values, z3.is_true(z3.simplify(replaced))


def _table(formula: Formula) -> str | None:
    if 2 ** len(formula.names) > _MAX_ROWS or not formula.names:
        return None
    lines = [" | ".join([*formula.names, formula.text])]
    lines += [" | ".join("T" if value else "F" for value in (*values, result)) for values, result in _rows(formula)]
    return "\n".join(lines)
