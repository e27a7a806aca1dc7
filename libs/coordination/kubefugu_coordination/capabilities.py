"""Which workers can take a request at all: what it needs, against what workers declare. Decided before any routing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kubefugu_coordination.chat import ChatRequest
from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.errors import ContextTooLongError, InvalidRequestError, UnsupportedFeatureError
from kubefugu_core.pool import Capability, WorkerSpec

_CHARACTERS_PER_TOKEN = 6
"""More than any tokenizer packs on average, so that no worker is ruled out that could have taken the conversation."""
_PARTS = {"text": None, "refusal": None, "image_url": Capability.VISION}


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a request needs: any of these capabilities. None of them: nothing we know supports it."""

    field: str
    what: str
    any_of: tuple[Capability, ...]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a worker of the pool is not offered."""

    worker: str
    because: str


@dataclass(frozen=True, slots=True)
class Eligible:
    """The workers that may be offered, in the pool's order, and why the others are not."""

    workers: tuple[WorkerSpec, ...]
    excluded: tuple[Exclusion, ...]


def needs_of(request: ChatRequest) -> list[Need]:
    """What the request needs beyond text, each with the field that says so."""
    needs = []
    body = request.body
    for field in ("tools", "functions"):
        if body.get(field):
            needs.append(Need(field, "tools", (Capability.TOOLS,)))
    response_format = body.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_schema":
        needs.append(Need("response_format", "response_format json_schema", (Capability.JSON_SCHEMA,)))
    elif kind == "json_object":
        needs.append(Need("response_format", "response_format json_object", (Capability.JSON_MODE, Capability.JSON_SCHEMA)))
    for field in ("logprobs", "top_logprobs"):
        if body.get(field):
            needs.append(Need(field, "logprobs", (Capability.LOGPROBS,)))
    for number, message in enumerate(request.messages):
        if message.get("tool_calls") or message["role"] in ("tool", "function"):
            needs.append(Need(f"messages[{number}]", "tool calls and results", (Capability.TOOLS,)))
        content = message.get("content")
        if isinstance(content, list):
            needs.extend(_content_needs(content, f"messages[{number}].content"))
    return needs


def _content_needs(content: Sequence[object], field: str) -> Iterable[Need]:
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise InvalidRequestError("A content part needs a type.", field=f"{field}[{number}]")
        if kind not in _PARTS:
            yield Need(f"{field}[{number}]", f"content of type {kind}", ())
        elif (capability := _PARTS[kind]) is not None:
            yield Need(f"{field}[{number}]", "images", (capability,))


def least_tokens(request: ChatRequest) -> int:
    """A number of tokens that the conversation has at least, without a tokenizer."""
    characters = sum(len(text_of(message.get("content"))) for message in request.messages)
    return characters // _CHARACTERS_PER_TOKEN


def eligible_workers(request: ChatRequest, workers: Sequence[WorkerSpec]) -> Eligible:
    """Apply allow, deny, capabilities and context length.

    Raises InvalidRequestError (allow, deny), UnsupportedFeatureError or ContextTooLongError, each naming the field, when no
    worker is left.
    """
    left, excluded = _chosen(request, workers)
    for need in needs_of(request):
        able = [worker for worker in left if any(capability in worker.capabilities for capability in need.any_of)]
        if not able:
            raise UnsupportedFeatureError(
                f"No {'allowed ' if len(left) < len(workers) else ''}worker supports {need.what}.", field=need.field
            )
        excluded += [Exclusion(worker.name, f"no {need.what}") for worker in left if worker not in able]
        left = able
    tokens = least_tokens(request)
    fitting = [worker for worker in left if worker.context_tokens >= tokens]
    if not fitting:
        longest = max(worker.context_tokens for worker in left)
        raise ContextTooLongError(
            f"The conversation has at least {tokens} tokens; the longest context of an allowed worker is {longest}.",
            field="messages",
        )
    excluded += [Exclusion(worker.name, "context too short") for worker in left if worker not in fitting]
    return Eligible(tuple(fitting), tuple(excluded))


def _chosen(request: ChatRequest, workers: Sequence[WorkerSpec]) -> tuple[list[WorkerSpec], list[Exclusion]]:
    options = request.options
    names = {worker.name for worker in workers}
    for field, given in (("allow", options.allow or ()), ("deny", options.deny)):
        if unknown := [name for name in given if name not in names]:
            raise InvalidRequestError(f"The pool has no worker {unknown[0]!r}.", field=f"kubefugu.{field}")
    allowed = [w for w in workers if (options.allow is None or w.name in options.allow) and w.name not in options.deny]
    if not allowed:
        raise InvalidRequestError("kubefugu.allow and kubefugu.deny leave no worker.", field="kubefugu.deny")
    return allowed, [Exclusion(worker.name, "not allowed by the request") for worker in workers if worker not in allowed]
