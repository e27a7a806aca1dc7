"""Small valid manifests of the three kinds, and dotted-path edits of them."""

from __future__ import annotations

import copy
from typing import Any

SHA = "ab" * 32
REMOVED = object()
"""Value of `edited` that removes the key."""


def worker_pool() -> dict[str, Any]:
    """A pool of one worker."""
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "pool"},
        "spec": {"workers": [{"name": "a", "model": "m", "url": "http://host/v1"}]},
    }


def training_run() -> dict[str, Any]:
    """A supervised run on a table by URL that publishes."""
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": "run"},
        "spec": {
            "poolRef": {"name": "pool"},
            "algorithm": {"supervised": {}},
            "backbone": {"ref": "Qwen/Qwen3-0.6B"},
            "data": {"url": "https://host/table.parquet", "sha256": SHA},
            "publish": {"policy": "main"},
        },
    }


def routing_policy() -> dict[str, Any]:
    """A policy with defaults."""
    return {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "policy"}, "spec": {}}


def edited(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one field set; path such as `spec.workers.0.name`. REMOVED removes it."""
    result = copy.deepcopy(manifest)
    node: Any = result
    *parents, last = path.split(".")
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if value is REMOVED:
        del node[last]
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = copy.deepcopy(value)
    return result
