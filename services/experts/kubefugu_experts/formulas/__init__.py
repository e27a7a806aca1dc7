"""A safe parser of mathematical notation: text to a small tree, never to code."""

from kubefugu_experts.formulas.parser import FormulaError, parse, parse_relation
from kubefugu_experts.formulas.stretches import stretches
from kubefugu_experts.formulas.tree import Binary, Call, Negative, Node, Number, Relation, Symbol, symbols

__all__ = [
    "Binary",
    "Call",
    "FormulaError",
    "Negative",
    "Node",
    "Number",
    "Relation",
    "Symbol",
    "parse",
    "parse_relation",
    "stretches",
    "symbols",
]
