"""What a worker answered, read from the OpenAI chat completion object.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from kubefugu_core.errors import WorkerError, WorkerProtocolError

_BYTES_PER_TOKEN = 4
"""Rule of thumb for workers that report no usage; such a count is marked as an estimate."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one worker call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    """True: the worker reported none and bytes were counted instead."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """One complete answer."""

    worker: str
    completion: dict[str, Any]
    """The chat.completion object as the worker sent it."""
    usage: TokenUsage
    cost_usd: float
    latency_ms: float
    cached: bool = False
    """True: taken from a reply cache; no worker was called."""

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message."""
        message: dict[str, Any] = self.completion["choices"][0]["message"]
        return message

    @property
    def text(self) -> str:
        """The message's text; "" where it has none."""
        return text_of(self.message.get("content"))

    @property
    def refusal(self) -> str | None:
        """The text of a refusal, None where there is none."""
        refusal = self.message.get("refusal")
        return refusal if isinstance(refusal, str) and refusal else None

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Tool calls, [] where there are none."""
        return self.message.get("tool_calls") or []

    @property
    def finish_reason(self) -> str:
        """Why it ended; "" where the worker does not say."""
        return self.completion["choices"][0].get("finish_reason") or ""

    @property
    def is_empty(self) -> bool:
        """True: no text, tool call, refusal, audio or reasoning at all."""
        message = self.message
        parts = ("tool_calls", "refusal", "function_call", "audio", "reasoning_content", "reasoning")
        return not self.text and not any(message.get(part) for part in parts)


def text_of(content: object) -> str:
    """Text of a message's content: a string, or the text parts of a list of content parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in ("text", "output_text")]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def error_text(error: object) -> str:
    """The message of an `error` member in any of the usual shapes, shortened."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("error") or ""
        if isinstance(error, dict):
            error = error.get("message") or ""
    return str(error)[:500]


def parse_completion(payload: bytes, *, worker: str) -> dict[str, Any]:
    """Read a chat.completion body. Raises WorkerProtocolError where it is none, WorkerError where it is an error object."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise WorkerProtocolError(f"Worker {worker} answered malformed JSON.", metadata={"worker": worker}) from error
    if not isinstance(document, dict):
        raise WorkerProtocolError(f"Worker {worker} answered JSON that is no object.", metadata={"worker": worker})
    if document.get("error"):
        raise WorkerError(
            f"Worker {worker} answered an error: {error_text(document['error'])}", metadata={"worker": worker, "status": "200"}
        )
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise WorkerProtocolError(f"Worker {worker} answered without choices.", metadata={"worker": worker})
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise WorkerProtocolError(f"Worker {worker} answered a choice without a message.", metadata={"worker": worker})
    return document


def read_usage(usage: object) -> TokenUsage | None:
    """OpenAI's usage object; None where it is absent or not usable."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or prompt < 0:
        return None
    return TokenUsage(prompt, completion if isinstance(completion, int) and completion > 0 else 0)


def estimate_tokens(size_bytes: int) -> int:
    """Tokens in so many bytes of text, by a rule of thumb."""
    return -(-size_bytes // _BYTES_PER_TOKEN)
