"""Conversion, comparison and arithmetic of measured quantities, with Pint."""

from kubefugu_experts.engines.units.engine import make_engine

__all__ = ["make_engine"]
