"""The tree of a formula."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number; `decimal` is True where it was written with a point or an exponent."""

    value: Fraction
    decimal: bool = False


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable or a constant (pi, e, i, oo)."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    """The negative of its part."""

    part: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two parts with + - * / ^ or mod between them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the known ones, with its arguments."""

    function: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Number | Symbol | Negative | Binary | Call


@dataclass(frozen=True, slots=True)
class Relation:
    """An equation or inequality."""

    operator: str
    """=, !=, <, <=, > or >=."""
    left: Node
    right: Node


def parts(node: Node | Relation) -> tuple[Node, ...]:
    """The direct parts of a node."""
    match node:
        case Negative(part):
            return (part,)
        case Binary(_, left, right) | Relation(_, left, right):
            return (left, right)
        case Call(_, arguments):
            return arguments
        case _:
            return ()


def walk(node: Node | Relation) -> Iterator[Node | Relation]:
    """The node and everything below it."""
    yield node
    for part in parts(node):
        yield from walk(part)


CONSTANTS = frozenset(("pi", "e", "i", "oo"))


def symbols(node: Node | Relation) -> set[str]:
    """Names of the variables; constants are none."""
    return {part.name for part in walk(node) if isinstance(part, Symbol) and part.name not in CONSTANTS}
