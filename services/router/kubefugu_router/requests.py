"""Requests on the wire, checked once: protobuf in, plain values out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import InvalidRequestError
from kubefugu_core.pool import Role
from kubefugu_routing.formats import Message
from kubefugu_routing.selection import Offer, Sampling

MAX_MESSAGES = 10_000
MAX_OFFERS = 1_024

ROLE_TO_PROTO = {
    Role.SOLVER: common_pb2.ROLE_SOLVER,
    Role.THINKER: common_pb2.ROLE_THINKER,
    Role.VERIFIER: common_pb2.ROLE_VERIFIER,
}
_ROLE_FROM_PROTO = {number: role for role, number in ROLE_TO_PROTO.items()}


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """One decision that is asked for."""

    transcript: tuple[Message, ...]
    offers: tuple[Offer, ...]
    conversation_key: str
    pinned: str
    sampling: Sampling | None

    @property
    def affinity(self) -> str:
        """What canary assignment sticks to: the conversation's key, else its first message."""
        return self.conversation_key or "\0".join(self.transcript[0])


def transcript_of(messages: Iterable[common_pb2.TranscriptMessage]) -> tuple[Message, ...]:
    """Role and text of each message."""
    return tuple((message.role, message.text) for message in messages)


def parse(request: router_pb2.RouteRequest) -> RouteQuery:
    """Check a request. Raises InvalidRequestError naming the field."""
    if not request.transcript:
        raise InvalidRequestError("The transcript is empty.", field="transcript")
    if len(request.transcript) > MAX_MESSAGES:
        raise InvalidRequestError(f"The transcript has more than {MAX_MESSAGES} messages.", field="transcript")
    if not request.allowed:
        raise InvalidRequestError("At least one worker must be allowed.", field="allowed")
    if len(request.allowed) > MAX_OFFERS:
        raise InvalidRequestError(f"More than {MAX_OFFERS} workers are allowed.", field="allowed")
    return RouteQuery(
        transcript=transcript_of(request.transcript),
        offers=tuple(_offer(worker) for worker in request.allowed),
        conversation_key=request.conversation_key,
        pinned=request.policy_version,
        sampling=_sampling(request),
    )


def _offer(worker: common_pb2.AllowedWorker) -> Offer:
    if not worker.name:
        raise InvalidRequestError("An allowed worker has no name.", field="allowed.name")
    roles = set()
    for number in worker.roles:
        if number not in _ROLE_FROM_PROTO:
            raise InvalidRequestError(f"{number} is not a role.", field="allowed.roles")
        roles.add(_ROLE_FROM_PROTO[number])
    return Offer(worker.name, worker.model, frozenset(roles))


def _sampling(request: router_pb2.RouteRequest) -> Sampling | None:
    if not request.HasField("sampling"):
        return None
    temperature = request.sampling.temperature
    if not (math.isfinite(temperature) and temperature > 0):
        raise InvalidRequestError("The sampling temperature must be greater than 0.", field="sampling.temperature")
    return Sampling(temperature, request.sampling.seed)
