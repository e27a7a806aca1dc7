"""Builds the engine dates when imported."""

from kubefugu_experts.sandbox.preloads import build

build("dates")
