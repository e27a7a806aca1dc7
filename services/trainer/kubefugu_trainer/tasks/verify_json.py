"""Answers that an application wants to parse: one JSON object, nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from kubefugu_trainer.tasks.verifiers import Verifier

SYSTEM = 'Reply with one JSON object and nothing else, like {"answer": "..."}.'
"""The system message that asks for it."""
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)
_FORMLESS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class InJson:
    """Right in substance by `inner`, and the reply is `{"answer": ...}` (a Markdown fence around it is forgiven)."""

    inner: Verifier

    def score(self, prompt: str, reply: str) -> float:
        """1 for the right answer in the right form, 0.5 for the right answer in another form, else 0."""
        value = _answer(reply)
        if value is not None:
            return self.inner.score(prompt, value)
        return _FORMLESS * self.inner.score(prompt, reply)


def _answer(reply: str) -> str | None:
    text = reply.strip()
    fenced = _FENCE.match(text)
    try:
        document = json.loads(fenced[1] if fenced else text)
    except ValueError:
        return None
    if not isinstance(document, dict) or set(document) != {"answer"}:
        return None
    value = document["answer"]
    return value if isinstance(value, str) else json.dumps(value)
