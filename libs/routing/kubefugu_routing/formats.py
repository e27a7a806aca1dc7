"""The two texts a router reads, and their truncation.

`raw` is the reference's `"\\n".join(f"{role}: {content}")` without special tokens; `chat` is the model's chat template over the
dispatcher prompt and the observation with an open answer and thinking switched off, as the authors of TRINITY run it
(arXiv 2512.04695, section 3). The format is part of a policy: a head reads only the format that it was trained on.

Truncation keeps the head and the tail of the token sequence: the first quarter of the limit and the last three quarters. The
head holds the system text and the question's beginning, the tail the latest turns and, in `chat`, the template's end, so that
the feature is always read at the same place. A text far beyond the limit is first cut by characters in the same proportion, so
that a transcript of megabytes does not cost seconds of tokenisation; the tokens of that cut are estimated from the density of
what was kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from kubefugu_core.errors import ArtifactRefusedError, InvalidRequestError

Message = tuple[str, str]
"""Role and text of one transcript message."""

DISPATCHER_PROMPT = (
    "You are a message dispatcher whose job is to coordinate {num_agents} agents to solve a problem. "
    "You check the problem and the discussion history and then decide which agent should respond next. "
    "Your first generated token's hidden state will be used as signal for decision making."
)
"""Compatibility string of the `chat` format; `num_agents` is the number of worker rows."""

CHARS_PER_TOKEN_BOUND = 32
"""A text is cut by characters only beyond this many characters per allowed token; ordinary text has three to five."""


class RouterFormat(StrEnum):
    """How a transcript becomes the router's input text."""

    RAW = "raw"
    CHAT = "chat"


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    chat_template: Any

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Tokenise; the result has `input_ids`."""
        ...

    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any:
        """Render the model's chat template."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """A transcript as the engine reads it."""

    token_ids: list[int]
    text: str
    """The text that was tokenised."""
    truncated: bool
    dropped_tokens: int
    """Tokens left out of the middle; estimated where the text was cut by characters first."""


def observation(messages: Sequence[Message]) -> str:
    """The transcript as one text: a lone user message as it is, anything else as `role: content` lines."""
    if len(messages) == 1 and messages[0][0] == "user":
        return messages[0][1]
    return "\n".join(f"{role}: {text}" for role, text in messages)


def render(messages: Sequence[Message], fmt: RouterFormat, *, tokenizer: Tokenizer | None = None, num_agents: int) -> str:
    """The router's input text, untruncated.

    Raises InvalidRequestError for an empty transcript and ArtifactRefusedError where `chat` meets a tokenizer without a
    template.
    """
    if not messages:
        raise InvalidRequestError("The transcript is empty.", field="transcript")
    if fmt is RouterFormat.RAW:
        return "\n".join(f"{role}: {text}" for role, text in messages)
    return _render_chat(observation(messages), tokenizer, num_agents)


def _render_chat(text: str, tokenizer: Tokenizer | None, num_agents: int) -> str:
    if tokenizer is None or not getattr(tokenizer, "chat_template", None):
        raise ArtifactRefusedError("The chat format needs a backbone whose tokenizer has a chat template.")
    conversation = [
        {"role": "system", "content": DISPATCHER_PROMPT.format(num_agents=num_agents)},
        {"role": "user", "content": text},
    ]
    rendered = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return str(rendered)


def _split(limit: int) -> tuple[int, int]:
    """How many units of the head and of the tail are kept."""
    head = limit // 4
    return head, limit - head


def _cut_characters(text: str, limit: int) -> tuple[str, int]:
    """Cut the middle of an oversized text; returns the text and the number of characters left out."""
    if len(text) <= limit:
        return text, 0
    head, tail = _split(limit)
    return text[:head] + text[-tail:], len(text) - limit


def encode(
    messages: Sequence[Message], fmt: RouterFormat, tokenizer: Tokenizer, *, num_agents: int, max_tokens: int
) -> Encoded:
    """Render, tokenise and truncate to at most `max_tokens` tokens (at least 16).

    Raises InvalidRequestError for an empty transcript or one of fewer than two tokens (the feature is read at position -2).
    """
    if max_tokens < 16:
        raise ValueError("max_tokens must be at least 16")
    if not messages:
        raise InvalidRequestError("The transcript is empty.", field="transcript")
    bound = max_tokens * CHARS_PER_TOKEN_BOUND
    if fmt is RouterFormat.RAW:
        text, cut = _cut_characters(render(messages, fmt, num_agents=num_agents), bound)
    else:
        content, cut = _cut_characters(observation(messages), bound)
        text = _render_chat(content, tokenizer, num_agents)
    token_ids = list(tokenizer(text, add_special_tokens=False).input_ids)
    if len(token_ids) < 2:
        raise InvalidRequestError("The transcript has fewer than two tokens.", field="transcript")
    dropped = round(cut * len(token_ids) / len(text))
    if len(token_ids) > max_tokens:
        head, tail = _split(max_tokens)
        dropped += len(token_ids) - max_tokens
        token_ids = token_ids[:head] + token_ids[-tail:]
    return Encoded(token_ids=token_ids, text=text, truncated=dropped > 0, dropped_tokens=dropped)
