"""Pint behind exact numbers: conversion, comparison, sums, products."""

from __future__ import annotations

from typing import Any

import pint

from kubefugu_experts.engines.units.reading import Quantity, Unit


class NotComparableError(Exception):
    """Two units measure different things; the message says so."""


_INTERNATIONAL = (
    "intl_acre = 4046.8564224 * meter ** 2",
    "intl_furlong = 201.168 * meter",
    "intl_chain = 20.1168 * meter",
    "intl_rod = 5.0292 * meter",
    "intl_fathom = 1.8288 * meter",
    "intl_league = 4828.032 * meter",
)
"""Pint's own are those of the US survey foot, which was given up in 2022 (NIST)."""


class Calculator:
    """Computes with quantities as read."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        for definition in _INTERNATIONAL:
            registry.define(definition)

    def value(self, quantity: Quantity, unit: Unit) -> float:
        """The number of `unit`s. Raises NotComparableError where they measure different things."""
        total = self.convert(float(quantity.value), quantity.unit, unit)
        return total + sum(self.convert(float(part.value), part.unit, unit) for part in quantity.smaller)

    def convert(self, number: float, source: Unit, target: Unit) -> float:
        """Convert a number of one unit to another; ounces and their like are taken as volumes where that fits."""
        source, target = self._adapted(source, target), self._adapted(target, source)
        try:
            if self._is_reciprocal(source, target):
                return float((1 / self._registry.Quantity(number, source.pint)).to(target.pint).magnitude)
            return float(self._registry.Quantity(number, source.pint).to(target.pint).magnitude)
        except pint.DimensionalityError as error:
            raise NotComparableError(
                f"{source.plural.capitalize()} and {target.plural} measure different things, "
                f"so one cannot be converted to the other."
            ) from error

    def same_dimension(self, first: Unit, second: Unit) -> bool:
        """True where one converts to the other."""
        first, second = self._adapted(first, second), self._adapted(second, first)
        return bool(self._registry.Unit(first.pint).is_compatible_with(second.pint))

    def dimension(self, unit: Unit) -> str:
        """Pint's text of the dimension, e.g. "[length]"."""
        return str(self._registry.Unit(unit.pint).dimensionality)

    def is_ratio(self, unit: Unit) -> bool:
        """True for feet per mile: a number."""
        return " / " in unit.pint and bool(self._registry.Unit(unit.pint).dimensionless)

    def ratio(self, unit: Unit) -> float:
        """The number that feet per mile are: how many of the first make one of the second."""
        first, _, second = unit.pint.partition(" / ")
        return float(self._registry.Quantity(1, second).to(first).magnitude)

    def product(self, first: Quantity, second: Quantity, *, divide: bool, into: str) -> float:
        """first times (or divided by) second, expressed in a unit of Pint."""
        left, right = (self._registry.Quantity(float(item.value), item.unit.pint) for item in (first, second))
        return float((left / right if divide else left * right).to(into).magnitude)

    def _adapted(self, unit: Unit, other: Unit) -> Unit:
        """Ounces beside a volume are fluid ounces; US tons of force and the like stay."""
        if unit.pint == "ounce" and self.dimension(other) == "[length] ** 3":
            return Unit("fluid_ounce", "fluid ounce", "fluid ounces")
        return unit

    def _is_reciprocal(self, source: Unit, target: Unit) -> bool:
        """Miles per gallon and liters per kilometer."""
        one, other = self._registry.Unit(source.pint), self._registry.Unit(target.pint)
        return bool(
            one.dimensionality != other.dimensionality
            and (1 / one).dimensionality == other.dimensionality
            and "gallon" in source.pint + target.pint
        )
