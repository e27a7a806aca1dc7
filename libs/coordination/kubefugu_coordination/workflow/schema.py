"""The JSON schema under which a planner's server decodes (OpenAI's `response_format`; llama.cpp and vLLM support it).

One branch for each number of steps fixes equal lengths, id range and access to strictly earlier steps, so that an output
decoded under it to its end is a valid plan up to steps that nothing uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def plan_schema(workers: Sequence[str], *, max_steps: int, max_subtask_chars: int = 0) -> dict[str, Any]:
    """Schema of `{"subtasks": [...], "workers": [...], "access_list": [...]}`; 0 characters: subtasks of any length.

    Workers go by name and each follows its subtask's list: small planners that have to write numbers, or to choose before the
    subtask is written down, choose almost at random.

    Keywords used: anyOf, prefixItems, minItems, maxItems, enum, const. `items` stays out beside prefixItems: with equal
    minItems and maxItems it would be idle, and servers differ about its boolean form.
    """
    return {"anyOf": [_branch(count, workers, max_subtask_chars) for count in range(1, max_steps + 1)]}


def _branch(count: int, workers: Sequence[str], max_subtask_chars: int) -> dict[str, Any]:
    worker = {"type": "string", "enum": list(workers)}
    subtask: dict[str, Any] = {"type": "string", "minLength": 1}
    if max_subtask_chars:
        subtask["maxLength"] = max_subtask_chars
    access = [_access(index) for index in range(count)]
    return {
        "type": "object",
        "properties": {
            "subtasks": _tuple([subtask] * count),
            "workers": _tuple([worker] * count),
            "access_list": _tuple(access),
        },
        "required": ["subtasks", "workers", "access_list"],
        "additionalProperties": False,
    }


def _tuple(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _access(index: int) -> dict[str, Any]:
    if index == 0:
        return {"const": []}
    steps = {"type": "integer", "enum": list(range(index))}
    return {"anyOf": [{"const": "all"}, {"type": "array", "items": steps, "minItems": 0, "maxItems": index}]}
