"""Counts per version (of a routing policy, or of a trained Conductor) since the process started; the operator sums them over
replicas for its canary gates."""

from __future__ import annotations

from dataclasses import dataclass

from kubefugu.executor.v1 import executor_pb2 as pb


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    failures: int = 0
    declined: int = 0


class PolicyCounters:
    """Requests, failures and declines by the version that decided. Requests that no policy decided are not counted."""

    def __init__(self) -> None:
        self._by_version: dict[str, _Counts] = {}

    def count(self, version: str, *, failed: bool, declined: int) -> None:
        """Book one ended request. One that the client gave up is not a failure of the policy."""
        if version:
            counts = self._by_version.setdefault(version, _Counts())
            counts.requests += 1
            counts.failures += failed
            counts.declined += declined

    def to_proto(self) -> list[pb.PolicyCounters]:
        """The counts as the RPC gives them."""
        return [
            pb.PolicyCounters(
                policy_version=version, requests=counts.requests, failures=counts.failures, declined=counts.declined
            )
            for version, counts in sorted(self._by_version.items())
        ]
