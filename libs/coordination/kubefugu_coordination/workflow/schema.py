"""The JSON schema under which a planner's server decodes (OpenAI's `response_format`; llama.cpp and vLLM support it).

One branch for each number of steps fixes equal lengths, id range and access to strictly earlier steps, so that an output
decoded under it to its end is a valid plan up to steps that nothing uses.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from kubefugu_coordination.workflow.plan import JOIN_WORKER


def plan_schema(
    workers: Sequence[str], *, max_steps: int, max_subtask_chars: int = 0, narrow: Collection[str] = ()
) -> dict[str, Any]:
    """Schema of `{"subtasks": [...], "workers": [...], "access_list": [...]}`; 0 characters: subtasks of any length.

    Workers go by name and each follows its subtask's list: small planners that have to write numbers, or to choose before the
    subtask is written down, choose almost at random.

    The last of several steps sees at least one other, and is none of the `narrow` workers, which read nothing but their subtask
    (where there is any other): so a plan cannot end in one part of the answer.

    Keywords used: anyOf, prefixItems, minItems, maxItems, enum, const. `items` stays out beside prefixItems: with equal
    minItems and maxItems it would be idle, and servers differ about its boolean form.
    """
    return {"anyOf": [_branch(count, workers, max_subtask_chars, narrow) for count in range(1, max_steps + 1)]}


def _branch(count: int, workers: Sequence[str], max_subtask_chars: int, narrow: Collection[str]) -> dict[str, Any]:
    first = {"type": "string", "enum": [name for name in workers if name != JOIN_WORKER] or list(workers)}
    worker = {"type": "string", "enum": list(workers)}
    subtask: dict[str, Any] = {"type": "string", "minLength": 1}
    if max_subtask_chars:
        subtask["maxLength"] = max_subtask_chars
    names = [first, *[worker] * (count - 1)]
    if count > 1:
        reading = [name for name in workers if name not in narrow]
        names[-1] = {"type": "string", "enum": reading or list(workers)}
    access = [_access(index, least=int(index == count - 1)) for index in range(count)]
    return {
        "type": "object",
        "properties": {
            "subtasks": _tuple([subtask] * count),
            "workers": _tuple(names),
            "access_list": _tuple(access),
        },
        "required": ["subtasks", "workers", "access_list"],
        "additionalProperties": False,
    }


def _tuple(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _access(index: int, *, least: int) -> dict[str, Any]:
    if index == 0:
        return {"const": []}
    steps = {"type": "integer", "enum": list(range(index))}
    return {"anyOf": [{"const": "all"}, {"type": "array", "items": steps, "minItems": least, "maxItems": index}]}
