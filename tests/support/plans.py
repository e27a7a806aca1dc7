"""Random valid plans for property tests."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from kubefugu_coordination.workflow.plan import Plan, Step


@st.composite
def plans(
    draw: st.DrawFn,
    *,
    workers: Sequence[str] = ("alpha", "beta", "gamma"),
    subtasks: st.SearchStrategy[str] | None = None,
    max_steps: int = 5,
) -> Plan:
    """Every step sees some earlier ones, and the last one sees what nothing else does. `subtasks` default to "subtask N"."""
    count = draw(st.integers(1, max_steps))
    access = [draw(st.sets(st.integers(0, index - 1))) if index else set() for index in range(count)]
    used = set().union(*access)
    access[-1] |= {index for index in range(count - 1) if index not in used}
    steps = []
    for index in range(count):
        subtask = draw(subtasks) if subtasks is not None else f"subtask {index}"
        steps.append(Step(draw(st.sampled_from(list(workers))), subtask, tuple(sorted(access[index]))))
    return Plan(tuple(steps))
