"""What the loop reads out of replies: thoughts, suggestions, verdicts (TRINITY, arXiv 2512.04695; ALGORITHMS.md section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kubefugu_core.pool import Role

_IDEA = re.compile(r"<idea>(.*?)</idea>", re.DOTALL | re.IGNORECASE)
_SUGGESTION = re.compile(r"<suggestion>(.*?)</suggestion>", re.DOTALL | re.IGNORECASE)
_ROLE = re.compile(r"<suggested_role>\s*(solver|verifier)\s*</suggested_role>", re.IGNORECASE)
_REASONING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a thinker hands to the next turn."""

    text: str
    role: Role


def without_reasoning(reply: str) -> str:
    """The reply without a leading `<think>` block, which servers without a reasoning parser leave in the text."""
    return _REASONING.sub("", reply, count=1).strip()


def thought_of(reply: str) -> str:
    """A solver's thought: what is inside `<idea>` tags if they are there and not empty, else the whole reply."""
    match = _IDEA.search(reply)
    inside = match.group(1).strip() if match else ""
    return inside or without_reasoning(reply)


def suggestion_of(reply: str) -> Suggestion | None:
    """A thinker's suggestion and suggested role (solver or verifier). Both tags or neither count."""
    text, role = _SUGGESTION.search(reply), _ROLE.search(reply)
    if text is None or role is None or not text.group(1).strip():
        return None
    return Suggestion(text.group(1).strip(), Role(role.group(1).lower()))


def accepts(reply: str) -> bool:
    """A verifier's verdict: how the reply starts decides; else "accept" without "reject" in it; all else is a rejection."""
    verdict = without_reasoning(reply).lower()
    if verdict.startswith("accept"):
        return True
    if verdict.startswith("reject"):
        return False
    return "accept" in verdict and "reject" not in verdict
