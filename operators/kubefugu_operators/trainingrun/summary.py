"""Status of a run: progress, attempts, artifact, result, and the summary condition. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.conditions import Finding, merge, timestamp
from kubefugu_operators.trainingrun import evaluators, objects, report, stages
from kubefugu_operators.trainingrun.observed import RunObserved, RunView
from kubefugu_operators.trainingrun.snapshot import data_sha256
from kubefugu_operators.trainingrun.spec import TrainingRunSpec
from kubefugu_operators.trainingrun.stages import JobPhase, JobState
from kubefugu_operators.trainingrun.status import (
    Artifact,
    ConditionType,
    Progress,
    Reason,
    TrainingRunStatus,
)

_ENDS = frozenset(
    {
        Reason.BACKOFF_LIMIT_EXCEEDED,
        Reason.ACTIVE_DEADLINE_EXCEEDED,
        Reason.START_DEADLINE_EXCEEDED,
        Reason.INVALID_INPUT,
        Reason.REPORT_MISSING,
        Reason.ARTIFACT_REFUSED,
    }
)
"""Reasons that end a run for good."""


def succeeded(findings: Sequence[Finding]) -> Finding:
    """The summary: the first stage that fails for good, the stage that is going on, or the outcome."""
    kind = ConditionType.SUCCEEDED
    for told in findings:
        if told.status == "False" and told.reason in _ENDS:
            return Finding(kind, "False", told.reason, told.message)
    by_type = {told.type: told for told in findings}
    snapshot, driver = by_type[ConditionType.SNAPSHOT_READY], by_type[ConditionType.DRIVER_RUNNING]
    trained, published = by_type[ConditionType.TRAINED], by_type[ConditionType.PUBLISHED]
    if snapshot.status == "False":
        return Finding(kind, "Unknown", snapshot.reason, snapshot.message)
    if trained.holds:
        if published.holds:
            return Finding(kind, "True", Reason.PUBLISHED_VERSION, published.message)
        if published.reason == Reason.NOT_REQUESTED:
            return Finding(kind, "True", Reason.TRAINED)
        if published.reason == Reason.GATE_NOT_MET:
            return Finding(kind, "True", Reason.TRAINED_NOT_PUBLISHED, published.message)
        return Finding(kind, "Unknown", published.reason, published.message)
    if driver.status == "False" and driver.reason != Reason.DRIVER_ENDED:
        return Finding(kind, "Unknown", driver.reason, driver.message)
    helpers = by_type[ConditionType.EVALUATORS_READY]
    if helpers.status == "False" and helpers.message:
        return Finding(kind, "Unknown", helpers.reason, helpers.message)
    return Finding(kind, "Unknown", Reason.RUNNING, trained.message or driver.message)


def build_status(
    observed: RunObserved,
    spec: TrainingRunSpec,
    snapshot: Body,
    findings: Sequence[Finding],
    state: JobState,
    version: str,
) -> Body:
    """The whole status."""
    before = TrainingRunStatus.model_validate(observed.body.get("status") or {})
    generation = observed.body["metadata"].get("generation", 0)
    summary = succeeded(findings)
    told = stages.stored_report(observed)
    attempts = _attempts(observed, before, suspended=spec.suspend or state.phase is JobPhase.SUSPENDED)
    progress = _progress(observed.view) or before.progress
    ended = summary.status != "Unknown"
    running = state.phase is JobPhase.RUNNING
    status = TrainingRunStatus(
        observed_generation=generation,
        algorithm=spec.algorithm.name,
        snapshot=snapshot["metadata"]["name"],
        data_sha256=data_sha256(snapshot),
        job=objects.job_name(observed.body["metadata"]["name"]) if state.phase is not JobPhase.ABSENT else "",
        **attempts,
        evaluators=f"{evaluators.ready(observed)}/{spec.evaluators.replicas}" if spec.evaluators.replicas and not ended else "",
        start_time=before.start_time or (timestamp(observed.now) if running else ""),
        completion_time=before.completion_time or (timestamp(observed.now) if ended else ""),
        progress=progress,
        progress_text=f"{progress.step}/{progress.total_steps}" if progress.total_steps else "",
        checkpoint=(observed.view.checkpoint if observed.view else "") or before.checkpoint,
        artifact=_artifact(observed, told, version) if told else before.artifact,
        result=report.result(told) if told else before.result,
    )
    body = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    previous = (observed.body.get("status") or {}).get("conditions", ())
    body["conditions"] = merge([*findings, summary], previous, generation=generation, now=observed.now)
    return body


def _attempts(observed: RunObserved, before: TrainingRunStatus, *, suspended: bool) -> dict[str, Any]:
    """The newest driver pod, and what ended attempts: the program's own error, a suspension, or the loss of the pod."""
    newest = observed.pods[-1] if observed.pods else None
    uid = newest["metadata"]["uid"] if newest else before.driver_pod
    attempt = before.attempt + (1 if uid != before.driver_pod else 0)
    broken = newest is not None and report.ended_by_error(newest)
    stopped = bool(suspended and uid and uid != before.suspended_pod and not broken)
    suspensions = before.suspensions + (1 if stopped else 0)
    failures = max(_failed(observed), before.application_failures)
    # Whether the newest pod is lost is known when another one has taken its place.
    over = attempt - 1 + (1 if stopped or broken or uid == before.suspended_pod else 0)
    return {
        "driver_pod": uid,
        "attempt": attempt,
        "application_failures": failures,
        "suspensions": suspensions,
        "suspended_pod": uid if stopped else before.suspended_pod,
        "infrastructure_failures": max(0, over - failures - suspensions, before.infrastructure_failures),
    }


def _failed(observed: RunObserved) -> int:
    """Attempts that the program ended with an error: the Job's count may come after the pod's own word."""
    job = observed.child("Job", objects.job_name(observed.body["metadata"]["name"]))
    counted = int(((job or {}).get("status") or {}).get("failed", 0))
    return max(counted, sum(map(report.ended_by_error, observed.pods)))


def _progress(view: RunView | None) -> Progress | None:
    if view is None or not view.reachable or not view.state:
        return None
    return Progress(
        state=view.state.capitalize(),
        step=view.step,
        total_steps=view.total_steps,
        mean_fitness=report.number(view.mean_fitness) if view.mean_fitness else "",
        best_fitness=report.number(view.best_fitness) if view.best_fitness else "",
        sigma=f"{view.sigma:.4g}" if view.sigma else "",
        eta_seconds=10 * round(view.eta_seconds / 10),
        cost_usd=report.number(view.cost_usd) if view.cost_usd else "",
        message=view.message[:1024],
    )


def _artifact(observed: RunObserved, told: report.Report, version: str) -> Artifact:
    name = objects.artifact_name(observed.body["metadata"]["name"])
    stored = observed.child("ConfigMap", name)
    remote = "://" in told.artifact_uri and not told.artifact_uri.startswith("file://")
    return Artifact(
        config_map=name if stored is not None or observed.collected is not None else "",
        url=told.artifact_uri if remote else "",
        sha256=told.artifact_sha256,
        version=version,
    )
