"""Which workers can take a request at all: what it needs, against what workers declare. Decided before any routing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubefugu_coordination.workers.reply import text_of
from kubefugu_core.chat import ChatRequest
from kubefugu_core.errors import ContextTooLongError, InvalidRequestError, UnsupportedFeatureError
from kubefugu_core.pool import Capability, WorkerSpec

_CHARACTERS_PER_TOKEN = 6
"""More than any tokenizer packs on average, so that no worker is ruled out that could have taken the conversation."""
_WORDS = {
    Capability.TOOLS: "tools",
    Capability.VISION: "images",
    Capability.JSON_MODE: "response_format json_object",
    Capability.JSON_SCHEMA: "response_format json_schema",
    Capability.LOGPROBS: "logprobs",
}


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a worker of the pool is not offered."""

    worker: str
    because: str


@dataclass(frozen=True, slots=True)
class Eligible:
    """The workers that may be offered, in the pool's order, and why the others are not."""

    workers: tuple[WorkerSpec, ...]
    excluded: tuple[Exclusion, ...] = ()


def supports(worker: WorkerSpec, capability: Capability) -> bool:
    """Whether the worker declares it; who can follow a JSON schema can also write plain JSON."""
    if capability is Capability.JSON_MODE and Capability.JSON_SCHEMA in worker.capabilities:
        return True
    return capability in worker.capabilities


def least_tokens(chat: ChatRequest) -> int:
    """A number of tokens that the conversation has at least, without a tokenizer."""
    characters = sum(len(text_of(message.get("content"))) for message in chat.messages)
    return characters // _CHARACTERS_PER_TOKEN


def eligible_workers(chat: ChatRequest, workers: Sequence[WorkerSpec]) -> Eligible:
    """Apply allow, deny, capabilities and context length.

    Raises InvalidRequestError (allow, deny), UnsupportedFeatureError or ContextTooLongError, each naming the field, when no
    worker is left.
    """
    left, excluded = _chosen(chat, workers)
    for need, field in chat.needs.items():
        able = [worker for worker in left if supports(worker, need)]
        if not able:
            who = "worker" if len(left) == len(workers) else "allowed worker"
            raise UnsupportedFeatureError(f"No {who} supports {_WORDS[need]}.", field=field)
        excluded += _lost(left, able, f"does not support {_WORDS[need]}")
        left = able
    tokens = least_tokens(chat)
    fitting = [worker for worker in left if worker.context_tokens >= tokens]
    if not fitting:
        longest = max(worker.context_tokens for worker in left)
        raise ContextTooLongError(
            f"The conversation has at least {tokens} tokens; the longest context of an allowed worker is {longest}.",
            field="messages",
        )
    excluded += _lost(left, fitting, "its context is too short")
    return Eligible(tuple(fitting), tuple(excluded))


def _lost(before: Sequence[WorkerSpec], after: Sequence[WorkerSpec], because: str) -> list[Exclusion]:
    if len(before) == len(after):
        return []
    kept = {worker.name for worker in after}
    return [Exclusion(worker.name, because) for worker in before if worker.name not in kept]


def _chosen(chat: ChatRequest, workers: Sequence[WorkerSpec]) -> tuple[list[WorkerSpec], list[Exclusion]]:
    allow, deny = chat.options.allow, chat.options.deny
    if allow is None and not deny:
        return list(workers), []
    names = {worker.name for worker in workers}
    for field, given in (("allow", allow or ()), ("deny", deny)):
        if unknown := [name for name in given if name not in names]:
            raise InvalidRequestError(f"The pool has no worker {unknown[0]!r}.", field=f"kubefugu.{field}")
    chosen = [worker for worker in workers if (allow is None or worker.name in allow) and worker.name not in deny]
    if not chosen:
        field = "kubefugu.deny" if deny else "kubefugu.allow"
        raise InvalidRequestError("kubefugu.allow and kubefugu.deny leave no worker.", field=field)
    return chosen, _lost(workers, chosen, "not allowed by the request")
