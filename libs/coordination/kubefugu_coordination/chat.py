"""A chat request as the coordination sees it: the client's body, read once, and never changed.

https://platform.openai.com/docs/api-reference/chat/create. The gateway validates the body's shape in full; what is checked here
is what this library relies on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.options import EFFORT_TURNS, KubefuguOptions

_NO_OPTIONS = KubefuguOptions()
_COORDINATED_DROPS = ("reasoning_effort", "store", "metadata", "service_tier", "prompt_cache_key", "safety_identifier")
"""Members that mean us (effort) or the provider's account, not the worker that happens to be chosen."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request. `messages` and `body` belong to the client: read, never written."""

    request_id: str
    tenant: str
    created: int
    """Seconds since the epoch, as written into chunks."""
    body: Mapping[str, Any]
    messages: Sequence[Message]
    model: str
    stream: bool
    include_usage: bool
    options: KubefuguOptions

    def worker_body(self, *, coordinated: bool) -> dict[str, Any]:
        """A copy of the body for a worker, without our own members; of a coordinated request also without what means us."""
        body = dict(self.body)
        body.pop("kubefugu", None)
        if coordinated:
            for member in _COORDINATED_DROPS:
                body.pop(member, None)
        return body

    def effort_turns(self) -> int:
        """Turns that the request asks for: its own number, else by reasoning_effort, else one."""
        if self.options.max_turns is not None:
            return self.options.max_turns
        effort = self.body.get("reasoning_effort")
        if effort is None:
            return 1
        try:
            return EFFORT_TURNS[effort]
        except (KeyError, TypeError):
            raise InvalidRequestError(
                f"reasoning_effort must be one of {', '.join(EFFORT_TURNS)}.", field="reasoning_effort"
            ) from None

    def conversation_key(self) -> str:
        """Affinity key, never for memory: the explicit conversation, else a hash of tenant, system and first user message."""
        if self.options.conversation is not None:
            return f"{self.tenant}/{self.options.conversation}"
        system = next((text_of(m.get("content")) for m in self.messages if m["role"] in ("system", "developer")), "")
        first = next((text_of(m.get("content")) for m in self.messages if m["role"] == "user"), "")
        return hashlib.blake2b(orjson.dumps([self.tenant, system, first]), digest_size=16).hexdigest()


def parse_chat_request(payload: bytes, *, request_id: str, tenant: str, created: int) -> ChatRequest:
    """Read a body. Raises InvalidRequestError naming the field."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError("The body is not valid JSON.", field="body") from error
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.", field="body")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequestError("model must be a non-empty string.", field="model")
    stream_options = body.get("stream_options") or {}
    return ChatRequest(
        request_id=request_id,
        tenant=tenant,
        created=created,
        body=body,
        messages=_messages(body.get("messages")),
        model=model,
        stream=bool(body.get("stream")),
        include_usage=bool(isinstance(stream_options, dict) and stream_options.get("include_usage")),
        options=_options(body.get("kubefugu")),
    )


def _messages(messages: object) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("messages must be a non-empty list.", field="messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidRequestError("A message must be an object.", field=f"messages[{number}]")
        if not isinstance(message.get("role"), str):
            raise InvalidRequestError("A message needs a role.", field=f"messages[{number}].role")
    return messages


def _options(options: object) -> KubefuguOptions:
    if options is None:
        return _NO_OPTIONS
    try:
        return KubefuguOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(["kubefugu", *(str(part) for part in first["loc"])])
        raise InvalidRequestError(f"{field}: {first['msg']}", field=field) from error
