"""Builds the engine logic when imported."""

from kubefugu_experts.sandbox.preloads import build

build("logic")
