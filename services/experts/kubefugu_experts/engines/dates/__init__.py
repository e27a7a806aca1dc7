"""Calendar and clock arithmetic in the proleptic Gregorian calendar. Today's date is read only where a question asks for it."""

from kubefugu_experts.engines.dates.engine import make_engine

__all__ = ["make_engine"]
