"""Builds the engine units when imported."""

from kubefugu_experts.sandbox.preloads import build

build("units")
