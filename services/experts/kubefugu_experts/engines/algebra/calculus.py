"""Derivatives, integrals and limits."""

from __future__ import annotations

import re

import sympy

from kubefugu_experts.engines.algebra.convert import Expr
from kubefugu_experts.engines.algebra.frames import main_variable, read_formula
from kubefugu_experts.engines.algebra.telling import tell, tell_number
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import Rounding

_ORDERS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "1st": 1,
    "2nd": 2,
    "3rd": 3,
    "4th": 4,
    "5th": 5,
    "double": 2,
}
_VARIABLE = r"([a-zA-Zθ])"
_RESPECT = re.compile(
    rf",? ?\b(?:with respect to|w\.?r\.?t\.?|in terms of|relative to|for the variable)\s+(?:the variable )?{_VARIABLE}\b",
    re.IGNORECASE,
)
_AT = re.compile(
    rf",? ?\b(?:evaluated )?(?:at|when|where|for|if|given)(?: the point)?(?: where)? {_VARIABLE} "
    rf"?(?:=|equals|is) ?(-?[\w./()]+)$",
    re.IGNORECASE,
)
_HIGHER = re.compile(rf"\b({'|'.join(_ORDERS)})(?:[- ]order)?\s+(?=derivative)", re.IGNORECASE)
_DERIVATIVE = re.compile(
    r"^(?:(?:find|compute|calculate|determine|what is|what's|take|evaluate|get|work out|write|"
    r"name|state|what would be|what are|give|state|provide|show) )?"
    r"(?:the |its |a )?(?:value of )?(?:the )?(?:partial )?(?:derivatives?|differential|"
    r"rate of change|slope(?: of the tangent(?: line)?)?|d/d[a-zA-Z])"
    r"(?: (?:of|for|to))?(?: the (?:function|curve|expression|graph)(?: of)?)? ?:? ?(.+)$",
    re.IGNORECASE,
)
_DIFFERENTIATE = re.compile(
    r"^(?:differentiate|derive|find d/d[a-zA-Z](?: of)?)(?: the (?:function|expression))? ?:? ?(.+)$", re.IGNORECASE
)
_LEIBNIZ = re.compile(
    rf"^(?:(?:find|compute|calculate|what is|what's|evaluate) )?d\^?(\d?)/d{_VARIABLE}\^?\1 ?(?:of )?[\[(]?(.+?)[\])]?$"
)
_DY = re.compile(
    r"^(?:(?:find|compute|calculate|what is|what's|determine) )?d([a-zA-Z])/d([a-zA-Z]),? (?:if|"
    r"for|when|of|where|given(?: that)?) (?:[a-zA-Z](?:\([a-zA-Z]\))? ?= ?)?(.+)$",
    re.IGNORECASE,
)
_PRIME = re.compile(
    r"^(?:(?:find|compute|calculate|what is|what's|determine|"
    r"evaluate) )?([a-zA-Z])('{1,3}) ?\(([-\w./]+)\),? ?(?:if|for|when|of|where|given(?: that)?) "
    r"(?:[a-zA-Z] ?\([a-zA-Z]\) ?= ?)(.+)$",
    re.IGNORECASE,
)
_IF_THEN_PRIME = re.compile(
    r"^(?:if|given|let|suppose|for) (?:[a-zA-Z] ?\([a-zA-Z]\) ?= ?)(.+?),? (?:then )?(?:what is|"
    r"what's|find|compute|calculate|determine) (?:([a-zA-Z])('{1,3}) ?\(([-\w./]+)\)|"
    r"the (?:derivative|slope)(?: of [a-zA-Z])?(?: ?\([a-zA-Z]\))?)$",
    re.IGNORECASE,
)


_STEEP = re.compile(r"^how steep is (?:the )?(?:curve|graph|function|line)?(?: of)? ?:? ?(.+)$", re.IGNORECASE)


def derivative(text: str, rounding: Rounding) -> str | None:
    """Differentiate x^2 with respect to x; d/dx sin(x); f'(2) for f(x) = x^3."""
    text = _STEEP.sub(r"slope of \1", text)
    order, text = _order(text)
    if match := _PRIME.match(text):
        return _differentiated(match[4], None, len(match[2]), _point(match[3]), rounding)
    if match := _IF_THEN_PRIME.match(text):
        return _differentiated(match[1], None, len(match[3] or "'") if match[2] else order, _point(match[4]), rounding)
    if match := _DY.match(text):
        return _differentiated(match[3], match[2], order, None, rounding)
    if match := _LEIBNIZ.match(text):
        return _differentiated(_balanced(match[3], text), match[2], int(match[1] or order), None, rounding)
    match = _DERIVATIVE.match(text) or _DIFFERENTIATE.match(text)
    if match is None:
        return None
    rest = match[1]
    point = None
    if at := _AT.search(rest):
        rest, point = rest[: at.start()], at[2]
    variable = None
    if respect := _RESPECT.search(rest):
        variable = respect[1]
        rest = rest[: respect.start()] + rest[respect.end() :]
        if point is None and (at := _AT.search(rest)):
            rest, point = rest[: at.start()], at[2]
    if match.re is _DERIVATIVE and "slope" in text.lower() and point is None:
        return None
    return _differentiated(rest, variable, order, point, rounding)


def _order(text: str) -> tuple[int, str]:
    match = _HIGHER.search(text)
    if match is None:
        return 2 if re.match(r"differentiate .* twice$", text, re.IGNORECASE) else 1, re.sub(r" twice$", "", text)
    return _ORDERS[match[1].lower()], text[: match.start()] + text[match.end() :]


def _point(text: str | None) -> str | None:
    return None if not text or re.fullmatch(r"[a-zA-Z]", text) else text


def _balanced(text: str, whole: str) -> str:
    """The bracket that a pattern cut off is put back where it belongs to the formula."""
    return text + ")" * max(0, text.count("(") - text.count(")"))


def _differentiated(text: str, variable: str | None, order: int, point: str | None, rounding: Rounding) -> str:
    formula = read_formula(text, (variable,) if variable else ())
    by = main_variable(formula.variables, variable)
    result = sympy.diff(formula.expression, by, order)
    if point is not None:
        value = sympy.simplify(result.subs(by, read_formula(point).expression))
        return f"The derivative at {by} = {point} is {tell_number(value, rounding)}."
    name = {1: "derivative", 2: "second derivative", 3: "third derivative"}.get(order, f"derivative of order {order}")
    return f"The {name} is {tell(_tidy(result))}."


def _tidy(expression: Expr) -> Expr:
    """Whichever of the plain, simplified and expanded forms is shortest."""
    forms = [expression, sympy.simplify(expression)]
    if expression.is_polynomial():
        forms = [sympy.expand(expression)]
    return min(forms, key=lambda form: len(sympy.sstr(form)))


_INTEGRAL_SIGN = re.compile(r"^(?:.*?)(?:∫|\\int|\bint\b)\s*(.+?)\s*\bd([a-zA-Zθ])$", re.IGNORECASE)
_SIGN_BOUNDS = re.compile(r"^(?:_\{?|from )?\(?(-?[\w./]+)\)?\}? ?(?:\^\{?|\bto )\(?(-?[\w./]+)\)?\}? ?(?:of )?(.+)$")
_INTEGRAL = re.compile(
    r"^(?:(?:find|compute|calculate|determine|what is|what's|take|evaluate|get|work out|solve|"
    r"give|state|provide|show|what do (?:you|we|i) get (?:when|if) (?:you|we|i)) )?"
    r"(?:the |an? )?(?:(?:indefinite|definite) )?(?:integrals?|antiderivatives?|anti-derivatives?|"
    r"primitives?|integrate|area (?:under|below|beneath)(?: the)?(?: curve| graph)?(?: of)?)"
    r"(?: (?:of|for|from))?(?: the (?:function|curve|expression))? ?:? ?(.+)$",
    re.IGNORECASE,
)
_HAS_DERIVATIVE = re.compile(
    r"^(?:what|which|find a|give a|name a) (?:function|expression) (?:has|with|having|"
    r"whose)(?: the| as its)? derivative(?: is)?(?: equal to)? (.+)$",
    re.IGNORECASE,
)
_BOUNDS = (
    re.compile(
        rf",? ?\b(?:from|between|over|on)(?: {_VARIABLE} ?=)? ?(-?[\w./*]+) (?:to|and|up to|until|"
        rf"through)(?: {_VARIABLE} ?=)? ?(-?[\w./*]+)\b",
        re.IGNORECASE,
    ),
    re.compile(
        rf",? ?\b(?:from|between|over|on)(?: the interval)?(?: {_VARIABLE} ?=)? ?\[(-?[\w./*]+), ?()(-?[\w./*]+)\]",
        re.IGNORECASE,
    ),
)


def integral(text: str, rounding: Rounding) -> str | None:
    """Integrate 2x dx; the integral of x^2 from 0 to 1; ∫ sin(x) dx."""
    text = re.sub(
        r"∫([₀-₉]+)([⁰¹²³⁴-⁹]+)", lambda match: f"∫ from {_plain_digits(match[1])} to {_plain_digits(match[2])} of ", text
    )
    if match := _INTEGRAL_SIGN.match(text):
        if not re.fullmatch(
            r"(?:(?:find|compute|calculate|evaluate|what is|what's|determine|solve|the|indefinite|"
            r"definite|integral|antiderivative|of|following|this)[ :]*)*(?:∫|\\int|int)?.*",
            text.split("∫")[0],
            re.IGNORECASE,
        ):
            return None
        if bounds := _SIGN_BOUNDS.match(match[1]):
            return _integrated(bounds[3], match[2], (bounds[1], bounds[2]), rounding)
        if "∫" in text or "\\int" in text:
            return _integrated(match[1], match[2], None, rounding)
    text = _HAS_DERIVATIVE.sub(r"antiderivative of \1", text)
    match = _INTEGRAL.match(text)
    if match is None:
        return None
    rest, limits = match[1], None
    for pattern in _BOUNDS:
        if found := pattern.search(rest):
            limits = (found[2], found[4])
            rest = rest[: found.start()] + " " + rest[found.end() :]
            break
    variable = None
    if respect := _RESPECT.search(rest):
        variable = respect[1]
        rest = rest[: respect.start()] + rest[respect.end() :]
    if tail := re.search(rf" ?\bd{_VARIABLE}\s*$", rest):
        variable, rest = tail[1], rest[: tail.start()]
    if limits is None and "area" in text.lower():
        return None
    return _integrated(rest, variable, limits, rounding)


def _plain_digits(text: str) -> str:
    return text.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", "01234567890123456789"))


def _integrated(text: str, variable: str | None, limits: tuple[str, str] | None, rounding: Rounding) -> str:
    formula = read_formula(text, (variable,) if variable else ())
    by = main_variable(formula.variables, variable)
    if limits is None:
        result = sympy.integrate(formula.expression, by)
        if result.has(sympy.Integral):
            raise FormulaError("no closed form")
        return f"The integral is {tell(_expanded(result))} + C."
    low, high = (read_formula(limit).expression for limit in limits)
    result = sympy.simplify(sympy.integrate(formula.expression, (by, low, high)))
    if result.has(sympy.Integral):
        result = sympy.Float(sympy.N(result, 15))
    return f"The integral is {tell_number(result, rounding)}."


def _expanded(expression: Expr) -> Expr:
    forms = [expression, sympy.expand(expression)]
    return forms[1] if forms[1].is_polynomial() else min(forms, key=lambda form: len(sympy.sstr(form)))


_LIMIT = re.compile(
    r"^(?:(?:find|compute|calculate|determine|what is|what's|evaluate|take|get) )?(?:the )?"
    r"(?:(?:left|right)(?:-hand(?:ed)?|-sided)? |one-sided )?limit (?:of )?(?:the (?:function|"
    r"expression) )?(.+?),? (?:as|when|for|with) "
    rf"{_VARIABLE} ?(?:approaches|goes to|tends to|tends towards|approaching|->|→|nears|"
    rf"gets close to|goes towards|becomes|heads to|grows to|grows without bound to)"
    r" ?(.+?)( from (?:the )?(?:left|right|above|below))?$",
    re.IGNORECASE,
)
_TENDS = re.compile(
    rf"^(?:what|which value|which number) (?:value |number )?(?:does|do) (.+?) (?:tend to|approach|"
    rf"go to|converge to|tend towards|get close to) (?:as|when) {_VARIABLE} ?"
    r"(?:approaches|goes to|tends to|->|→|nears|tends towards) ?(.+?)( from (?:the )?(?:left|right|above|below))?$",
    re.IGNORECASE,
)
_LIM = re.compile(
    rf"^(?:(?:find|compute|calculate|what is|what's|"
    rf"evaluate) )?(?:the )?\\?lim(?:it)?\s*_?[{{(]?\s*(?:as )?{_VARIABLE} ?(?:->|→|\\to|approaches|tends to|goes to) ?"
    r"([^\s{})]+?)([+-]?)\s*[})]?,?\s+(?:of )?(.+)$",
    re.IGNORECASE,
)


def limit(text: str, rounding: Rounding) -> str | None:
    """The limit of sin(x)/x as x approaches 0; lim x->oo 1/x."""
    side = "+"
    if match := _LIMIT.match(text) or _TENDS.match(text):
        body, name, point = match[1], match[2], match[3]
        where = (match[4] or "") + text[: match.start(1)]
        both = not re.search(r"left|right|above|below", where)
        side = "-" if re.search(r"left|below", where) else "+"
    elif match := _LIM.match(text):
        body, name, point = match[4], match[1], match[2]
        both, side = not match[3], match[3] or "+"
    else:
        return None
    point = re.sub(r"^(?:positive |plus )?infinity$", "oo", point.strip(), flags=re.IGNORECASE)
    point = re.sub(r"^(?:negative |minus |-)\s*infinity$", "-oo", point, flags=re.IGNORECASE)
    formula = read_formula(body, (name,))
    by, at = main_variable(formula.variables, name), read_formula(point).expression
    if both and at.is_finite:
        left, right = (sympy.limit(formula.expression, by, at, sign) for sign in "-+")
        if left != right:
            return f"The limit does not exist: from the left it is {tell(left)}, from the right {tell(right)}."
        result = right
    else:
        result = sympy.limit(formula.expression, by, at, side)
    return f"The limit is {tell_number(result, rounding)}."
