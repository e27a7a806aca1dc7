"""How a line of versions moves: load in shadow, canary steps, promotion or rejection. A pure state machine.

The first version becomes active at once, as nothing serves yet. A later one is loaded by every router before it decides
anything; each canary step lasts its pause and until the candidate has answered enough requests; a candidate that fails clearly
more often than the active version is rejected and stays so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kubefugu_operators.conditions import Finding, parse_timestamp, timestamp
from kubefugu_operators.routingpolicy.api import ConditionType, Reason, RoutingPolicySpec, Strategy
from kubefugu_operators.routingpolicy.declared import Declared, Rollout
from kubefugu_operators.routingpolicy.observed import Counts, ExecutorCounts, RouterView
from kubefugu_operators.routingpolicy.versions import Version

REFUSAL_GRACE_S = 30.0
"""A router may look for an artifact before its kubelet has brought it; only a refusal that lasts counts."""
_LOADED = frozenset({"resident", "active", "canary", "shadow"})
_EARLY_SAMPLE = 10
"""Requests of the candidate from which its failures can end a rollout."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision looks at."""

    spec: RoutingPolicySpec
    versions: Sequence[Version]
    """Newest first."""
    declared: Declared
    routers: Mapping[str, RouterView]
    counters: ExecutorCounts
    now: datetime
    behind_since: datetime | None = None
    """When the routers stopped serving what is declared; None where they serve it."""


@dataclass(frozen=True, slots=True)
class Move:
    """What shall be declared now."""

    declared: Declared
    progress: Finding
    rejected: tuple[str, str] | None = None
    """Version that was given up, and why."""
    pin_missing: bool = False


def advance(at: Situation) -> Move:
    """One move. Called again with its own result and nothing new, it moves nothing."""
    usable = [version for version in at.versions if version.usable]
    names = {version.name for version in usable}
    if at.spec.pin:
        if at.spec.pin in names:
            return Move(_activate(at.declared, at.spec.pin), _progress("True", Reason.PINNED, f"{at.spec.pin} is pinned."))
        return Move(at.declared, _progress("False", Reason.PINNED, f"{at.spec.pin} is not published."), pin_missing=True)
    candidates = [version for version in usable if not version.rejected]
    if at.declared.active not in names:
        first = candidates[0].name if candidates else ""
        return Move(_activate(at.declared, first), _idle())
    if at.spec.suspend:
        return Move(at.declared, _progress("False", Reason.SUSPENDED, "spec.suspend is true."))
    left = _leave_lost_active(at, candidates)
    if left is not None:
        return left
    newest = candidates[0].name if candidates else ""
    if at.spec.rollout.strategy is Strategy.MANUAL or newest in ("", at.declared.active):
        return Move(replace(at.declared, rollout=None), _idle(_last_rejection(at.versions)))
    if _is_older(newest, at):
        return Move(replace(at.declared, rollout=None), _idle(_last_rejection(at.versions)))
    rollout = at.declared.rollout
    if rollout is None or rollout.candidate != newest:
        return _begin(at, newest)
    return _continue(at, rollout)


def _leave_lost_active(at: Situation, candidates: Sequence[Version]) -> Move | None:
    """Away from an active version that a pin brought and no pin holds any more: one that was rejected, or that no router loads.

    A rollout could not do it: routers take a declared set over as a whole, and this one names a version that they refuse.
    """
    active = at.declared.active
    others = [version.name for version in candidates if version.name != active]
    if not others or at.spec.rollout.strategy is Strategy.MANUAL:
        return None
    if any(version.name == active and version.rejected for version in at.versions):
        lost = bool(at.routers) and _nobody_serves_active(at)
        # What served before is known to serve; the newest may never have been tried.
        target = at.declared.previous if at.declared.previous in others else others[0]
        return Move(_activate(at.declared, target), _idle()) if lost or _is_older(others[0], at) else None
    refusal = _refusal(at, active)
    lasts = at.behind_since is not None and (at.now - at.behind_since).total_seconds() >= REFUSAL_GRACE_S
    if refusal and lasts and all(view.state(active) == "refused" for view in at.routers.values()):
        return Move(
            at.declared, _progress("False", Reason.CANDIDATE_REJECTED, f"{active}: {refusal}"), rejected=(active, refusal)
        )
    return None


def _is_older(name: str, at: Situation) -> bool:
    """True where the version was published before the active one: it was superseded, not announced."""
    order = [version.name for version in at.versions]
    return order.index(name) > order.index(at.declared.active)


def _activate(declared: Declared, version: str) -> Declared:
    if declared.active == version:
        return replace(declared, rollout=None)
    return replace(declared, active=version, previous=declared.active or declared.previous, rollout=None)


def _begin(at: Situation, candidate: str) -> Move:
    watched = (at.declared.active, candidate)
    baseline = {
        pod: {version: counts[version] for version in watched if version in counts} for pod, counts in at.counters.items()
    }
    rollout = Rollout(candidate=candidate, step_started=timestamp(at.now), baseline=baseline)
    message = f"{candidate} is being loaded."
    return Move(replace(at.declared, rollout=rollout), _progress("True", Reason.LOADING_CANDIDATE, message))


def _continue(at: Situation, rollout: Rollout) -> Move:
    elapsed_s = (at.now - parse_timestamp(rollout.step_started)).total_seconds()
    refusal = _refusal(at, rollout.candidate)
    if refusal and elapsed_s >= REFUSAL_GRACE_S:
        return _reject(at, rollout, refusal)
    if rollout.step == 0:
        return _loading(at, rollout, elapsed_s)
    worse = _worse(at, rollout)
    if worse:
        return _reject(at, rollout, worse)
    return _stepping(at, rollout, elapsed_s)


def _loading(at: Situation, rollout: Rollout, elapsed_s: float) -> Move:
    waiting = [pod for pod, view in at.routers.items() if view.state(rollout.candidate) not in _LOADED]
    if waiting or not at.routers:
        message = f"Waiting for {', '.join(sorted(waiting)[:3]) or 'a pod'} to load {rollout.candidate}."
        return Move(at.declared, _progress("True", Reason.LOADING_CANDIDATE, message))
    if _nobody_serves_active(at) or at.spec.rollout.strategy is Strategy.IMMEDIATE:
        return _promote(at, rollout)
    if elapsed_s < at.spec.rollout.shadow_seconds:
        return Move(at.declared, _progress("True", Reason.SHADOWING, f"{rollout.candidate} decides in shadow."))
    return _enter(at, rollout, 1)


def _nobody_serves_active(at: Situation) -> bool:
    return all(view.state(at.declared.active) in ("", "refused") for view in at.routers.values())


def _enter(at: Situation, rollout: Rollout, step: int) -> Move:
    percent = at.spec.rollout.steps[step - 1].percent
    moved = replace(rollout, step=step, percent=percent, step_started=timestamp(at.now))
    return Move(replace(at.declared, rollout=moved), _canary(moved, len(at.spec.rollout.steps)))


def _stepping(at: Situation, rollout: Rollout, elapsed_s: float) -> Move:
    steps = at.spec.rollout.steps
    if rollout.step > len(steps):
        return _promote(at, rollout)
    if steps[rollout.step - 1].percent != rollout.percent:
        return _enter(at, rollout, rollout.step)
    if elapsed_s < steps[rollout.step - 1].pause_seconds:
        return Move(at.declared, _canary(rollout, len(steps)))
    seen = counts_of(at.counters, rollout.baseline, rollout.candidate).requests
    wanted = at.spec.rollout.abort.minimum_requests
    if seen < wanted:
        message = f"{rollout.candidate} has decided {seen} of {wanted} requests."
        return Move(at.declared, _progress("True", Reason.WAITING_FOR_REQUESTS, message))
    if rollout.step < len(steps):
        return _enter(at, rollout, rollout.step + 1)
    return _promote(at, rollout)


def _promote(at: Situation, rollout: Rollout) -> Move:
    return Move(_activate(at.declared, rollout.candidate), _idle())


def _reject(at: Situation, rollout: Rollout, why: str) -> Move:
    finding = _progress("False", Reason.CANDIDATE_REJECTED, f"{rollout.candidate}: {why}")
    return Move(replace(at.declared, rollout=None), finding, rejected=(rollout.candidate, why))


def _refusal(at: Situation, candidate: str) -> str:
    for pod, view in sorted(at.routers.items()):
        loaded = view.policies.get(candidate)
        if loaded is not None and loaded.state == "refused":
            return f"{pod} refuses it: {loaded.message or loaded.reason}"
    return ""


def counts_of(counters: ExecutorCounts, baseline: ExecutorCounts, version: str) -> Counts:
    """Requests of a version since the rollout began, summed over executors."""
    total = Counts()
    for pod, counts in counters.items():
        if version in counts:
            total += counts[version].since(baseline.get(pod, {}).get(version, Counts()))
    return total


def _worse(at: Situation, rollout: Rollout) -> str:
    """Why the candidate is clearly worse than the active version; empty where it is not."""
    abort = at.spec.rollout.abort
    candidate = counts_of(at.counters, rollout.baseline, rollout.candidate)
    active = counts_of(at.counters, rollout.baseline, at.declared.active)
    if candidate.requests < max(1, min(_EARLY_SAMPLE, abort.minimum_requests)):
        return ""
    failures = _percent(candidate.failures, candidate.requests) - _percent(active.failures, active.requests)
    if failures > abort.max_failure_percent:
        return (
            f"{candidate.failures} of {candidate.requests} requests failed, {active.failures} of {active.requests}"
            f" of {at.declared.active}; {abort.max_failure_percent} points more are allowed"
        )
    feedback, before = candidate.positive + candidate.negative, active.positive + active.negative
    if feedback >= max(1, min(_EARLY_SAMPLE, abort.minimum_requests)):
        negative = _percent(candidate.negative, feedback) - _percent(active.negative, before)
        if negative > abort.max_negative_feedback_percent:
            return f"{candidate.negative} of {feedback} ratings are negative, {active.negative} of {before} before"
    return ""


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _last_rejection(versions: Sequence[Version]) -> str:
    newest = versions[0] if versions else None
    return f"{newest.name} was rejected: {newest.rejected}" if newest is not None and newest.rejected else ""


def _idle(message: str = "") -> Finding:
    reason = Reason.CANDIDATE_REJECTED if "was rejected" in message else Reason.IDLE
    return _progress("False", reason, message)


def _canary(rollout: Rollout, steps: int) -> Finding:
    message = f"{rollout.candidate} decides {rollout.percent} % of conversations (step {rollout.step} of {steps})."
    return _progress("True", Reason.CANARY_STEP, message)


def _progress(status: str, reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.PROGRESSING, "True" if status == "True" else "False", reason, message)
