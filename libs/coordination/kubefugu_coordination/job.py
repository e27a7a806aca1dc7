"""One chat request on its way through the coordination: the parsed body, and who asked under which id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.chat import GATEWAY_FIELDS, ChatRequest
from kubefugu_core.options import EFFORT_TURNS

_COORDINATED_DROPS = frozenset({"reasoning_effort", "verbosity"})
"""Members that mean us, or one family of models, where the worker is not the client's choice."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One request. `chat` belongs to the client: read, never written."""

    chat: ChatRequest
    request_id: str
    """Id of the completion and of the decision record."""
    tenant: str
    created: int
    """Seconds since the epoch, as written into chunks."""

    def worker_body(self, *, coordinated: bool) -> dict[str, Any]:
        """A copy of the body for a worker, without what is meant for us."""
        drops = GATEWAY_FIELDS | _COORDINATED_DROPS if coordinated else GATEWAY_FIELDS
        return {name: value for name, value in self.chat.body.items() if name not in drops}

    def effort_turns(self) -> int:
        """Turns that the request asks for: its own number, else by reasoning_effort, else one."""
        if self.chat.options.max_turns is not None:
            return self.chat.options.max_turns
        effort = self.chat.reasoning_effort
        return 1 if effort is None else EFFORT_TURNS[effort]

    def conversation_key(self) -> str:
        """Affinity key, never for memory: the explicit conversation, else a hash of tenant, system and first user message."""
        if self.chat.options.conversation is not None:
            return f"{self.tenant}/{self.chat.options.conversation}"
        messages = self.chat.messages
        system = next((text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer")), "")
        first = next((text_of(m.get("content")) for m in messages if m["role"] == "user"), "")
        return hashlib.blake2b(orjson.dumps([self.tenant, system, first]), digest_size=16).hexdigest()
