"""What a planner is told about each worker that it may use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubefugu_coordination.workflow.plan import JOIN_WORKER, SELF_WORKER

_MAX_STRENGTHS = 4
_BRIEF_CHARS = 32
_FREE_TEXT = (None, {"type": "text"})
_MODEL_MADE = ("logprobs", "audio")
"""Members that ask for something that only a model's own reply can have."""


@dataclass(frozen=True, slots=True)
class OfferedWorker:
    """A worker as the planner sees it. Prices are US dollars per million tokens as decimal strings, empty where unknown."""

    name: str
    description: str = ""
    input_price: str = ""
    output_price: str = ""
    context_tokens: int = 0
    strengths: Mapping[str, float] = field(default_factory=dict)
    """Mean measured score (0 to 1) per group of questions."""
    narrow: bool = False
    """True: an engine that reads its subtask and nothing else, whatever its access list holds."""


CONDUCTOR = OfferedWorker(
    SELF_WORKER, "The planner itself: plans a subtask that is too large for one worker as a smaller workflow of its own."
)
"""The Conductor offered to itself (recursion)."""
JOIN = OfferedWorker(
    JOIN_WORKER, "Joins results: puts those that it sees together, word for word. For a last step that has nothing to work out."
)
"""Offered where an answer may be the results of several steps as they are."""


def joins(body: Mapping[str, Any]) -> bool:
    """True: the client's request leaves the form of the answer open, so that joined results can be it."""
    return body.get("response_format") in _FREE_TEXT and not any(body.get(name) for name in _MODEL_MADE)


def describe_worker(worker: OfferedWorker, number: int | None) -> str:
    """One line: id where numbers are asked for, name, description, strengths (best first), prices, context."""
    parts = [f"- {worker.name}" if number is None else f"{number}: {worker.name}"]
    if worker.description:
        parts.append(f"{':' if number is None else ' -'} {' '.join(worker.description.split())}")
    ranked = sorted(worker.strengths.items(), key=lambda item: (-item[1], item[0]))[:_MAX_STRENGTHS]
    facts = ["reads nothing but its subtask"] if worker.narrow else []
    if ranked:
        facts.append("measured: " + ", ".join(f"{group} {score:.2f}" for group, score in ranked))
    if worker.input_price or worker.output_price:
        facts.append(f"price per million tokens: ${worker.input_price or '?'} in, ${worker.output_price or '?'} out")
    if worker.context_tokens:
        facts.append(f"context: {worker.context_tokens} tokens")
    if facts:
        parts.append(f" ({'; '.join(facts)})")
    return "".join(parts)


def describe_workers(workers: Sequence[OfferedWorker], *, numbered: bool = True) -> str:
    """All of them, one line each, in the order of their ids."""
    return "\n".join(describe_worker(worker, number if numbered else None) for number, worker in enumerate(workers))


def describe_briefly(workers: Sequence[OfferedWorker]) -> str:
    """Name and the head of the description of each worker, one line each."""
    return "\n".join(f"{worker.name}{_head(worker.description)}" for worker in workers)


def _head(description: str) -> str:
    head = re.split(r"[(:;.,]", " ".join(description.split()), maxsplit=1)[0].strip()[:_BRIEF_CHARS].strip()
    return f": {head}" if head else ""
