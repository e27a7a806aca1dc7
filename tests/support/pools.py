"""Small pools and clients for tests."""

from __future__ import annotations

from typing import Any

from kubefugu_coordination.workers import Deadline, SystemClock
from kubefugu_core.pool import WorkerPool, parse_pool

CLOCK = SystemClock()
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "How far is it?"}]}


def worker(name: str, url: str, **members: Any) -> dict[str, Any]:
    """A worker entry of a manifest; `members` are further manifest fields."""
    return {"name": name, "model": f"{name}-model", "url": url} | members


def pool_of(*workers: dict[str, Any], name: str = "testpool", **routing: Any) -> WorkerPool:
    """A pool manifest with these workers."""
    document = {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": name},
        "spec": {"workers": list(workers), "routing": routing},
    }
    return parse_pool(document, source="test")


def within(seconds: float) -> Deadline:
    """A deadline on the real clock."""
    return Deadline.after(seconds, CLOCK)
