"""The parsed request, and the one function that makes it from bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from kubefugu_core.chat.explain import explain, invalid
from kubefugu_core.chat.json_body import load_object
from kubefugu_core.chat.limits import ChatLimits
from kubefugu_core.chat.needs import capability_needs
from kubefugu_core.chat.rules import check_rules, refuse_unsupported
from kubefugu_core.chat.schema import CHAT_BODY
from kubefugu_core.chat.tidy import tidy_messages
from kubefugu_core.options import KubefuguOptions
from kubefugu_core.pool import Capability

COORDINATED_MODELS = ("fugu", "fugu-ultra")
"""Models that are no worker: the loop and the workflow."""

GATEWAY_FIELDS = frozenset(
    {
        "kubefugu",
        "metadata",
        "modalities",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""Top-level fields that are meant for us, not for a worker: drop them from what a worker is sent."""

_NO_OPTIONS = KubefuguOptions()
_DEFAULT_LIMITS = ChatLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion request whose types and rules hold."""

    body: dict[str, Any]
    """The JSON object as the client wrote it, without top-level fields that are null and with tidied messages. Not to be
    changed in place."""
    model: str
    messages: list[dict[str, Any]]
    """`body["messages"]`."""
    stream: bool
    include_usage: bool
    """stream_options.include_usage: the last chunk before [DONE] carries the usage."""
    reasoning_effort: str | None
    options: KubefuguOptions
    needs: Mapping[Capability, str]
    """Capabilities that a worker must have, each with the field that asks for it."""


def is_coordinated(model: str) -> bool:
    """True for `fugu` and `fugu-ultra`, also with a pool before a slash; anything else names a worker."""
    return model.rsplit("/", 1)[-1] in COORDINATED_MODELS


def parse_chat_request(raw: bytes, *, limits: ChatLimits = _DEFAULT_LIMITS) -> ChatRequest:
    """Read a request body. Raises InvalidRequestError (or its UnsupportedFeatureError) naming the offending field."""
    body = load_object(raw, limits)
    refuse_unsupported(body)
    messages = body.get("messages")
    # Before the schema, so that a huge conversation is not walked first.
    if isinstance(messages, list) and len(messages) > limits.max_messages:
        raise invalid(
            ("messages",),
            f"Invalid 'messages': array too long. Expected at most {limits.max_messages} entries, but got {len(messages)}.",
            "array_above_max_length",
        )
    try:
        CHAT_BODY.validate_python(body)
    except ValidationError as error:
        raise explain(error) from error
    model: str = body["model"]
    check_rules(body, coordinated=is_coordinated(model))
    options = _options(body.get("kubefugu"))
    body = {key: value for key, value in body.items() if value is not None} | {"messages": tidy_messages(body["messages"])}
    return ChatRequest(
        body=body,
        model=model,
        messages=body["messages"],
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        reasoning_effort=body.get("reasoning_effort"),
        options=options,
        needs=capability_needs(body),
    )


def _options(value: dict[str, Any] | None) -> KubefuguOptions:
    if not value:
        return _NO_OPTIONS
    try:
        # Strict JSON mode takes arrays for tuples, and no string for a number.
        return KubefuguOptions.model_validate_json(orjson.dumps(value), strict=True)
    except ValidationError as error:
        raise explain(error, at=("kubefugu",)) from error
