"""The decision about a run: freeze, start, watch, collect, publish, clean up. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError

from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.conditions import Finding, merge, parse_timestamp
from kubefugu_operators.names import QUEUE_NAME
from kubefugu_operators.plan import Deletion, Plan, Refusals
from kubefugu_operators.trainingrun import evaluators, objects, stages
from kubefugu_operators.trainingrun.observed import RunObserved
from kubefugu_operators.trainingrun.snapshot import Unready, build, snapshot_name
from kubefugu_operators.trainingrun.spec import ManagedBy, TrainingRunSpec
from kubefugu_operators.trainingrun.stages import JobPhase, JobState, finding
from kubefugu_operators.trainingrun.status import ConditionType, Reason
from kubefugu_operators.trainingrun.summary import build_status

_SOON_S = 1.0
_ACTIVE_S = 120.0
"""Jobs, pods and drivers tell of themselves; this is for what was missed."""
_WAITING_S = 15.0
"""Pools and tables that a run waits for are not watched."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a cluster decides about all runs."""

    pods: objects.PodDefaults


def reconcile(observed: RunObserved, refusals: Refusals, settings: Settings) -> Plan:
    """Objects and status of a run."""
    try:
        spec = TrainingRunSpec.model_validate(observed.body["spec"])
    except ValidationError as error:
        return _invalid(observed, error)
    if spec.managed_by is not ManagedBy.OPERATOR:
        return _elsewhere(observed, spec)
    if is_finished(observed.body):
        return _finished(observed, spec)
    snapshot = observed.child("ConfigMap", snapshot_name(observed.body["metadata"]["name"]))
    try:
        wanted = snapshot or build(observed, spec)
    except Unready as unready:
        return _unready(observed, spec, unready)
    return _live(observed, spec, wanted, refusals, settings, frozen=snapshot is not None)


def is_finished(body: Body) -> bool:
    """True where Succeeded is True or False: nothing will change any more."""
    for condition in (body.get("status") or {}).get("conditions", ()):
        if condition["type"] == ConditionType.SUCCEEDED:
            return bool(condition["status"] != "Unknown")
    return False


def _live(
    observed: RunObserved, spec: TrainingRunSpec, snapshot: Body, refusals: Refusals, settings: Settings, *, frozen: bool
) -> Plan:
    state = stages.job_state(observed)
    first = _frozen(observed, refusals)
    suspended = _suspended(spec)
    running = stages.driver(observed, spec, state)
    done = stages.trained(observed, state)
    published = stages.publication(observed, spec, done)
    helpers = evaluators.condition(observed, spec, state)
    findings = [first, suspended, running, helpers, done, published.finding]
    create, apply, delete = _objects(observed, spec, settings, state, snapshot, frozen=frozen)
    more = evaluators.plan(observed, spec, state, settings.pods)
    create, apply, delete = (*create, *more[0]), (*apply, *more[1]), (*delete, *more[2])
    status = build_status(observed, spec, snapshot, findings, state, published.version)
    finished = is_finished({"status": status})
    return Plan(
        delete=() if finished else delete,
        create=(*(() if finished else create), *_collect(observed, done), *published.create),
        apply=() if finished else apply,
        release=_release(observed),
        status=status,
        requeue_after_s=_requeue(observed, spec, state, done, finished=finished) if first.holds else _WAITING_S,
    )


def _objects(
    observed: RunObserved, spec: TrainingRunSpec, settings: Settings, state: JobState, snapshot: Body, *, frozen: bool
) -> tuple[tuple[Body, ...], tuple[Body, ...], tuple[Deletion, ...]]:
    """What to create, what to apply, what to delete for the driver."""
    create: list[Body] = [] if frozen else [snapshot]
    if spec.storage.size:
        create.append(objects.claim(observed.body, spec))
    queued = QUEUE_NAME in (observed.body["metadata"].get("labels") or {})
    wanted = objects.job(observed.body, spec, settings.pods, suspend=spec.suspend or queued)
    current = observed.children.get(ref_of(wanted))
    if current is None:
        return (tuple(create) if spec.suspend else (*create, wanted)), (), ()
    if state.phase in (JobPhase.COMPLETE, JobPhase.FAILED) or current["metadata"].get("deletionTimestamp"):
        return tuple(create), (), ()
    if _must_be_made_anew(observed, spec, current, wanted, queued=queued):
        return tuple(create), (), (Deletion(ref_of(wanted), current["metadata"]["uid"]),)
    return tuple(create), (objects.job_changes(observed.body, spec, suspend=spec.suspend),), ()


def _must_be_made_anew(observed: RunObserved, spec: TrainingRunSpec, current: Body, wanted: Body, *, queued: bool) -> bool:
    """A Job's template can't change: it is made anew while nothing runs. A queued Job is suspended by removing it."""
    if queued and spec.suspend:
        return True
    told = (current["metadata"].get("annotations") or {}).get(objects.TEMPLATE)
    idle = spec.suspend or not (observed.body.get("status") or {}).get("startTime")
    return idle and told != wanted["metadata"]["annotations"][objects.TEMPLATE]


def _frozen(observed: RunObserved, refusals: Refusals) -> Finding:
    kind = ConditionType.SNAPSHOT_READY
    for message in refusals.values():
        reason = Reason.NAME_CONFLICT if "belongs to" in message else Reason.WRITE_REFUSED
        return finding(kind, "False", reason, message)
    return finding(kind, "True", Reason.SNAPSHOT_FROZEN)


def _suspended(spec: TrainingRunSpec) -> Finding:
    if spec.suspend:
        return finding(ConditionType.SUSPENDED, "True", Reason.SUSPENDED_BY_USER)
    return finding(ConditionType.SUSPENDED, "False", Reason.NOT_SUSPENDED)


def _collect(observed: RunObserved, done: Finding) -> tuple[Body, ...]:
    if observed.collected is None or done.reason == Reason.ARTIFACT_REFUSED:
        return ()
    return (objects.artifact(observed.body, observed.collected),)


def _release(observed: RunObserved) -> tuple[str, ...]:
    """A driver is let go only when its artifact is seen stored."""
    stored = observed.child("ConfigMap", objects.artifact_name(observed.body["metadata"]["name"]))
    address = stages.driver_address(observed)
    holds = observed.view is not None and observed.view.state == "succeeded"
    return (address,) if stored is not None and holds and address else ()


def _requeue(observed: RunObserved, spec: TrainingRunSpec, state: JobState, done: Finding, *, finished: bool) -> float | None:
    if finished or state.phase in (JobPhase.COMPLETE, JobPhase.FAILED) or done.reason == Reason.COLLECTING_ARTIFACT:
        return _SOON_S
    if state.phase is JobPhase.ABSENT and not spec.suspend:
        return _SOON_S
    due = stages.start_due(observed, spec)
    if due is None or state.phase is JobPhase.RUNNING:
        return _ACTIVE_S
    return max(_SOON_S, min(_ACTIVE_S, (due - observed.now).total_seconds() + _SOON_S))


def _finished(observed: RunObserved, spec: TrainingRunSpec) -> Plan:
    """Nothing is started any more; a Job that was given up goes, and the run itself when its time has come."""
    status = {**observed.body["status"], "observedGeneration": observed.body["metadata"].get("generation", 0)}
    delete: list[Deletion] = list(evaluators.leftover(observed))
    state = stages.job_state(observed)
    if state.phase in (JobPhase.WAITING, JobPhase.RUNNING, JobPhase.SUSPENDED):
        job = observed.children[stages.job_ref(observed)]
        delete.append(Deletion(stages.job_ref(observed), job["metadata"]["uid"]))
    remaining_s: float | None = None
    if spec.ttl_seconds_after_finished is not None:
        end = parse_timestamp(status.get("completionTime") or observed.body["metadata"]["creationTimestamp"])
        due = end + timedelta(seconds=spec.ttl_seconds_after_finished)
        remaining_s = max(0.0, (due - observed.now).total_seconds())
        if remaining_s == 0.0:
            meta = observed.body["metadata"]
            delete.append(Deletion(Ref("TrainingRun", meta["namespace"], meta["name"]), meta["uid"]))
            remaining_s = None
    return Plan(delete=tuple(delete), status=status, requeue_after_s=remaining_s)


def _invalid(observed: RunObserved, error: ValidationError) -> Plan:
    first = error.errors(include_url=False, include_input=False)[0]
    message = f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return _early(observed, [finding(ConditionType.SNAPSHOT_READY, "False", Reason.INVALID_SPEC, message)])


def _unready(observed: RunObserved, spec: TrainingRunSpec, unready: Unready) -> Plan:
    early = [finding(ConditionType.SNAPSHOT_READY, "False", unready.reason, unready.message), _suspended(spec)]
    return _early(observed, early, algorithm=spec.algorithm.name, requeue_after_s=_WAITING_S)


def _elsewhere(observed: RunObserved, spec: TrainingRunSpec) -> Plan:
    told = finding(ConditionType.SUCCEEDED, "Unknown", Reason.MANAGED_ELSEWHERE, spec.managed_by.value)
    generation = observed.body["metadata"].get("generation", 0)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    conditions = merge([told], previous, generation=generation, now=observed.now)
    return Plan(status={"observedGeneration": generation, "conditions": conditions})


def _early(
    observed: RunObserved, findings: list[Finding], *, algorithm: str = "", requeue_after_s: float | None = None
) -> Plan:
    """Status of a run that can't start yet: the first stage says why, the others wait. It is not over: mending helps."""
    told = {entry.type for entry in findings}
    order = [kind for kind in ConditionType if kind is not ConditionType.SUCCEEDED and kind not in told]
    waiting = [finding(kind, "Unknown", Reason.WAITING) for kind in order]
    first = findings[0]
    summary = Finding(ConditionType.SUCCEEDED, "Unknown", first.reason, first.message)
    generation = observed.body["metadata"].get("generation", 0)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    merged = merge([*findings, *waiting, summary], previous, generation=generation, now=observed.now)
    status: Body = {"observedGeneration": generation, "conditions": merged}
    if algorithm:
        status["algorithm"] = algorithm
    return Plan(status=status, requeue_after_s=requeue_after_s)
