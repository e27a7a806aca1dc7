"""What reasoning_effort means for a workflow: how many steps, and whether the Conductor may name itself."""

from __future__ import annotations

from kubefugu_coordination.job import Job
from kubefugu_core.pool import RoutingDefaults

EFFORT_STEPS = {"none": 1, "minimal": 2, "low": 3, "medium": 5, "high": 20, "xhigh": 20, "max": 20}
"""Upper bound of steps for each value of reasoning_effort; absent means medium. The pool's own bound holds in any case."""
_RECURSES = frozenset({"high", "xhigh", "max"})


def effort_steps(job: Job, routing: RoutingDefaults) -> int:
    """Steps of one workflow: the request's own number or its effort's, and never more than the pool allows."""
    asked = job.chat.options.max_steps
    if asked is None:
        asked = EFFORT_STEPS[job.chat.reasoning_effort or "medium"]
    return min(asked, routing.max_steps)


def effort_depth(job: Job, depth: int) -> int:
    """Levels of recursion: `depth` where the effort is high, else none."""
    return depth if job.chat.reasoning_effort in _RECURSES else 0
