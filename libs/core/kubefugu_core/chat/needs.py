"""What a request asks of a worker beyond text, as a pure function of the validated body."""

from __future__ import annotations

from typing import Any

from kubefugu_core.pool import Capability

_BY_FORMAT = {"json_object": Capability.JSON_MODE, "json_schema": Capability.JSON_SCHEMA}


def capability_needs(body: dict[str, Any]) -> dict[Capability, str]:
    """Each capability that the request needs, and the field that asks for it (for the error where no worker has it)."""
    needs: dict[Capability, str] = {}
    if body.get("tools"):
        needs[Capability.TOOLS] = "tools"
    for index, message in enumerate(body["messages"]):
        _add_of_message(needs, message, index)
    kind = _BY_FORMAT.get((body.get("response_format") or {}).get("type", "text"))
    if kind is not None:
        needs[kind] = "response_format"
    if body.get("logprobs"):
        needs[Capability.LOGPROBS] = "logprobs"
    return needs


def _add_of_message(needs: dict[Capability, str], message: dict[str, Any], index: int) -> None:
    if message["role"] == "tool" or message.get("tool_calls"):
        needs.setdefault(Capability.TOOLS, f"messages[{index}]")
    content = message.get("content")
    if isinstance(content, list):
        for position, part in enumerate(content):
            if part["type"] == "image_url":
                needs.setdefault(Capability.VISION, f"messages[{index}].content[{position}].type")
