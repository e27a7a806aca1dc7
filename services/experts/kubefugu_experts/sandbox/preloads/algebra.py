"""Builds the engine algebra when imported."""

from kubefugu_experts.sandbox.preloads import build

build("algebra")
