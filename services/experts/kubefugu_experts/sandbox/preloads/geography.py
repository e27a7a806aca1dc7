"""Builds the engine geography when imported."""

from kubefugu_experts.sandbox.preloads import build

build("geography")
