"""What a step's worker is sent, beside its messages: pure functions of the client's request and what the worker supports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.pool import Capability

TOOL_FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
"""Members of a request that are about tools."""
_ANSWER_FORM = frozenset(
    {"response_format", "stop", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens", "logit_bias", "n"}
)
"""What the client prescribes for the answer does not hold for the steps that lead to it."""


def step_body(
    base: Mapping[str, Any], *, messages: Sequence[Mapping[str, Any]], final: bool, capabilities: Collection[Capability]
) -> dict[str, Any]:
    """The request of a step's worker call. `base` is the client's body for workers; the last step keeps all of it.

    Other steps keep the sampling parameters, and the tools where their worker supports them: they may call one, but the
    client's tool_choice is about the answer.
    """
    if final:
        body = dict(base)
    else:
        body = {name: value for name, value in base.items() if name not in _ANSWER_FORM and name != "tool_choice"}
    if Capability.TOOLS not in capabilities or (not final and base.get("tool_choice") == "none"):
        body = {name: value for name, value in body.items() if name not in TOOL_FIELDS}
    body["messages"] = readable(messages, capabilities)
    return body


def offers_tools(body: Mapping[str, Any]) -> bool:
    """True: the worker that gets this body may call tools."""
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def readable(messages: Sequence[Mapping[str, Any]], capabilities: Collection[Capability]) -> list[dict[str, Any]]:
    """The messages as a worker with these capabilities can read them: images and tool calls are told as text where it can't."""
    result = [dict(message) for message in messages]
    if Capability.VISION not in capabilities:
        result = [_without_images(message) for message in result]
    if Capability.TOOLS not in capabilities:
        result = [_without_tools(message) for message in result]
    return result


def _without_images(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list) or all(part.get("type") != "image_url" for part in content):
        return message
    parts = [part if part.get("type") != "image_url" else {"type": "text", "text": "[an image]"} for part in content]
    return message | {"content": parts}


def _without_tools(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("role") == "tool":
        return {"role": "user", "content": f"Result of the tool call: {text_of(message.get('content'))}"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    told = [f"[calls {call['function']['name']}({call['function']['arguments']})]" for call in calls]
    text = "\n".join(filter(None, [text_of(message.get("content")), *told]))
    return {"role": "assistant", "content": text}
