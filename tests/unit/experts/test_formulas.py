"""The formula parser: what it reads, and that it never runs anything."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubefugu_experts.engines.algebra.convert import TooLargeError, to_sympy
from kubefugu_experts.formulas import Binary, FormulaError, Node, Number, Symbol, parse, parse_relation, symbols


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2x+3", "2*x + 3"),
        ("3(x+1)(x-2)", "(x - 2)*(3*x + 3)"),
        ("x² - 5x", "x**2 - 5*x"),
        ("sin^2(x)", "sin(x)**2"),
        ("sin 2x", "sin(2*x)"),
        ("2^3^2", "512"),
        ("-3^2", "-9"),
        ("15%", "3/20"),
        ("17 mod 5", "2"),
        ("5!", "120"),
        ("|x-3|", "Abs(x - 3)"),
        (r"\frac{1}{2}x^{2}", "x**2/2"),
        ("√16", "4"),
        ("log_2(8)", "3"),
        ("1,000 + 1", "1001"),
        ("1.5e3", "1500"),
        ("6 ÷ 2 × 3", "9"),
        ("xy", "x*y"),
        ("2 * -3", "-6"),
    ],
)
def test_reads(text: str, expected: str) -> None:
    assert str(to_sympy(parse(text))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2 3",
        "hello",
        "x +",
        "(x",
        "x)",
        "sin",
        "1..2",
        "a cat",
        "__import__('os')",
        "x.__class__",
        "lambda x: x",
        "eval(1)",
        "x;y",
        "[1",
        "2 = 3",
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


def test_nesting_and_length_are_limited() -> None:
    for text in ("(" * 500 + "x" + ")" * 500, "-" * 900 + "x", "x+" * 900 + "x", "1" * 5000):
        with pytest.raises(FormulaError):
            parse(text)


@pytest.mark.parametrize("text", ["10^10000", "9^9^9", "(10^900)^5", "500!", "2^(3^40)", "x^100000"])
def test_numbers_that_nobody_can_write_down_are_refused(text: str) -> None:
    with pytest.raises((TooLargeError, FormulaError)):
        to_sympy(parse(text))


def test_relations_and_variables() -> None:
    chain = parse_relation("1 < x <= 5")
    assert [relation.operator for relation in chain] == ["<", "<="]
    assert symbols(parse("e*x + pi*y")) == {"x", "y"}


def _value(node: Node, x: Fraction) -> Fraction:
    """An evaluator of its own, for the property below."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Symbol):
        return x
    assert isinstance(node, Binary)
    left, right = _value(node.left, x), _value(node.right, x)
    return {"+": left + right, "-": left - right, "*": left * right}[node.operator]


_trees = st.recursive(
    st.one_of(st.integers(0, 99).map(lambda n: Number(Fraction(n))), st.just(Symbol("x"))),
    lambda inner: st.builds(Binary, st.sampled_from("+-*"), inner, inner),
    max_leaves=12,
)


def _written(node: Node) -> str:
    if isinstance(node, Number):
        return str(node.value)
    if isinstance(node, Symbol):
        return "x"
    assert isinstance(node, Binary)
    return f"({_written(node.left)}{node.operator}{_written(node.right)})"


@given(_trees, st.fractions(-5, 5))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back(tree: Node, x: Fraction) -> None:
    assert _value(parse(_written(tree)), x) == _value(tree, x)
    assert Fraction(str(to_sympy(parse(_written(tree))).subs("x", x))) == _value(tree, x)
