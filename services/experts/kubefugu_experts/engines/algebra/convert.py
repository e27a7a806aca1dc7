"""Trees of formulas as SymPy expressions, with a bound on the size of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import sympy

from kubefugu_experts.formulas import Binary, Call, FormulaError, Negative, Node, Number, Relation, Symbol

MAX_DIGITS = 1_000
"""Of a number that is computed exactly."""
_MAX_FACTORIAL = 450

Expr = Any
"""A SymPy expression; SymPy has no types of its own."""


class TooLargeError(ValueError):
    """A number would have too many digits."""


_CONSTANTS: Mapping[str, Expr] = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "oo": sympy.oo}
_FUNCTIONS: Mapping[str, Callable[..., Expr]] = {
    "sin": sympy.sin, "cos": sympy.cos, "tan": sympy.tan, "cot": sympy.cot, "sec": sympy.sec, "csc": sympy.csc,
    "asin": sympy.asin, "acos": sympy.acos, "atan": sympy.atan, "sinh": sympy.sinh, "cosh": sympy.cosh, "tanh": sympy.tanh,
    "exp": sympy.exp, "ln": sympy.log, "sqrt": sympy.sqrt, "cbrt": sympy.cbrt, "abs": sympy.Abs, "floor": sympy.floor,
    "ceil": sympy.ceiling, "gcd": lambda *numbers: sympy.igcd(*numbers), "lcm": lambda *numbers: sympy.ilcm(*numbers),
    "max": sympy.Max, "min": sympy.Min, "root": lambda base, degree: sympy.root(base, degree),
    "log2": lambda value: sympy.log(value, 2), "log10": lambda value: sympy.log(value, 10),
}  # fmt: skip


def to_sympy(node: Node, variables: Collection[str] = ()) -> Expr:
    """The expression of a tree; names in `variables` are variables even where they name a constant (e, i).

    Raises FormulaError, TooLargeError.
    """
    match node:
        case Number(value):
            return sympy.Rational(value.numerator, value.denominator)
        case Symbol(name):
            return _CONSTANTS[name] if name in _CONSTANTS and name not in variables else symbol(name)
        case Negative(part):
            return -to_sympy(part, variables)
        case Binary(operator, left, right):
            return _binary(operator, to_sympy(left, variables), to_sympy(right, variables))
        case Call(function, arguments):
            return _call(function, [to_sympy(argument, variables) for argument in arguments])


def to_equation(relation: Relation, variables: Collection[str] = ()) -> Expr:
    """A SymPy relation."""
    left, right = to_sympy(relation.left, variables), to_sympy(relation.right, variables)
    make = {"=": sympy.Eq, "!=": sympy.Ne, "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge}[relation.operator]
    return make(left, right, evaluate=False)


def symbol(name: str) -> Expr:
    """The variable of a name."""
    return sympy.Symbol(name)


def _binary(operator: str, left: Expr, right: Expr) -> Expr:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        if right == 0:
            raise ZeroDivisionError
        return left / right
    if operator == "mod":
        if right == 0:
            raise ZeroDivisionError
        return sympy.Mod(left, right)
    return _power(left, right)


def _power(base: Expr, exponent: Expr) -> Expr:
    if base == 0 and exponent.is_number and exponent.is_negative:
        raise ZeroDivisionError
    if base.is_Rational and exponent.is_Rational and base not in (0, 1, -1):
        digits = abs(float(exponent)) * math.log10(max(abs(base.p), base.q)) if abs(exponent) < 10**9 else math.inf
        if digits > MAX_DIGITS:
            raise TooLargeError
    elif exponent.is_number and exponent.is_Rational and abs(exponent) > 200:
        raise TooLargeError
    return base**exponent


def _call(function: str, arguments: list[Expr]) -> Expr:
    if function == "factorial":
        (argument,) = arguments
        if argument.is_number and not (argument.is_Integer and 0 <= argument <= _MAX_FACTORIAL):
            raise TooLargeError
        return sympy.factorial(argument)
    if function == "binomial":
        if all(argument.is_Integer and abs(argument) <= 3000 for argument in arguments):
            return sympy.binomial(*arguments)
        raise TooLargeError
    if function in ("gcd", "lcm") and not all(argument.is_Integer for argument in arguments):
        raise FormulaError(f"{function} takes integers")
    if function == "log":
        value, base = arguments[0], arguments[1] if len(arguments) == 2 else None
        if base is None:
            base = 10 if value.is_number and not value.has(sympy.E) else None
        return sympy.log(value) if base is None else sympy.log(value, base)
    return _FUNCTIONS[function](*arguments)
