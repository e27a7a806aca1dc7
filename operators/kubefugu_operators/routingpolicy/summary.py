"""Status of a policy: states of its versions, how many routers serve the declared set, the summary condition. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.conditions import Finding, first_failing, merge
from kubefugu_operators.routingpolicy.api import (
    ConditionType,
    Reason,
    RolloutStatus,
    RoutingPolicyStatus,
    VersionStatus,
)
from kubefugu_operators.routingpolicy.declared import Declared
from kubefugu_operators.routingpolicy.observed import PolicyObserved, RouterView
from kubefugu_operators.routingpolicy.rollout import Move, counts_of
from kubefugu_operators.routingpolicy.versions import Version


def serves(view: RouterView | None, declared: Declared) -> bool:
    """True where a router does what is declared."""
    if view is None or not view.reachable or view.serving_generation < declared.generation:
        return False
    return view.state(declared.active) == "active"


def converged(declared: Declared, observed: PolicyObserved) -> Finding:
    """Whether every router serves the declared set."""

    def finding(reason: Reason, message: str = "") -> Finding:
        truth = "True" if reason is Reason.ALL_ROUTERS_SERVE else "False"
        return Finding(ConditionType.CONVERGED, "True" if truth == "True" else "False", reason, message)

    if not declared.active:
        return finding(Reason.NO_VERSION, "There is nothing to serve yet.")
    pods = _alive(observed)
    if not pods:
        return finding(Reason.NO_ROUTERS, "No router or Conductor pod follows this policy.")
    behind = [pod for pod in pods if not serves(observed.routers.get(pod), declared)]
    if not behind:
        return finding(Reason.ALL_ROUTERS_SERVE, f"{len(pods)} of {len(pods)} pods serve {declared.active}.")
    for pod in behind:
        view = observed.routers.get(pod)
        loaded = view.policies.get(declared.active) if view else None
        if loaded is not None and loaded.state == "refused":
            return finding(Reason.ROUTER_REFUSED, f"{pod} refuses {declared.active}: {loaded.message or loaded.reason}")
        if view is not None and not view.reachable:
            return finding(Reason.ROUTER_UNREACHABLE, f"{pod}: {view.message}")
    return finding(Reason.PROPAGATING, f"{', '.join(behind[:3])}: not there yet.")


def _alive(observed: PolicyObserved) -> list[str]:
    pods = [pod for pod in observed.router_pods if not pod["metadata"].get("deletionTimestamp")]
    return sorted(pod["metadata"]["name"] for pod in pods if (pod.get("status") or {}).get("phase") != "Failed")


def build_status(
    observed: PolicyObserved,
    declared: Declared,
    versions: Sequence[Version],
    move: Move,
    findings: Sequence[Finding],
) -> Body:
    """The whole status."""
    generation = observed.body["metadata"].get("generation", 0)
    rollout = declared.rollout
    pods = _alive(observed)
    serving = [pod for pod in pods if serves(observed.routers.get(pod), declared)]
    status = RoutingPolicyStatus(
        observed_generation=generation,
        active=declared.active,
        previous=declared.previous,
        rollout=_rollout(declared),
        canary=f"{rollout.candidate} {rollout.percent}%" if rollout else "",
        generation=declared.generation if declared.active else 0,
        routers=f"{len(serving)}/{len(pods)}",
        versions=tuple(_version(version, declared, observed, move) for version in versions),
    )
    body = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    body["conditions"] = merge([*findings, _ready(findings)], previous, generation=generation, now=observed.now)
    return body


def _rollout(declared: Declared) -> RolloutStatus:
    if declared.rollout is None:
        return RolloutStatus()
    told = declared.rollout
    return RolloutStatus(candidate=told.candidate, step=told.step, percent=told.percent, step_started=told.step_started)


def _version(version: Version, declared: Declared, observed: PolicyObserved, move: Move) -> VersionStatus:
    rejected = version.rejected or (move.rejected[1] if move.rejected and move.rejected[0] == version.name else "")
    refused = next(
        (view.policies[version.name].message or view.policies[version.name].reason for view in observed.routers.values()
         if view.state(version.name) == "refused"), ""
    )  # fmt: skip
    counted = declared.rollout is not None and version.name in declared.names
    counts = counts_of(observed.counters, declared.rollout.baseline, version.name) if counted and declared.rollout else None
    return VersionStatus(
        name=version.name,
        state=_state(version, declared, rejected=bool(rejected), refused=bool(refused)),
        sha256=version.sha256[:64],
        config_map=version.config_map,
        source=version.source[:253],
        gain=version.gain[:32],
        published=version.published,
        message=(version.corrupt or rejected or refused)[:1024],
        requests=counts.requests if counts else 0,
        failures=counts.failures if counts else 0,
    )


def _state(version: Version, declared: Declared, *, rejected: bool, refused: bool) -> str:
    rollout = declared.rollout
    if version.name == declared.active:
        return "Refused" if refused else "Active"
    if rollout is not None and version.name == rollout.candidate:
        return "Canary" if rollout.step else "Shadow"
    if rejected:
        return "Rejected"
    return "Refused" if refused or not version.usable else "Available"


def _ready(findings: Sequence[Finding]) -> Finding:
    """Ready: the active version is declared and served. A corrupt spare version or a rejected candidate changes nothing."""
    needed = [finding for finding in findings if finding.type in (ConditionType.DECLARED, ConditionType.CONVERGED)]
    bad = first_failing(needed)
    if bad is None:
        served = next(finding for finding in needed if finding.type == ConditionType.CONVERGED)
        return Finding(ConditionType.READY, "True", Reason.SERVING, served.message)
    return Finding(ConditionType.READY, bad.status, bad.reason, bad.message)
