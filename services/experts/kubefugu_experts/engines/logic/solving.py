"""z3 behind a few plain questions, each with a time limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import z3

TIMEOUT_MS = 3_000

Bool = Any
"""A z3 Boolean; z3 has no types of its own."""


class UndecidedError(Exception):
    """z3 did not decide in time."""


def satisfiable(constraints: Sequence[Bool]) -> bool:
    """True where all can hold together. Raises UndecidedError."""
    return model(constraints) is not None


def model(constraints: Sequence[Bool]) -> Any | None:
    """A model, or None. Raises UndecidedError."""
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(*constraints)
    result = solver.check()
    if result == z3.unknown:
        raise UndecidedError
    return solver.model() if result == z3.sat else None


def entails(premises: Sequence[Bool], conclusion: Bool) -> bool:
    """True where the conclusion holds whenever the premises do."""
    return not satisfiable([*premises, z3.Not(conclusion)])


def judge(premises: Sequence[Bool], conclusion: Bool) -> bool | None:
    """True: follows; False: its negation follows; None: neither."""
    if entails(premises, conclusion):
        return True
    return False if entails(premises, z3.Not(conclusion)) else None
