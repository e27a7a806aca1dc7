"""Tool calls: the right functions with the right arguments, as OpenAI's tool_calls or written out as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubefugu_trainer.tasks.verifiers import fold

_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def written(calls: Sequence[Mapping[str, Any]]) -> str:
    """OpenAI's tool_calls as text that `ToolCalls` reads."""
    parts = []
    for call in calls:
        function = call.get("function") or {}
        parts.append(json.dumps({"name": function.get("name"), "arguments": function.get("arguments")}))
    return "\n".join(f"<tool_call>{part}</tool_call>" for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls:
    """The expected calls, each exactly once, in any order. Argument values: equal, or one of `{"any": [...]}`."""

    calls: tuple[tuple[str, str], ...]
    """(function's name, its arguments as a JSON object)."""

    def score(self, prompt: str, reply: str) -> float:
        """1 if the reply makes these calls and no others."""
        left = [(name, json.loads(arguments)) for name, arguments in self.calls]
        made = list(_calls(reply))
        if len(made) != len(left):
            return 0.0
        for name, arguments in made:
            match = next((i for i, (n, a) in enumerate(left) if n == name and _same_arguments(arguments, a)), None)
            if match is None:
                return 0.0
            del left[match]
        return 1.0


def _calls(reply: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for text in _TAGGED.findall(reply) or [re.sub(r"\A```(?:json)?\s*|\s*```\Z", "", reply.strip())]:
        try:
            document = json.loads(text)
        except ValueError:
            continue
        for call in document if isinstance(document, list) else [document]:
            if isinstance(call, dict) and isinstance(call.get("name"), str):
                arguments = call.get("arguments", call.get("parameters", {}))
                if isinstance(arguments, str):
                    try:
                        arguments = json.loads(arguments or "{}")
                    except ValueError:
                        arguments = None
                yield call["name"], arguments if isinstance(arguments, dict) else {"": None}


def _same_arguments(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return set(made) == set(wanted) and all(_same(made[name], value) for name, value in wanted.items())


def _same(made: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and set(wanted) == {"any"}:
        return any(_same(made, option) for option in wanted["any"])
    if isinstance(wanted, bool) or isinstance(made, bool) or wanted is None:
        return made is wanted
    if isinstance(wanted, int | float):
        return isinstance(made, int | float) and math.isclose(made, wanted, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(wanted, str):
        return isinstance(made, str) and fold(made) == fold(wanted)
    if isinstance(wanted, list):
        return isinstance(made, list) and len(made) == len(wanted) and all(map(_same, made, wanted))
    return isinstance(made, dict) and _same_arguments(made, wanted)
