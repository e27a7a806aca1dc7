"""What a worker should not be sent: the SDKs' own bookkeeping in echoed answers, and a role name that few servers know."""

from __future__ import annotations

from typing import Any

_BOOKKEEPING = ("parsed", "annotations")
"""Members of the SDKs' message objects that are no input."""
_ROLE_NAMES = {"developer": "system"}
"""OpenAI's newer word for system is unknown to most servers and chat templates, and the older one is known to all."""


def tidy_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation as workers should see it. Messages that need no change are the same objects."""
    return [_tidy(message) for message in messages]


def _tidy(message: dict[str, Any]) -> dict[str, Any]:
    role = message["role"]
    if role in _ROLE_NAMES:
        return message | {"role": _ROLE_NAMES[role]}
    if role != "assistant":
        return message
    # `content` may be null beside tool calls, where servers insist on the member.
    kept = {
        name: value
        for name, value in message.items()
        if name not in _BOOKKEEPING and (value is not None or name == "content") and (value or name != "tool_calls")
    }
    if "tool_calls" in kept:
        kept["tool_calls"] = [_tidy_call(call) for call in kept["tool_calls"]]
    return kept


def _tidy_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "id": call["id"],
        "type": call["type"],
        "function": {"name": function["name"], "arguments": function["arguments"]},
    }
