"""What types cannot say: fields that need or exclude each other, and the order of tool calls and their results."""

from __future__ import annotations

from typing import Any

from kubefugu_core.chat.explain import invalid
from kubefugu_core.errors import UnsupportedFeatureError

_NOT_SUPPORTED = {
    "functions": "Use 'tools' instead.",
    "function_call": "Use 'tool_choice' instead.",
    "audio": "Answers are text.",
    "prediction": "Predicted outputs belong to one model, and a request may be answered by any.",
    "web_search_options": "No worker searches the web.",
    "moderation": "Answers are not moderated.",
}
"""Parameters of OpenAI's API that are known here and refused by name."""


def refuse_unsupported(body: dict[str, Any]) -> None:
    """Refuse OpenAI's parameters that have no meaning here, instead of calling them unknown."""
    for name, why in _NOT_SUPPORTED.items():
        if name in body:
            if body[name] is not None:
                raise UnsupportedFeatureError(
                    f"Unsupported parameter: '{name}'. {why}", field=name, metadata={"code": "unsupported_parameter"}
                )
            del body[name]


def check_rules(body: dict[str, Any], *, coordinated: bool) -> None:
    """Check a body whose types are right. Raises InvalidRequestError for the first rule that it breaks."""
    if body.get("stream_options") is not None and not body.get("stream"):
        raise invalid(("stream_options",), "'stream_options' is only allowed when 'stream' is true.", "invalid_value")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise invalid(
            ("max_tokens",), "Set either 'max_tokens' or 'max_completion_tokens', not both.", "invalid_parameter_combination"
        )
    if (body.get("n") or 1) > 1 and body["model"].endswith("fugu-ultra"):
        raise invalid(("n",), "A workflow has one answer: n must be 1.", "unsupported_value")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise invalid(("top_logprobs",), "'top_logprobs' is only allowed when 'logprobs' is true.", "invalid_value")
    if body.get("logit_bias") and coordinated:
        raise invalid(
            ("logit_bias",),
            "'logit_bias' names tokens of one model, so it is only allowed when a worker is called by its own name.",
            "unsupported_value",
        )
    _check_tools(body)
    _check_conversation(body["messages"])


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    for name in ("tool_choice", "parallel_tool_calls"):
        # "none" asks for nothing, and some frameworks always send it.
        if body.get(name) not in (None, "none") and not tools:
            raise invalid((name,), f"'{name}' is only allowed when 'tools' are specified.", "invalid_value")
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        wanted = choice["function"]["name"]
        if all(tool["function"]["name"] != wanted for tool in tools or ()):
            raise invalid(
                ("tool_choice", "function", "name"), f"Tool choice '{wanted}' not found in 'tools' parameter.", "invalid_value"
            )


def _check_conversation(messages: list[dict[str, Any]]) -> None:
    """Every tool result answers a call of the assistant message before it, and every call is answered."""
    open_calls: set[str] = set()
    opened_at = 0
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "tool":
            call_id = message["tool_call_id"]
            if call_id not in open_calls:
                raise invalid(
                    ("messages", index, "tool_call_id"),
                    "A message with role 'tool' must answer a tool call of the assistant message before it, once.",
                    "invalid_value",
                )
            open_calls.discard(call_id)
            continue
        if open_calls:
            raise _unanswered(opened_at, open_calls)
        if role == "assistant":
            opened_at = index
            open_calls = _calls_of(message, index)
    if open_calls:
        raise _unanswered(opened_at, open_calls)


def _calls_of(message: dict[str, Any], index: int) -> set[str]:
    calls = message.get("tool_calls") or []
    if message.get("content") is None and message.get("refusal") is None and not calls:
        raise invalid(
            ("messages", index, "content"),
            "An assistant message needs 'content', 'refusal' or 'tool_calls'.",
            "missing_required_parameter",
        )
    ids = {call["id"] for call in calls}
    if len(ids) != len(calls):
        raise invalid(("messages", index, "tool_calls"), "Two tool calls of one message have the same id.", "invalid_value")
    return ids


def _unanswered(index: int, calls: set[str]) -> Exception:
    shown = ", ".join(sorted(call[:64] for call in calls)[:4])
    return invalid(
        ("messages", index, "tool_calls"),
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"These tool_call_ids did not have response messages: {shown}.",
        "invalid_value",
    )
