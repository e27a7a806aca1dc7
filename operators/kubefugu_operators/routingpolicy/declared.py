"""The declared policy set: what routers mount. The rollout's state is an annotation on it, so that one write moves both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kubefugu_operators.api import GROUP
from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.names import child
from kubefugu_operators.routingpolicy.observed import Counts
from kubefugu_operators.routingpolicy.versions import Version

SET_KEY = "policy-set.json"
ROLLOUT = f"{GROUP}/rollout"
"""Annotation of the policy set's ConfigMap: the rollout's state as JSON."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A candidate on its way. `step` 0 loads it in shadow; 1.. are the canary steps."""

    candidate: str
    step: int = 0
    percent: int = 0
    step_started: str = ""
    baseline: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)
    """Executors' counters of the active version and of the candidate when the rollout began."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the routers shall do."""

    generation: int = 0
    active: str = ""
    previous: str = ""
    rollout: Rollout | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Versions that routers need, the active one first."""
        candidate = self.rollout.candidate if self.rollout else ""
        return tuple(dict.fromkeys(name for name in (self.active, candidate) if name))

    def same_orders(self, other: Declared) -> bool:
        """True where the routers are told the same, whatever the rollout's times and the generation."""
        return _orders(self) == _orders(other)


def _orders(declared: Declared) -> tuple[str, str, int]:
    rollout = declared.rollout
    return declared.active, rollout.candidate if rollout else "", rollout.percent if rollout else 0


def set_name(policy: str) -> str:
    """ConfigMap with the declared set and the active version's artifact."""
    return f"{policy}-policyset"


def candidate_name(policy: str) -> str:
    """ConfigMap with the candidate's artifact."""
    return f"{policy}-candidate"


def policy_set(declared: Declared, versions: Mapping[str, Version], *, directory: str) -> dict[str, Any]:
    """kubefugu.router.v1.PolicySet in proto3 JSON."""
    sources = []
    for name in declared.names:
        version = versions.get(name)
        if version is not None:
            uri = version.url or f"file://{directory}/{artifact_key(name)}"
            sources.append({"version": name, "uri": uri, "sha256": version.sha256})
    document: dict[str, Any] = {"generation": declared.generation, "active": declared.active, "sources": sources}
    if declared.rollout is not None:
        if declared.rollout.step == 0:
            document["shadow"] = [declared.rollout.candidate]
        else:
            document["canary"] = {"version": declared.rollout.candidate, "percent": declared.rollout.percent}
    return document


def artifact_key(version: str) -> str:
    """File name of a version's artifact in the routers' folder."""
    return f"{version}.safetensors"


def config_maps(policy: Body, declared: Declared, versions: Mapping[str, Version], *, directory: str) -> list[Body]:
    """The ConfigMaps that routers mount into one folder; the candidate's is written first, so no name precedes its file."""
    name = policy["metadata"]["name"]
    result = []
    candidate = versions.get(declared.rollout.candidate) if declared.rollout else None
    if candidate is not None and candidate.artifact:
        body = child(policy, "ConfigMap", candidate_name(name))
        result.append({**body, "binaryData": {artifact_key(candidate.name): candidate.artifact}})
    state = json.dumps(_state(declared), sort_keys=True)
    body = child(policy, "ConfigMap", set_name(name), annotations={ROLLOUT: state})
    document = policy_set(declared, versions, directory=directory)
    content: Body = {"data": {SET_KEY: json.dumps(document, indent=1)}}
    active = versions.get(declared.active)
    if active is not None and active.artifact:
        content["binaryData"] = {artifact_key(active.name): active.artifact}
    return [*result, {**body, **content}]


def _state(declared: Declared) -> dict[str, Any]:
    state: dict[str, Any] = {"generation": declared.generation, "active": declared.active, "previous": declared.previous}
    if declared.rollout is not None:
        state["rollout"] = asdict(declared.rollout)
    return state


def parse(bodies: Sequence[Body], policy: str) -> Declared | None:
    """The state that the policy set's ConfigMap carries; None where there is none or it can't be read."""
    for body in bodies:
        if body["metadata"]["name"] == set_name(policy):
            try:
                return _parsed(json.loads((body["metadata"].get("annotations") or {})[ROLLOUT]))
            except (KeyError, ValueError, TypeError):
                return None
    return None


def _parsed(state: dict[str, Any]) -> Declared:
    declared = Declared(generation=int(state["generation"]), active=state["active"], previous=state.get("previous", ""))
    told = state.get("rollout")
    if not told:
        return declared
    baseline = {
        pod: {version: Counts(**counts) for version, counts in versions.items()} for pod, versions in told["baseline"].items()
    }
    return replace(declared, rollout=Rollout(**{**told, "baseline": baseline}))
