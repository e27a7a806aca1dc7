"""The stages of a run, each as the finding of one condition: snapshot, driver, training, publishing. Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from kubefugu_core.policy_sets import published
from kubefugu_operators import pods
from kubefugu_operators.cluster.objects import Body, Ref
from kubefugu_operators.conditions import Finding, Truth, parse_timestamp
from kubefugu_operators.routingpolicy import versions
from kubefugu_operators.trainingrun import objects, report
from kubefugu_operators.trainingrun.observed import RunObserved
from kubefugu_operators.trainingrun.report import Report
from kubefugu_operators.trainingrun.spec import TrainingRunSpec
from kubefugu_operators.trainingrun.status import ConditionType, Reason


class JobPhase(StrEnum):
    """Where the driver's Job is."""

    ABSENT = "absent"
    SUSPENDED = "suspended"
    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobState:
    """The Job's phase and, where it failed, Kubernetes' reason."""

    phase: JobPhase
    reason: str = ""
    message: str = ""


_FAILURES = {
    "DeadlineExceeded": Reason.ACTIVE_DEADLINE_EXCEEDED,
    "BackoffLimitExceeded": Reason.BACKOFF_LIMIT_EXCEEDED,
    "PodFailurePolicy": Reason.INVALID_INPUT,
}
_TERMINAL = ("Succeeded", "Failed")


def job_state(observed: RunObserved) -> JobState:
    """What the Job's own conditions say; the exit of the real work decides, not a pod's phase."""
    job = observed.child("Job", objects.job_name(observed.body["metadata"]["name"]))
    if job is None:
        return JobState(JobPhase.ABSENT)
    for condition in (job.get("status") or {}).get("conditions", ()):
        if condition["status"] != "True":
            continue
        if condition["type"] == "Complete":
            return JobState(JobPhase.COMPLETE)
        if condition["type"] == "Failed":
            return JobState(JobPhase.FAILED, condition.get("reason", ""), condition.get("message", ""))
    if job["spec"].get("suspend"):
        return JobState(JobPhase.SUSPENDED)
    return JobState(JobPhase.RUNNING if _running_pod(observed) else JobPhase.WAITING)


def _running_pod(observed: RunObserved) -> Body | None:
    for pod in reversed(observed.pods):
        if (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            return pod
    return None


def driver_address(observed: RunObserved) -> str:
    """gRPC address of the running driver; empty where none runs."""
    pod = _running_pod(observed)
    ip = (pod.get("status") or {}).get("podIP", "") if pod else ""
    if pod is None or not ip:
        return ""
    host = f"[{ip}]" if ":" in ip else ip
    return f"{host}:{_declared_port(pod)}"


def _declared_port(pod: Body) -> int:
    """The port that the driver's container names; a template of an older operator may have another one."""
    for container in (pod.get("spec") or {}).get("containers", ()):
        for port in container.get("ports", ()) if container["name"] == report.DRIVER_CONTAINER else ():
            return int(port["containerPort"])
    return objects.DRIVER_PORT


def finding(condition: ConditionType, truth: Truth, reason: Reason, message: str = "") -> Finding:
    """A finding with this kind's constants."""
    return Finding(condition, truth, reason, message)


def driver(observed: RunObserved, spec: TrainingRunSpec, state: JobState) -> Finding:
    """DriverRunning."""
    kind = ConditionType.DRIVER_RUNNING
    if state.phase is JobPhase.COMPLETE:
        return finding(kind, "False", Reason.DRIVER_ENDED)
    if state.phase is JobPhase.FAILED:
        reason = _FAILURES.get(state.reason, Reason.BACKOFF_LIMIT_EXCEEDED)
        why = report.explanation(observed.pods)
        told = Reason.DRIVER_ENDED if reason is Reason.INVALID_INPUT else reason
        return finding(kind, "False", told, why or state.message)
    if spec.suspend or state.phase is JobPhase.SUSPENDED:
        return finding(kind, "False", Reason.SUSPENDED_BY_USER, "" if spec.suspend else "A queue holds the Job.")
    if state.phase is JobPhase.RUNNING:
        return finding(kind, "True", Reason.DRIVER_RUNNING)
    late = start_deadline_passed(observed, spec)
    if late:
        return finding(kind, "False", Reason.START_DEADLINE_EXCEEDED, late)
    return _not_running(observed)


def _not_running(observed: RunObserved) -> Finding:
    kind = ConditionType.DRIVER_RUNNING
    pending = [pod for pod in observed.pods if (pod.get("status") or {}).get("phase") == "Pending"]
    trouble = pods.first_trouble(pending)
    if trouble is not None:
        reason = Reason.RETRYING if trouble.reason is pods.Trouble.CRASHING else Reason(trouble.reason.value)
        return finding(kind, "False", reason, trouble.message)
    last = report.termination(observed.pods[-1]) if observed.pods else None
    if last is not None and last[0] == 0:
        return finding(kind, "False", Reason.DRIVER_ENDED)
    ended = report.explanation(observed.pods)
    if ended and not pending:
        return finding(kind, "False", Reason.RETRYING, ended)
    return finding(kind, "Unknown", Reason.DRIVER_PENDING, "The driver's pod is being started.")


def start_due(observed: RunObserved, spec: TrainingRunSpec) -> datetime | None:
    """Until when the driver must run; None where it has run, or has all the time."""
    if not spec.start_deadline_seconds or (observed.body.get("status") or {}).get("startTime"):
        return None
    job = observed.child("Job", objects.job_name(observed.body["metadata"]["name"]))
    if job is None:
        return None
    began = (job.get("status") or {}).get("startTime") or job["metadata"]["creationTimestamp"]
    return parse_timestamp(began) + timedelta(seconds=spec.start_deadline_seconds)


def start_deadline_passed(observed: RunObserved, spec: TrainingRunSpec) -> str:
    """Why the run is too late to start; empty where it is not."""
    due = start_due(observed, spec)
    if due is None or observed.now <= due:
        return ""
    pending = pods.first_trouble(observed.pods)
    return f"No driver ran within {spec.start_deadline_seconds} s. {pending.message if pending else ''}".strip()


def stored_report(observed: RunObserved) -> Report | None:
    """The report of the collected artifact, else the termination message of a driver that ended well."""
    stored = observed.child("ConfigMap", objects.artifact_name(observed.body["metadata"]["name"]))
    if stored is not None:
        return report.parse((stored.get("data") or {}).get(objects.REPORT_KEY, ""))
    if observed.collected is not None:
        return report.parse(observed.collected.report)
    for pod in reversed(observed.pods):
        ended = report.termination(pod)
        if ended is not None and ended[0] == 0:
            return report.parse(ended[1])
    return None


def trained(observed: RunObserved, state: JobState) -> Finding:
    """Trained."""
    kind = ConditionType.TRAINED
    if state.phase is JobPhase.FAILED:
        reason = _FAILURES.get(state.reason, Reason.BACKOFF_LIMIT_EXCEEDED)
        return finding(kind, "False", reason, report.explanation(observed.pods) or state.message)
    if observed.collected is not None:
        wrong = _fault(observed.collected.content, observed.collected.sha256)
        if wrong:
            return finding(kind, "False", Reason.ARTIFACT_REFUSED, wrong)
    stored = observed.child("ConfigMap", objects.artifact_name(observed.body["metadata"]["name"]))
    if state.phase is not JobPhase.COMPLETE:
        return _still_training(observed, state, stored)
    told = stored_report(observed)
    if told is None:
        return finding(kind, "False", Reason.REPORT_MISSING, "The driver left no report that can be read.")
    if stored is None and not _is_remote(told.artifact_uri):
        where = told.artifact_uri or "nowhere"
        return finding(kind, "False", Reason.REPORT_MISSING, f"The artifact was not collected; the report names {where}.")
    return finding(kind, "True", Reason.REPORT_READ)


def _still_training(observed: RunObserved, state: JobState, stored: Body | None) -> Finding:
    kind = ConditionType.TRAINED
    if stored is not None or observed.collected is not None:
        return finding(kind, "Unknown", Reason.COLLECTING_ARTIFACT, "The artifact is stored; the driver is ending.")
    if observed.view is not None and observed.view.state == "succeeded":
        return finding(kind, "Unknown", Reason.COLLECTING_ARTIFACT, "Training is over.")
    if state.phase is JobPhase.RUNNING:
        return finding(kind, "Unknown", Reason.TRAINING, observed.view.message if observed.view else "")
    return finding(kind, "Unknown", Reason.WAITING)


def _is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


def _fault(content: bytes, sha256: str) -> str:
    if not content:
        return ""
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        return f"The artifact's checksum is {found[:12]}, the driver says {sha256[:12]}."
    if len(content) > published.MAX_ARTIFACT_BYTES:
        return f"The artifact has {len(content)} bytes; {published.MAX_ARTIFACT_BYTES} fit. Give spec.storage.url."
    return ""


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing needs now."""

    finding: Finding
    create: tuple[Body, ...] = ()
    version: str = ""


def publication(observed: RunObserved, spec: TrainingRunSpec, done: Finding) -> Publication:
    """Published: the gate, the policy, the version's ConfigMap."""
    kind = ConditionType.PUBLISHED
    if spec.publish is None:
        return Publication(finding(kind, "False", Reason.NOT_REQUESTED))
    told = stored_report(observed)
    if not done.holds or told is None:
        return Publication(finding(kind, "Unknown", Reason.WAITING))
    refused = report.gate_refusal(told, spec.publish.gate)
    if refused:
        return Publication(finding(kind, "False", Reason.GATE_NOT_MET, refused))
    if observed.policy is None:
        return _without_policy(observed, spec.publish.policy, create=spec.publish.create_policy)
    body, name = _version(observed, told)
    return Publication(
        finding(kind, "True", Reason.PUBLISHED, f"{name} in RoutingPolicy {spec.publish.policy}."), (body,), name
    )


def _without_policy(observed: RunObserved, policy: str, *, create: bool) -> Publication:
    kind = ConditionType.PUBLISHED
    if not create:
        return Publication(finding(kind, "Unknown", Reason.POLICY_NOT_FOUND, f"RoutingPolicy {policy} does not exist."))
    namespace = observed.body["metadata"]["namespace"]
    body = {
        "apiVersion": observed.body["apiVersion"],
        "kind": "RoutingPolicy",
        "metadata": {"name": policy, "namespace": namespace},
        "spec": {},
    }
    return Publication(finding(kind, "Unknown", Reason.WAITING, f"RoutingPolicy {policy} is being created."), (body,))


def _version(observed: RunObserved, told: Report) -> tuple[Body, str]:
    policy = observed.policy or {}
    run = observed.body["metadata"]["name"]
    stored = observed.child("ConfigMap", objects.artifact_name(run))
    content = ((stored or {}).get("binaryData") or {}).get(objects.ARTIFACT_KEY, "")
    sha256 = hashlib.sha256(base64.b64decode(content)).hexdigest() if content else told.artifact_sha256
    name = published.version_name(run, sha256)
    body = versions.config_map(
        policy,
        version=name,
        sha256=sha256,
        artifact=content,
        url="" if content else told.artifact_uri,
        source=f"TrainingRun/{run}",
        gain=report.number(told.gain),
    )
    return body, name


def job_ref(observed: RunObserved) -> Ref:
    """The Job's reference."""
    meta = observed.body["metadata"]
    return Ref("Job", meta["namespace"], objects.job_name(meta["name"]))
