"""Simplify, expand, factor, evaluate: one expression in, one out."""

from __future__ import annotations

import re

import sympy

from kubefugu_experts.engines.algebra.convert import Expr, symbol
from kubefugu_experts.engines.algebra.frames import Formula, read_formula
from kubefugu_experts.engines.algebra.telling import tell, tell_number
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import Rounding

_ASK = r"^(?:(?:find|give|write|get|compute|calculate|determine|what is|what's|show|state) )?(?:the |an? )?"
_OF = r"(?: (?:of|for|form of))?(?: the| this)?(?: following)? ?:? ?"
_TAIL = (
    r"(?: (?:completely|fully|out|further|as much as possible|over the (?:integers|reals|rationals)|"
    r"into (?:its )?(?:factors|linear factors|irreducible factors|a sum|simplest form|lowest terms)|"
    r"to (?:its )?(?:simplest form|lowest terms)|in (?:lowest terms|simplest form|full)))*$"
)
_FACTOR = re.compile(
    _ASK + rf"(?:factor(?:i[sz]e|ed|ing)?(?: form| out)?|factori[sz]ation|factored form)\b{_OF}(.+?){_TAIL}", re.IGNORECASE
)
_EXPAND = re.compile(
    _ASK + rf"(?:expand(?:ed)?(?: form| out)?|expansion|multiply out|multiply the (?:brackets|parentheses|"
    rf"factors|binomials)(?: in| of)?|distribute|foil|open the brackets(?: in| of)?|"
    rf"remove the (?:brackets|parentheses)(?: in| from)?|"
    rf"multiply)(?: and simplify)?\b{_OF}(.+?){_TAIL}",
    re.IGNORECASE,
)
_SIMPLIFY = re.compile(
    _ASK + rf"(?:simplify|simplified(?: form)?|simplification|reduce|combine like terms(?: in| of)?|"
    rf"collect like terms(?: in| of)?|simplest form|"
    rf"rationali[sz]e(?: the denominator of)?)\b{_OF}(.+?){_TAIL}",
    re.IGNORECASE,
)
_FRACTIONS = re.compile(
    _ASK + rf"(?:partial fractions?(?: decomposition| expansion)?|"
    rf"decompose into partial fractions){_OF}(.+?)(?: into partial fractions)?$",
    re.IGNORECASE,
)
_APART = re.compile(r"^decompose (.+) into partial fractions$", re.IGNORECASE)
_SPLIT = re.compile(
    r"^(?:split|decompose|write|break|express|rewrite) (.+) (?:into|as) (?:an? |its |"
    r"the )?(?:product of )?(?:linear |irreducible )?(?:factors|product)(?: form)?$",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"^(?:what is |what's )?(.+?),? (?:when |fully |completely )?(?:expanded|multiplied out)(?: out| fully| completely)?$",
    re.IGNORECASE,
)
_WITHOUT = re.compile(r"^(?:write|express|rewrite|give|show) (.+) without (?:any )?(?:brackets|parentheses)$", re.IGNORECASE)
_SQUARE = re.compile(r"^(?:complete|completing) the square (?:for|of|in|on):? (.+)$", re.IGNORECASE)


def reshape(text: str, rounding: Rounding) -> str | None:
    """Factor, expand, simplify, decompose."""
    if (match := _APART.match(text)) or (match := _FRACTIONS.match(text)):
        return f"It is {tell(sympy.apart(read_formula(match[1]).expression))}."
    if match := _SQUARE.match(text):
        return _completed_square(read_formula(match[1]))
    if (match := _FACTOR.match(text)) or (match := _SPLIT.match(text)):
        formula = read_formula(match[1])
        return f"The factored form is {tell(sympy.factor(formula.expression))}." if formula.variables else None
    if match := _EXPAND.match(text) or _WITHOUT.match(text) or _DONE.match(text):
        body = re.sub(r"\) (?:by|and|with|times) \(", ")*(", match[1])
        formula = read_formula(body)
        return f"It is {tell(sympy.expand(formula.expression))}." if formula.variables else _number(formula, rounding)
    if match := _SIMPLIFY.match(text):
        formula = read_formula(match[1])
        return (
            f"The simplified form is {tell(_simplest(formula.expression))}."
            if formula.variables
            else _number(formula, rounding)
        )
    return None


def _simplest(expression: Expr) -> Expr:
    forms = [sympy.simplify(expression), sympy.cancel(expression)]
    if expression.is_polynomial():
        forms = [sympy.expand(expression)]
    return min(forms, key=lambda form: len(sympy.sstr(form)))


def _completed_square(formula: Formula) -> str | None:
    if len(formula.variables) != 1:
        return None
    by = symbol(formula.variables[0])
    polynomial = sympy.Poly(formula.expression, by)
    if polynomial.degree() != 2:
        return None
    a, b, c = polynomial.all_coeffs()
    square = (by + b / (2 * a)) ** 2
    return f"It is {tell(a * square + sympy.nsimplify(c - b**2 / (4 * a)))}."


def _number(formula: Formula, rounding: Rounding) -> str:
    value = sympy.nsimplify(formula.expression) if formula.expression.is_Rational else sympy.simplify(formula.expression)
    if value.has(sympy.zoo, sympy.nan):
        raise ZeroDivisionError
    return f"The result is {tell_number(value, rounding, decimal=formula.decimal)}."


_EVALUATE = re.compile(
    r"^(?:(?:find|give|get|compute|calculate|determine|what is|what's|evaluate|work out|"
    r"tell) )?(?:the )?(?:value )?(?:of )?(?:the )?(?:expression |function |polynomial )?(.+?),? "
    r"(?:at|when|for|if|where|with|given(?: that)?|by substituting|"
    r"after substituting) ((?:[a-zA-Z] ?(?:=|is|equals) ?-?[\w./^()]+(?:,? ?(?:and )?)?)+)$",
    re.IGNORECASE,
)
_SUBSTITUTE = re.compile(
    r"^(?:substitute|plug(?: in)?|put|insert|replace) ((?:[a-zA-Z] ?(?:=|is|equals|by|"
    r"with) ?-?[\d./^()]+(?:,? ?(?:and )?)?)+) (?:into|in|for x in)\b(?: the)?(?: expression|"
    r" formula| function| polynomial)? ?:? ?(.+)$",
    re.IGNORECASE,
)
_IF_EVALUATE = re.compile(
    r"^(?:if|when|given(?: that)?|let|suppose|for|with) ((?:[a-zA-Z] ?(?:=|is|"
    r"equals) ?-?[\d./^()]+(?:,? ?(?:and )?)?)+),? ?(?:then )?(?:what is|what's|find|compute|"
    r"calculate|evaluate|determine)(?: the value of)? (.+)$",
    re.IGNORECASE,
)
_FUNCTION = re.compile(
    r"^(?:if|given(?: that)?|let|suppose|for) ([a-zA-Z]) ?\(([a-zA-Z])\) ?= ?(.+?),? "
    r"?(?:then )?(?:what is|what's|find|compute|calculate|evaluate|"
    r"determine)(?: the value of)? \1 ?\((-?[\w./]+)\)$",
    re.IGNORECASE,
)
_FUNCTION_AFTER = re.compile(
    r"^(?:what is|what's|find|compute|calculate|evaluate|"
    r"determine)(?: the value of)? ([a-zA-Z]) ?\((-?[\d./]+)\),? (?:if|when|where|for|"
    r"given(?: that)?) \1 ?\(([a-zA-Z])\) ?= ?(.+)$",
    re.IGNORECASE,
)
_PAIR = re.compile(r"([a-zA-Z]) ?(?:=|is|equals) ?(-?[\w./^()]+)")


def evaluate(text: str, rounding: Rounding) -> str | None:
    """The value of an expression at a point; f(3) where f(x) = x^2."""
    if match := _FUNCTION.match(text):
        return _at(match[3], {match[2]: match[4]}, rounding)
    if match := _FUNCTION_AFTER.match(text):
        return _at(match[4], {match[3]: match[2]}, rounding)
    if match := _IF_EVALUATE.match(text) or _SUBSTITUTE.match(text):
        return _at(match[2], dict(_PAIR.findall(match[1])), rounding)
    if (match := _EVALUATE.match(text)) and "=" not in re.sub(r"^[a-zA-Z] ?\([a-zA-Z]\) ?=|^y ?=", "", match[1]):
        return _at(match[1], dict(_PAIR.findall(match[2])), rounding)
    return None


def _at(body: str, values: dict[str, str], rounding: Rounding) -> str | None:
    formula = read_formula(body, tuple(values))
    if not set(formula.variables) <= set(values) or not formula.variables:
        return None
    points = {symbol(name): read_formula(value).expression for name, value in values.items()}
    value = sympy.simplify(formula.expression.subs(points))
    if value.has(sympy.zoo, sympy.nan):
        raise ZeroDivisionError
    return (
        f"The value is {tell_number(value, rounding, decimal=formula.decimal or any('.' in text for text in values.values()))}."
    )


_ARITHMETIC = re.compile(
    r"^(?:(?:please )?(?:state|find|give|get|compute|calculate|calc|determine|what is|what's|"
    r"what are|whats|evaluate|work out|how much is|how much are|solve|tell me|"
    r"add|sum|subtract|multiply|divide|take|can you do|do|figure out|what do (?:you|we|"
    r"i) get (?:for|from|if you compute|when you compute)|what does|what do|perform) )?(?:the )?"
    r"(?:(?:final )?(?:answer|result|value|solution|outcome)(?: (?:to|of|for|"
    r"from))?(?: the)? ?)?(?:(?:following|given)(?: |(?=:)))?"
    r"(?:(?:arithmetic |math(?:ematical)? |multiplication |division |addition |subtraction |"
    r"complex )*(?:problem|expression|calculation|operation|sum|computation|numbers?|"
    r"multiplication|division|addition|subtraction|exponentiation)s?)?(?: of)? ?:? ?(.+?)"
    r"(?: (?:equal|equals|make|makes|give|gives|come to|is|be|=|is how much|is what|equals what|makes what))?[ =?]*$",
    re.IGNORECASE,
)


_MORE = re.compile(r"^(?:what is |what number is |the number )?([\d.]+) (more|less|fewer) than ([\d.]+)$", re.IGNORECASE)


def arithmetic(text: str, rounding: Rounding) -> str | None:
    """A bare expression: a number's value, or the simplest form where it has variables."""
    text = (
        re.sub(r"^.*\.\s+(?=[-(\d]|Compute |Calculate )", "", text)
        if re.match(r"(?:solve|your task)", text, re.IGNORECASE)
        else text
    )
    text = _MORE.sub(lambda match: f"{match[3]} {'+' if match[2].lower() == 'more' else '-'} {match[1]}", text)
    match = _ARITHMETIC.match(text)
    for body in dict.fromkeys((text, match[1] if match else text)):
        try:
            formula = read_formula(re.sub(r"\s*=\s*\??$", "", body))
        except FormulaError:
            continue
        if not re.search(r"\d|π|\bpi\b", body) or (not _has_operation(body) and not formula.variables):
            continue
        if formula.variables:
            if re.fullmatch(r"[\d.]*\s*[a-zA-Z]{1,2}(?:\^?\d)?", body.strip()) or not re.search(r"[-+*/^()]", body):
                continue
            return f"The simplified form is {tell(_simplest(formula.expression))}."
        return _number(formula, rounding)
    return None


def _has_operation(text: str) -> bool:
    """More than a bare number or date-like digits."""
    if re.fullmatch(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\s*", text):
        return False
    return bool(re.search(r"[-+*/^%!√×÷|]|[a-z]{2,}|\*\*|²|³", text, re.IGNORECASE))
