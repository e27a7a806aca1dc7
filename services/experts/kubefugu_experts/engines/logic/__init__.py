"""Logic and constraints, decided by z3: formulas, syllogisms, knights and knaves, orderings, integer constraints."""

from kubefugu_experts.engines.logic.engine import make_engine

__all__ = ["make_engine"]
