"""One module an engine, imported by multiprocessing's fork server: it takes names of modules and nothing else.

Importing one builds the engine, once for all children. An engine that cannot be built is left to the children to report.
"""

from __future__ import annotations

import gc
import importlib.util

from kubefugu_experts.engines.registry import ENGINES, EngineSpec, load_all


def build(name: str) -> None:
    """Build an engine into this process's cache."""
    load_all([ENGINES[name]])
    gc.freeze()  # children share the pages as long as no garbage collection writes to them


def module_of(spec: EngineSpec) -> str | None:
    """The preloading module of an engine, where it has one."""
    name = f"{__name__}.{spec.name}"
    return name if spec.name in ENGINES and importlib.util.find_spec(name) else None
