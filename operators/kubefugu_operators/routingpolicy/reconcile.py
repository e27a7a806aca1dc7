"""The decision about a policy: what is declared to the routers, which versions are kept, what the status says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from kubefugu_operators.cluster.drift import differs, stamped
from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.conditions import Finding, merge, parse_timestamp
from kubefugu_operators.names import POLICY_VERSION, is_owned
from kubefugu_operators.plan import Annotation, Deletion, Plan, Refusals
from kubefugu_operators.routingpolicy import declared as declaring
from kubefugu_operators.routingpolicy import versions as versioning
from kubefugu_operators.routingpolicy.api import ConditionType, Reason, RoutingPolicySpec
from kubefugu_operators.routingpolicy.declared import Declared
from kubefugu_operators.routingpolicy.observed import PolicyObserved
from kubefugu_operators.routingpolicy.rollout import Move, Situation, advance
from kubefugu_operators.routingpolicy.summary import build_status, converged
from kubefugu_operators.routingpolicy.versions import Version

SET_GENERATION = "kubefugu.dev/policyset-generation"
"""Annotation on router pods: the declared generation that they were told to read."""
_SOON_S = 2.0
_MOVING_S = 5.0
_STEADY_S = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a cluster decides about all policies."""

    router_directory: str
    """Folder in which routers mount the declared set."""


def reconcile(observed: PolicyObserved, refusals: Refusals, settings: Settings) -> Plan:
    """The declared set, rejections, superfluous versions, nudges and status of a policy."""
    try:
        spec = RoutingPolicySpec.model_validate(observed.body["spec"])
    except ValidationError as error:
        return _invalid(observed, error)
    versions = versioning.newest_first(observed.children.values())
    stored = _stored(observed)
    situation = Situation(
        spec=spec,
        versions=versions,
        declared=stored,
        routers=observed.routers,
        counters=observed.counters,
        now=observed.now,
        behind_since=_behind_since(observed, stored),
    )
    move = advance(situation)
    declared = _numbered(move.declared, stored, observed)
    wanted = _wanted(observed, declared, versions, settings)
    routers = converged(declared, observed)
    findings = [_found(versions), _declared(move, declared, spec, wanted, refusals), routers, move.progress]
    return Plan(
        mark=_rejection(move, versions, observed),
        delete=_superfluous(observed, wanted, versions, declared, spec),
        apply=tuple(wanted),
        nudge=_nudges(observed, declared, wanted),
        status=build_status(observed, declared, versions, move, findings),
        requeue_after_s=_requeue(declared, stored, findings),
    )


def _invalid(observed: PolicyObserved, error: ValidationError) -> Plan:
    first = error.errors(include_url=False, include_input=False)[0]
    message = f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    generation = observed.body["metadata"].get("generation", 0)
    previous = observed.body.get("status") or {}
    findings = [
        Finding(ConditionType.VERSIONS_FOUND, "False", Reason.INVALID_SPEC, message),
        Finding(ConditionType.READY, "False", Reason.INVALID_SPEC, message),
    ]
    conditions = merge(findings, previous.get("conditions", ()), generation=generation, now=observed.now)
    return Plan(status={**previous, "observedGeneration": generation, "conditions": conditions})


def _stored(observed: PolicyObserved) -> Declared:
    """What is declared now. A lost ConfigMap is rebuilt from the status."""
    name = observed.body["metadata"]["name"]
    maps = [body for ref, body in observed.children.items() if ref.kind == "ConfigMap"]
    found = declaring.parse(maps, name)
    if found is not None:
        return found
    status = observed.body.get("status") or {}
    return Declared(
        generation=status.get("generation", 0), active=status.get("active", ""), previous=status.get("previous", "")
    )


def _behind_since(observed: PolicyObserved, stored: Declared) -> datetime | None:
    """Since when the status tells of what is declared that not every router serves it."""
    status = observed.body.get("status") or {}
    for condition in status.get("conditions", ()):
        if condition["type"] == ConditionType.CONVERGED and condition["status"] == "False":
            return parse_timestamp(condition["lastTransitionTime"]) if status.get("active") == stored.active else None
    return None


def _numbered(declared: Declared, stored: Declared, observed: PolicyObserved) -> Declared:
    """A generation that grows with every order, and past whatever a router serves already."""
    served = max((view.serving_generation for view in observed.routers.values()), default=0)
    if declared.same_orders(stored) and stored.generation >= served and stored.generation > 0:
        return replace(declared, generation=stored.generation)
    return replace(declared, generation=max(stored.generation, served) + 1)


def _wanted(observed: PolicyObserved, declared: Declared, versions: Sequence[Version], settings: Settings) -> list[Body]:
    if not declared.active:
        return []
    by_name = {version.name: version for version in versions}
    return declaring.config_maps(observed.body, declared, by_name, directory=settings.router_directory)


def _rejection(move: Move, versions: Sequence[Version], observed: PolicyObserved) -> tuple[Annotation, ...]:
    """Written before the set changes: a crash in between must not give the candidate a second run."""
    if move.rejected is None:
        return ()
    name, why = move.rejected
    namespace = observed.body["metadata"]["namespace"]
    return tuple(
        Annotation(Ref("ConfigMap", namespace, version.config_map), versioning.REJECTED, why[:1000])
        for version in versions
        if version.name == name
    )


def _superfluous(
    observed: PolicyObserved,
    wanted: Sequence[Body],
    versions: Sequence[Version],
    declared: Declared,
    spec: RoutingPolicySpec,
) -> tuple[Deletion, ...]:
    """Versions beyond the history limit that nothing refers to, and the candidate's ConfigMap when there is no candidate."""
    in_use = {*declared.names, declared.previous, spec.pin}
    idle = [version for version in versions if version.name not in in_use]
    old = {version.config_map for version in idle[spec.version_history_limit :]}
    kept = {ref_of(body) for body in wanted}
    result = []
    for ref, body in sorted(observed.children.items()):
        if not is_owned(body, observed.body) or body["metadata"].get("deletionTimestamp") or ref in kept:
            continue
        is_version = POLICY_VERSION in (body["metadata"].get("labels") or {})
        if ref.name in old or (not is_version and declared.active):
            result.append(Deletion(ref, body["metadata"]["uid"]))
    return tuple(result)


def _nudges(observed: PolicyObserved, declared: Declared, wanted: Sequence[Body]) -> tuple[Annotation, ...]:
    """Router pods read their mounted folder again at once, but only when what they shall read is stored already."""
    if not wanted or any(differs(stamped(body), observed.children.get(ref_of(body))) for body in wanted):
        return ()
    value = str(declared.generation)
    return tuple(
        Annotation(Ref("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]), SET_GENERATION, value)
        for pod in observed.router_pods
        if (pod["metadata"].get("annotations") or {}).get(SET_GENERATION) != value
        and not pod["metadata"].get("deletionTimestamp")
    )


def _found(versions: Sequence[Version]) -> Finding:
    corrupt = next((version for version in versions if not version.usable), None)
    if corrupt is not None:
        message = f"version {corrupt.name}: {corrupt.corrupt}"
        return Finding(ConditionType.VERSIONS_FOUND, "False", Reason.ARTIFACT_CORRUPT, message)
    if not versions:
        return Finding(ConditionType.VERSIONS_FOUND, "False", Reason.NO_VERSION, "Nothing is published yet.")
    return Finding(ConditionType.VERSIONS_FOUND, "True", Reason.VERSIONS_FOUND)


def _declared(move: Move, declared: Declared, spec: RoutingPolicySpec, wanted: Sequence[Body], refusals: Refusals) -> Finding:
    refused = [message for ref, message in refusals.items() if ref in {ref_of(body) for body in wanted}]
    if refused:
        reason = Reason.NAME_CONFLICT if "belongs to" in refused[0] else Reason.WRITE_REFUSED
        return Finding(ConditionType.DECLARED, "False", reason, refused[0])
    if move.pin_missing:
        message = f"spec.pin is {spec.pin}, which is not published."
        return Finding(ConditionType.DECLARED, "False", Reason.PIN_NOT_FOUND, message)
    if not declared.active:
        return Finding(ConditionType.DECLARED, "False", Reason.NO_VERSION, "Nothing is published yet.")
    return Finding(ConditionType.DECLARED, "True", Reason.DECLARED)


def _requeue(declared: Declared, stored: Declared, findings: Sequence[Finding]) -> float:
    if declared != stored:
        return _SOON_S
    converging = any(f.type == ConditionType.CONVERGED and f.reason == Reason.PROPAGATING for f in findings)
    return _MOVING_S if declared.rollout is not None or converging else _STEADY_S
