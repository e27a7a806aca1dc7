"""Imported by multiprocessing's fork server: builds every engine once, for all children to inherit."""

from kubefugu_experts.engines.registry import ENGINES, load_all

load_all(ENGINES.values())
