"""Builds the engine definitions when imported."""

from kubefugu_experts.sandbox.preloads import build

build("definitions")
