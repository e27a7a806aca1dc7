"""Integer polynomials as coefficient tuples, constant first: the generators' own algebra, so that truths need no engine."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Polynomial = tuple[int, ...]


def multiply(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """Product of two polynomials."""
    product = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return tuple(product)


def derivative(p: Sequence[int]) -> Polynomial:
    """First derivative."""
    return tuple(i * c for i, c in enumerate(p))[1:] or (0,)


def value(p: Sequence[int], x: int) -> int:
    """Value at an integer."""
    return sum(c * x**i for i, c in enumerate(p))


def integral(p: Sequence[int], low: int, high: int) -> Fraction:
    """Definite integral between integers, exactly."""
    return sum((Fraction(c, i + 1) * (high ** (i + 1) - low ** (i + 1)) for i, c in enumerate(p)), Fraction(0))


def antiderivative_text(p: Sequence[int], variable: str) -> str:
    """An antiderivative in plain notation, e.g. (3/2)*x^2 + (1/1)*x^1."""
    return " + ".join(f"({c}/{i + 1})*{variable}^{i + 1}" for i, c in enumerate(p) if c) or "0"


def text(p: Sequence[int], variable: str, *, star: bool = False) -> str:
    """Usual notation, highest power first: 3x^2 - x + 5, or 3*x**2 - x + 5 with `star`."""
    power, times = ("**", "*") if star else ("^", "")
    parts: list[str] = []
    for i in range(len(p) - 1, -1, -1):
        c = p[i]
        if c == 0:
            continue
        symbol = "" if i == 0 else variable if i == 1 else f"{variable}{power}{i}"
        size = str(abs(c)) if i == 0 else "" if abs(c) == 1 else f"{abs(c)}{times}"
        parts.append(("- " if c < 0 else "+ ") + size + symbol)
    if not parts:
        return "0"
    joined = " ".join(parts)
    return joined[2:] if joined.startswith("+ ") else f"-{joined[2:]}"
