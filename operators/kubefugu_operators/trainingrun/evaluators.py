"""The evaluators of a run: when they are there, how many are ready, what is wrong with them. Pure."""

from __future__ import annotations

from kubefugu_operators import pods
from kubefugu_operators.cluster.objects import Body, Ref
from kubefugu_operators.conditions import Finding
from kubefugu_operators.names import child
from kubefugu_operators.plan import Deletion
from kubefugu_operators.trainingrun import objects
from kubefugu_operators.trainingrun.observed import RunObserved
from kubefugu_operators.trainingrun.spec import TrainingRunSpec
from kubefugu_operators.trainingrun.stages import JobPhase, JobState, finding
from kubefugu_operators.trainingrun.status import ConditionType, Reason

_OVER = ("succeeded", "failed")
"""States of a driver that needs no evaluator any more."""


def plan(
    observed: RunObserved, spec: TrainingRunSpec, state: JobState, defaults: objects.PodDefaults
) -> tuple[tuple[Body, ...], tuple[Body, ...], tuple[Deletion, ...]]:
    """What to create, to apply and to delete.

    They are made when the driver runs, so that nothing holds GPUs for a run that can't start; a driver that is replaced finds
    them still there. Only their number changes later: what measures a run stays what it was.
    """
    current = _current(observed)
    if not _needed(observed, spec, state):
        return (), (), (_deletion(current),) if current else ()
    if current is not None:
        return (), (_changes(observed.body, spec),), ()
    if state.phase is not JobPhase.RUNNING:
        return (), (), ()
    return (objects.evaluators(observed.body, spec, defaults),), (), ()


def leftover(observed: RunObserved) -> tuple[Deletion, ...]:
    """The Deployment of a run that is over."""
    current = _current(observed)
    return (_deletion(current),) if current else ()


def ready(observed: RunObserved) -> int:
    """Evaluator pods that are ready."""
    return sum(map(pods.is_ready, observed.evaluators))


def condition(observed: RunObserved, spec: TrainingRunSpec, state: JobState) -> Finding:
    """EvaluatorsReady."""
    kind = ConditionType.EVALUATORS_READY
    if not spec.evaluators.replicas:
        return finding(kind, "False", Reason.NOT_REQUESTED)
    if not _needed(observed, spec, state):
        return finding(
            kind, "False" if spec.suspend else "Unknown", Reason.SUSPENDED_BY_USER if spec.suspend else Reason.WAITING
        )
    trouble = pods.first_trouble(observed.evaluators)
    if trouble is not None:
        reason = Reason.RETRYING if trouble.reason is pods.Trouble.CRASHING else Reason(trouble.reason.value)
        return finding(kind, "False", reason, trouble.message)
    count = f"{ready(observed)} of {spec.evaluators.replicas} are ready."
    if ready(observed):
        return finding(kind, "True", Reason.EVALUATORS_RUNNING, count)
    return finding(kind, "Unknown", Reason.EVALUATORS_PENDING, count)


def _needed(observed: RunObserved, spec: TrainingRunSpec, state: JobState) -> bool:
    if not spec.evaluators.replicas or spec.suspend or state.phase not in (JobPhase.WAITING, JobPhase.RUNNING):
        return False
    return _driver_state(observed) not in _OVER


def _driver_state(observed: RunObserved) -> str:
    """What the driver said last; the status remembers it where the driver can't be asked now."""
    if observed.view is not None and observed.view.state:
        return observed.view.state
    told = (observed.body.get("status") or {}).get("progress") or {}
    return str(told.get("state", "")).lower()


def _current(observed: RunObserved) -> Body | None:
    return observed.child("Deployment", objects.evaluators_name(observed.body["metadata"]["name"]))


def _deletion(current: Body) -> Deletion:
    meta = current["metadata"]
    return Deletion(Ref("Deployment", meta["namespace"], meta["name"]), meta["uid"])


def _changes(run: Body, spec: TrainingRunSpec) -> Body:
    body = child(run, "Deployment", objects.evaluators_name(run["metadata"]["name"]))
    return {**body, "spec": {"replicas": spec.evaluators.replicas}}
