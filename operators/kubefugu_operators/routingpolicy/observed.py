"""What a reconciliation of a routing policy sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kubefugu_operators.cluster.objects import Body, Ref


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """What a router says about one version."""

    state: str
    """resident, active, canary, shadow or refused."""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RouterView:
    """One router's answer to GetPolicies."""

    reachable: bool
    serving_generation: int = 0
    policies: Mapping[str, LoadedPolicy] = field(default_factory=dict)
    message: str = ""
    """Why it is not reachable."""

    def state(self, version: str) -> str:
        """State of a version, empty where the router does not know it."""
        loaded = self.policies.get(version)
        return loaded.state if loaded else ""


@dataclass(frozen=True, slots=True)
class Counts:
    """An executor's counters of one version since its process began."""

    requests: int = 0
    failures: int = 0
    positive: int = 0
    negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests,
            self.failures + other.failures,
            self.positive + other.positive,
            self.negative + other.negative,
        )

    def since(self, earlier: Counts) -> Counts:
        """Growth since `earlier`; a process that began anew counts from zero."""
        if self.requests < earlier.requests:
            return self
        return Counts(
            self.requests - earlier.requests,
            max(0, self.failures - earlier.failures),
            max(0, self.positive - earlier.positive),
            max(0, self.negative - earlier.negative),
        )


ExecutorCounts = Mapping[str, Mapping[str, Counts]]
"""Executor pod -> version -> counters."""


@dataclass(frozen=True, slots=True)
class PolicyObserved:
    """A policy and everything around it, as it is now."""

    body: Body
    now: datetime
    children: Mapping[Ref, Body] = field(default_factory=dict)
    """Version ConfigMaps, the policy set, the candidate's ConfigMap."""
    router_pods: tuple[Body, ...] = ()
    routers: Mapping[str, RouterView] = field(default_factory=dict)
    """Answers by pod name; pods that have not been asked yet are missing."""
    unanswered: bool = False
    """No router, or no executor, has answered since this operator began to ask."""
    counters: ExecutorCounts = field(default_factory=dict)
