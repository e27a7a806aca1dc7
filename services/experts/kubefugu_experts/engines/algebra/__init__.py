"""Exact arithmetic, algebra, calculus and elementary number theory, with SymPy. User text is parsed, never run."""

from kubefugu_experts.engines.algebra.engine import make_engine

__all__ = ["make_engine"]
