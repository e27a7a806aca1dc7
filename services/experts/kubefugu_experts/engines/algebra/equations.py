"""Equations, systems and inequalities."""

from __future__ import annotations

import re
from typing import Any

import sympy

from kubefugu_experts.engines.algebra.convert import Expr, symbol
from kubefugu_experts.engines.algebra.frames import main_variable, read_formula, read_relations
from kubefugu_experts.engines.algebra.telling import tell, tell_number
from kubefugu_experts.formulas import FormulaError
from kubefugu_experts.phrasing import Rounding

_MOST_SOLUTIONS = 12
_VARIABLE = r"([a-zA-Zθ])"
_SIGN = re.compile(r"[=<>≤≥]|\bequals?\b|\b(?:greater|less|more|smaller) than\b")
_FOR = re.compile(
    rf",? ?\b(?:for|find|to find|in terms of|where you solve for|and find|determine|what is|what's|"
    rf"what are|find the value of|what is the value of|solve for)"
    rf"(?: the)?(?: real)?(?: values?| variables?| unknowns?| roots?|"
    rf" solutions?)?(?: of)? ?{_VARIABLE}(?:(?:,| and|, and) {_VARIABLE})*\s*$",
    re.IGNORECASE,
)
_SOLVE = re.compile(
    r"^(?:(?:find|compute|calculate|determine|give|get|what are|what is|what's|"
    r"which are) )?(?:the |all |all the |both |an? )*(?:real |complex |integer |possible )*"
    r"(?:solve|solving|solutions?|roots?|zeros?|zeroes|x-intercepts?|solution set|answer)"
    r"(?: (?:of|to|for|in))*(?: the| this| these| following| given| real| simultaneous| linear|"
    r" quadratic| cubic| polynomial| algebraic| two| three)*"
    r"(?: (?:system|set|pair|pairs)(?: of)?(?: linear| simultaneous)?)?(?: (?:equations?|"
    r"inequalit(?:y|ies)|functions?|expressions?|polynomials?|systems?|quadratics?|problems?|"
    r"variables?))?"
    rf"(?: of equations)?(?: for(?: the)?(?: real| variable|"
    rf" unknown)* {_VARIABLE}(?: and {_VARIABLE})?)? ?[:,]? ?(?:if|when|where|given)? ?(.+)$",
    re.IGNORECASE,
)
_FIND = re.compile(
    rf"^(?:find|determine|compute|calculate|what is|what's|what are|what must|what should|tell me|"
    rf"get|work out|give)(?: all| every| each)?(?: the)?(?: real)?(?: possible)?(?: "
    rf"values?(?:\(s\))?)?(?: of)?(?: the)?(?: variable| unknown| number)? ?{_VARIABLE}(?:(?: and|"
    rf",) {_VARIABLE})?"
    r"(?: be)?,? (?:if|when|where|given(?: that)?|such that|so that|in|for which|with|from|"
    r"that (?:satisf(?:y|ies)|makes?|solves?)|satisfying|to satisfy|for|"
    r"provided)(?: the)?(?: equations?)?:? ?(.+)$",
    re.IGNORECASE,
)
_WHICH_VALUE = re.compile(
    rf"^(?:for )?(?:what|which)(?: real)? values?(?: \(?s\)?)?(?: of)? {_VARIABLE} (?:is|are|does|"
    rf"do|will|satisf(?:y|ies)|makes?|solves?|would make|"
    rf"gives?)(?: the)?(?: equations?)?:? ?(.+?)(?: true| hold| correct| holds)?$",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    rf"^(?:if|given(?: that)?|when|suppose(?: that)?|let|since)? ?(.+?),? (?:then )?(?:what (?:is|"
    rf"are|must|does|would|should)|what's|find|solve for|determine|calculate|"
    rf"compute)(?: the)?(?: values?)?(?: of)? ?{_VARIABLE}(?: and {_VARIABLE})?(?: be| equal)?$",
    re.IGNORECASE,
)


_SOLVE_FOR = re.compile(
    rf"^(?:solve|find)(?: the equations?| it| this)? for(?: the)?(?: real| variable|"
    rf" unknown)* {_VARIABLE}(?:(?: and|,) {_VARIABLE})?[:,]?"
    r" ?(?:in|given|if|when|where|from)?(?: the)?(?: following)?(?: equations?)?[:,]? (.+)$",
    re.IGNORECASE,
)


_QUESTION_MARK = re.compile(rf"^{_VARIABLE} ?= ?\?,? ?(?:if|when|where|given(?: that)?|for|in):? (.+)$", re.IGNORECASE)
_BOTH = re.compile(
    rf"^(?:for |which |what |the )*(?:values? of |numbers? )?{_VARIABLE}(?: and {_VARIABLE})? "
    rf"(?:do|does|satisfy|satisfies|solve|solves|make|makes)(?: both|"
    rf" all)?(?: the)?(?: equations?)? (.+?)(?: hold| true| at the same time)*$",
    re.IGNORECASE,
)
_VANISHES = re.compile(
    rf"^(?:at|for) (?:which|what)(?: values? of)? {_VARIABLE} (?:does|do|is|are|"
    rf"will)(?: the)?(?: expression| function| polynomial)? (.+?) (?:vanish|vanishes|equal to (?:0|"
    rf"zero)|equal (?:0|zero)|become (?:0|zero)|zero|= ?0)$",
    re.IGNORECASE,
)


def solve(text: str, rounding: Rounding) -> str | None:
    """Solve 2x + 3 = 7; the roots of x^2 - 4; x + y = 10 and x - y = 2; 3x > 6."""
    if match := _BOTH.match(text):
        return _solved(match[3], (match[1], match[2] or match[1]), rounding, roots=False)
    if match := _VANISHES.match(text):
        return _solved(match[2], (match[1],), rounding, roots=True)
    if match := _QUESTION_MARK.match(text):
        return _solved(match[2], (match[1],), rounding, roots=False)
    for pattern, wished, body in (
        (_SOLVE_FOR, (1, 2), 3),
        (_FIND, (1, 2), 3),
        (_WHICH_VALUE, (1,), 2),
        (_GIVEN, (2, 3), 1),
        (_SOLVE, (1, 2), 3),
    ):
        match = pattern.match(text)
        if match is None:
            continue
        names = tuple(match[number] for number in wished if match[number])
        rest = match[body]
        if found := _FOR.search(rest):
            names = names or tuple(name for name in re.findall(r"(?<![A-Za-z])[a-zA-Z](?![A-Za-z])", found[0]))
            rest = rest[: found.start()]
        try:
            return _solved(rest, names, rounding, roots=pattern is _SOLVE and not _SIGN.search(rest))
        except FormulaError:
            continue
    rest, names = text, ()
    if found := _FOR.search(text):
        names = tuple(re.findall(r"(?<![A-Za-z])[a-zA-Z](?![A-Za-z])", found[0]))
        rest = text[: found.start()]
    if _SIGN.search(rest) and re.search(r"[a-zA-Z]", rest):
        return _solved(rest, names, rounding, roots=False)
    return None


def _solved(text: str, names: tuple[str, ...], rounding: Rounding, *, roots: bool) -> str | None:
    if roots:
        text = re.sub(r"^(?:the )?(?:function |polynomial |equation )?[a-zA-Z] ?\([a-zA-Z]\) ?= ?", "", text)
        formula = read_formula(text, names)
        if not formula.variables:
            return None
        relations = [sympy.Eq(formula.expression, 0, evaluate=False)]
    else:
        relations = read_relations(text, names)
    variables = sorted({str(name) for relation in relations for name in relation.free_symbols})
    if not variables or len(variables) > 6 or len(relations) > 6:
        return None
    if any(not isinstance(relation, sympy.Equality) for relation in relations):
        return _inequality(relations, variables)
    if len(relations) == 1:
        return _one(relations[0], main_variable(tuple(variables), names[0] if names else None), rounding)
    return _system(relations, [symbol(name) for name in variables], rounding)


def _one(equation: Any, by: Expr, rounding: Rounding) -> str | None:
    """One equation in one unknown; others are parameters."""
    difference = equation.lhs - equation.rhs
    if by not in difference.free_symbols:
        holds = sympy.simplify(difference) == 0
        return f"Every {by} solves the equation." if holds else f"There is no solution for {by}."
    if difference.has(sympy.Abs):  # solved over the reals
        real = sympy.Symbol(str(by), real=True)
        difference, by = difference.subs(by, real), real
    solutions = sympy.solve(difference, by)
    if len(difference.free_symbols) == 1 and not solutions and sympy.simplify(difference) == 0:
        return f"Every {by} solves the equation."
    real = [solution for solution in solutions if not solution.is_number or sympy.im(sympy.N(solution)).round(12) == 0]
    shown = real or solutions
    if not shown:
        return f"There is no solution for {by}."
    if any(solution.has(sympy.CRootOf) for solution in shown) or len(sympy.sstr(shown)) > 300:
        shown = sorted((sympy.N(solution, 10) for solution in shown), key=lambda value: float(sympy.re(value)))
    shown = sorted(shown, key=sympy.default_sort_key)[:_MOST_SOLUTIONS]
    texts = [
        tell_number(sympy.nsimplify(solution) if solution.is_Float and solution == int(solution) else solution, rounding)
        if solution.is_number
        else tell(solution)
        for solution in shown
    ]
    note = "" if real else " (there is no real solution)"
    return f"{' or '.join(f'{by} = {text}' for text in texts)}{note}."


def _system(equations: list[Any], unknowns: list[Expr], rounding: Rounding) -> str | None:
    solutions = sympy.solve([equation.lhs - equation.rhs for equation in equations], unknowns, dict=True)
    if not solutions:
        return "The system has no solution."
    texts = []
    for solution in solutions[:_MOST_SOLUTIONS]:
        pairs = [
            f"{name} = {tell_number(value, rounding) if value.is_number else tell(value)}" for name, value in solution.items()
        ]
        texts.append(", ".join(sorted(pairs)))
    return f"{' or '.join(texts)}."


_TOLD = (("(-oo < ", "("), (" < oo)", ")"))


def _inequality(relations: list[Any], variables: list[str]) -> str | None:
    """Inequalities in one unknown."""
    if len(variables) != 1:
        return None
    by = sympy.Symbol(variables[0], real=True)
    reduced = sympy.reduce_inequalities([relation.subs(symbol(variables[0]), by) for relation in relations], by)
    if reduced is sympy.true:
        return f"Every real {by} solves it."
    if reduced is sympy.false:
        return f"No real {by} solves it."
    return f"The solution is {_tell_set(reduced, by)}."


def _tell_set(condition: Any, by: Expr) -> str:
    if isinstance(condition, sympy.Or):
        return " or ".join(_tell_set(part, by) for part in sorted(condition.args, key=sympy.default_sort_key))
    if isinstance(condition, sympy.And):
        parts = [part for part in condition.args if not any(side in (sympy.oo, -sympy.oo) for side in part.args)]
        return " and ".join(sorted(_tell_set(part, by) for part in parts))
    if condition.lhs != by and condition.rhs == by:
        condition = condition.reversed
    return tell(condition)
