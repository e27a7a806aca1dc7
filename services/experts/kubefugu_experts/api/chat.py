"""From a chat completion request to the engines' question, and from a reply to OpenAI's objects. Pure.

Usage counts words: an engine has no tokenizer, so a token here is a run of letters and digits, or one other visible character.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubefugu_core.chat import ChatRequest
from kubefugu_core.errors import InvalidRequestError, UnsupportedFeatureError
from kubefugu_experts.engines.base import Answer, Question, Reply

MAX_QUESTION_CHARS = 8_000
MAX_EARLIER_MESSAGES = 4

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD_WITH_SPACE = re.compile(r"\s*\S+\s*$|\s*\S+")


def count_tokens(text: str) -> int:
    """Tokens of a text, as the module's docstring defines them."""
    return sum(1 for _ in _TOKEN.finditer(text))


def to_question(request: ChatRequest) -> Question:
    """The last user message with the user's earlier ones. Raises InvalidRequestError, UnsupportedFeatureError."""
    for capability, field in request.needs.items():
        raise UnsupportedFeatureError(f"The model '{request.model}' does not support {capability.value}.", field=field)
    if (request.body.get("n") or 1) > 1:
        raise UnsupportedFeatureError("Only n=1 is supported: there is one answer.", field="n")
    texts = [_text(message) for message in request.messages if message["role"] == "user"]
    if not texts:
        raise InvalidRequestError("There is no user message to answer.", field="messages")
    if len(texts[-1]) > MAX_QUESTION_CHARS:
        raise InvalidRequestError(
            f"The last user message has {len(texts[-1])} characters; at most {MAX_QUESTION_CHARS} are accepted.",
            field="messages",
            metadata={"code": "string_above_max_length"},
        )
    earlier = [text for text in texts[:-1][-MAX_EARLIER_MESSAGES:] if len(text) <= MAX_QUESTION_CHARS]
    return Question(text=texts[-1], earlier=tuple(earlier))


def prompt_tokens(request: ChatRequest) -> int:
    """Tokens of all messages."""
    return sum(count_tokens(_text(message)) for message in request.messages)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply on its way out."""

    id: str
    created_s: int
    model: str
    text: str
    refused: bool
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def complete(request: ChatRequest, reply: Reply) -> Completion:
    """Make the completion; max_tokens and stop sequences cut an answer (never a refusal)."""
    refused = not isinstance(reply, Answer)
    text = reply.reason if not isinstance(reply, Answer) else reply.text
    finish = "stop"
    if not refused:
        text = _cut_at_stop(text, request.body.get("stop"))
        text, finish = _cut_at_length(text, request.body.get("max_completion_tokens") or request.body.get("max_tokens"))
    return Completion(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created_s=int(time.time()),
        model=request.model,
        text=text,
        refused=refused,
        finish_reason=finish,
        prompt_tokens=prompt_tokens(request),
        completion_tokens=count_tokens(text),
    )


def _cut_at_stop(text: str, stop: str | list[str] | None) -> str:
    stops = [stop] if isinstance(stop, str) else stop or []
    positions = [text.find(sequence) for sequence in stops if sequence]
    found = [position for position in positions if position >= 0]
    return text[: min(found)] if found else text


def _cut_at_length(text: str, max_tokens: int | None) -> tuple[str, str]:
    if max_tokens is None:
        return text, "stop"
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number == max_tokens:
            return text[: match.start()].rstrip(), "length"
    return text, "stop"


def as_object(completion: Completion) -> dict[str, Any]:
    """A chat.completion object."""
    message = {
        "role": "assistant",
        "content": None if completion.refused else completion.text,
        "refusal": completion.text if completion.refused else None,
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created_s,
        "model": completion.model,
        "choices": [choice],
        "usage": completion.usage,
    }


def as_chunks(completion: Completion, *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """chat.completion.chunk objects: the role, the text word by word, the finish reason, the usage where asked for."""
    head = {
        "id": completion.id,
        "object": "chat.completion.chunk",
        "created": completion.created_s,
        "model": completion.model,
    }
    rest = {"usage": None} if include_usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}], **rest}

    field = "refusal" if completion.refused else "content"
    yield chunk({"role": "assistant", field: ""})
    for piece in _WORD_WITH_SPACE.findall(completion.text):
        yield chunk({field: piece})
    yield chunk({}, completion.finish_reason)
    if include_usage:
        yield {**head, "choices": [], "usage": completion.usage}
