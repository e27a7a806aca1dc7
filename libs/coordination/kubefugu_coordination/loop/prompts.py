"""What workers are told in each role. The client's conversation always goes along; only its last message is extended.

A solver in its first turn gets the conversation exactly as the client sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubefugu_coordination.job import Message
from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.pool import Role

SOLVER_WITH_THOUGHTS = (
    "The reference thoughts above are answers of other models to this conversation. They may be wrong or incomplete. "
    "Use what is right in them and give your own complete answer."
)
SOLVER_WITH_SUGGESTION = (
    "A reviewer suggests how to go on. Follow the suggestion as far as it is right, and give a complete answer."
)
THINKER = (
    "You advise other models; do not answer the query yourself. Analyse the query and the current response in <info>: what is "
    "right, what is wrong, what is missing. Then write what should be done next between <suggestion> and </suggestion>, and "
    "who should do it: <suggested_role>solver</suggested_role> for a new or better answer, or "
    "<suggested_role>verifier</suggested_role> if the current response only needs to be checked. Both tags are required."
)
VERIFIER = (
    "You check the response to the query in <info>. Work out whether it is correct and complete. Begin your reply with ACCEPT "
    "if it is, or with REJECT if it is not, followed by a short reason."
)
_NOTHING_YET = "(none yet)"
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call")
_ANSWER_FORM = ("response_format", "stop", "n", "logprobs", "top_logprobs", "logit_bias", "prediction", "modalities", "audio")


def thought_blocks(thoughts: Sequence[str]) -> str:
    """`<reference_thought_N>` blocks of earlier solver turns, N from 0."""
    return "\n".join(f"<reference_thought_{n}>\n{text}\n</reference_thought_{n}>" for n, text in enumerate(thoughts))


def solver_messages(messages: Sequence[Message], *, thoughts: Sequence[str], suggestion: str) -> list[Message]:
    """The conversation, with earlier thoughts and a thinker's suggestion after the last message."""
    parts = []
    if thoughts:
        parts.append(f"{thought_blocks(thoughts)}\n\n{SOLVER_WITH_THOUGHTS}")
    if suggestion:
        parts.append(f"<suggestion>\n{suggestion}\n</suggestion>\n\n{SOLVER_WITH_SUGGESTION}")
    return _extended(messages, "\n\n".join(parts)) if parts else list(messages)


def thinker_messages(messages: Sequence[Message], *, response: str | None) -> list[Message]:
    """The conversation, then query and current response in <info> and the thinker's task."""
    return _extended(messages, f"{_info(messages, response)}\n\n{THINKER}")


def verifier_messages(messages: Sequence[Message], *, response: str) -> list[Message]:
    """The conversation, then query and latest response in <info> and the verifier's task."""
    return _extended(messages, f"{_info(messages, response)}\n\n{VERIFIER}")


def role_body(body: dict[str, Any], role: Role) -> dict[str, Any]:
    """The request's members for a role: thinkers and verifiers get no tools and no prescribed form of answer."""
    if role is Role.SOLVER:
        return body
    return {name: value for name, value in body.items() if name not in _TOOLS and name not in _ANSWER_FORM}


def _info(messages: Sequence[Message], response: str | None) -> str:
    query = next((text_of(m.get("content")) for m in reversed(messages) if m["role"] == "user"), "")
    return f"<info>\n<query>\n{query}\n</query>\n<response>\n{response or _NOTHING_YET}\n</response>\n</info>"


def _extended(messages: Sequence[Message], text: str) -> list[Message]:
    """Put text after the conversation: into the last message if it is the user's (many chat templates want alternation)."""
    last = messages[-1]
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": text}]
    content = last.get("content")
    if isinstance(content, list):
        extended: object = [*content, {"type": "text", "text": text}]
    else:
        extended = f"{content or ''}\n\n{text}"
    return [*messages[:-1], {**last, "content": extended}]
