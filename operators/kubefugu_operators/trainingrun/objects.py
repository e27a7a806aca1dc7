"""The objects that a run becomes: checkpoint claim, driver Job, evaluators, stored artifact."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from kubefugu_operators import pods
from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.names import COMPONENT, QUEUE_NAME, RUN, RUN_UID, child
from kubefugu_operators.trainingrun.observed import Collected
from kubefugu_operators.trainingrun.report import DRIVER_CONTAINER, INVALID_INPUT_EXIT, STOPPED_EXITS
from kubefugu_operators.trainingrun.snapshot import DATA_DIRECTORY, RUN_DIRECTORY, WORK_DIRECTORY, snapshot_name
from kubefugu_operators.trainingrun.spec import Pods, TrainingRunSpec
from kubefugu_operators.workerpool.objects import keys_secret_name

DRIVER_PORT = 50054
ARTIFACT_KEY = "artifact.safetensors"
REPORT_KEY = "report.json"
SHA256 = "kubefugu.dev/sha256"
TEMPLATE = "kubefugu.dev/template"
"""Annotation of the Job: hash of its pod template, which Kubernetes does not let anyone change."""
EVALUATOR_CONTAINER = "evaluator"
KEYS_DIRECTORY = "/etc/kubefugu/keys"
"""Where pods of runs that call workers mount their keys, one file for each."""
_TMP_MOUNT: Body = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 (the container's)
_TMP_VOLUME: Body = {"name": "tmp", "emptyDir": {}}
_HOME: Body = {"name": "HOME", "value": "/tmp"}  # noqa: S108 (the container's)


@dataclass(frozen=True, slots=True)
class PodDefaults:
    """What the cluster's owner decides about the pods of runs (chart: trainer)."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    user: int = 65532
    port: int = DRIVER_PORT
    """gRPC port of drivers."""
    init_containers: tuple[Body, ...] = ()
    volumes: tuple[Body, ...] = ()
    volume_mounts: tuple[Body, ...] = ()
    env: tuple[Body, ...] = ()
    pod: Body = field(default_factory=dict)
    """Further fields of the pod spec: nodeSelector, tolerations, imagePullSecrets, priorityClassName."""


def job_name(run: str) -> str:
    """The driver's Job."""
    return f"{run}-driver"


def claim_name(run: str) -> str:
    """The claim made for the run's checkpoints."""
    return f"{run}-checkpoints"


def evaluators_name(run: str) -> str:
    """The evaluators' Deployment."""
    return f"{run}-evaluators"


def artifact_name(run: str) -> str:
    """ConfigMap with the collected artifact."""
    return f"{run}-artifact"


def claim(run: Body, spec: TrainingRunSpec) -> Body:
    """PersistentVolumeClaim for checkpoints."""
    body = child(run, "PersistentVolumeClaim", claim_name(run["metadata"]["name"]))
    wanted: Body = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": pods.canonical_quantity(spec.storage.size)}},
    }
    if spec.storage.storage_class_name:
        wanted["storageClassName"] = spec.storage.storage_class_name
    return {**body, "spec": wanted}


def artifact(run: Body, collected: Collected) -> Body:
    """The collected artifact and report."""
    name = artifact_name(run["metadata"]["name"])
    body = child(run, "ConfigMap", name, annotations={SHA256: collected.sha256})
    result: Body = {**body, "immutable": True, "data": {REPORT_KEY: collected.report}}
    if collected.content:
        result["binaryData"] = {ARTIFACT_KEY: base64.b64encode(collected.content).decode()}
    return result


def job(run: Body, spec: TrainingRunSpec, defaults: PodDefaults, *, suspend: bool) -> Body:
    """The driver's Job. Its own controller restarts lost pods; stopped drivers do not count against backoffLimit."""
    name = run["metadata"]["name"]
    queue = (run["metadata"].get("labels") or {}).get(QUEUE_NAME)
    labels = {COMPONENT: "driver"} | ({QUEUE_NAME: queue} if queue else {})
    wanted: Body = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": spec.backoff_limit,
        # A second driver must not start before the first has let go of the run's directory.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "suspend": suspend,
        "template": _template(run, spec, defaults),
    }
    if spec.active_deadline_seconds:
        wanted["activeDeadlineSeconds"] = spec.active_deadline_seconds
    annotations = {TEMPLATE: template_hash(wanted["template"])}
    return {**child(run, "Job", job_name(name), labels=labels, annotations=annotations), "spec": wanted}


def template_hash(template: Body) -> str:
    """Hash of a pod template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def job_changes(run: Body, spec: TrainingRunSpec, *, suspend: bool) -> Body:
    """The part of an existing Job that may change. A queue that holds the Job decides about suspension alone."""
    body = child(run, "Job", job_name(run["metadata"]["name"]))
    wanted: Body = {"backoffLimit": spec.backoff_limit}
    if spec.active_deadline_seconds:
        wanted["activeDeadlineSeconds"] = spec.active_deadline_seconds
    if QUEUE_NAME not in (run["metadata"].get("labels") or {}):
        wanted["suspend"] = suspend
    return {**body, "spec": wanted}


def _failure_rules() -> list[Body]:
    exit_codes: dict[str, Any] = {"containerName": DRIVER_CONTAINER, "operator": "In"}
    return [
        {"action": "FailJob", "onExitCodes": {**exit_codes, "values": [INVALID_INPUT_EXIT]}},
        {"action": "Ignore", "onExitCodes": {**exit_codes, "values": list(STOPPED_EXITS)}},
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]


def _template(run: Body, spec: TrainingRunSpec, defaults: PodDefaults) -> Body:
    name = run["metadata"]["name"]
    labels = {
        **spec.driver.labels,
        "app.kubernetes.io/name": "kubefugu",
        COMPONENT: "driver",
        RUN: name,
        RUN_UID: run["metadata"]["uid"],
    }
    metadata: Body = {"labels": labels}
    if spec.driver.annotations:
        metadata["annotations"] = dict(spec.driver.annotations)
    return {"metadata": metadata, "spec": pod_spec(run, spec, spec.driver, defaults)}


def evaluators(run: Body, spec: TrainingRunSpec, defaults: PodDefaults) -> Body:
    """Deployment of the evaluators: stateless, they take candidates of any run from the broker; lost ones are replaced."""
    name, wanted = run["metadata"]["name"], spec.evaluators
    labels = {COMPONENT: "evaluator", RUN: name, RUN_UID: run["metadata"]["uid"]}
    metadata: Body = {"labels": {**wanted.labels, "app.kubernetes.io/name": "kubefugu", **labels}}
    if wanted.annotations:
        metadata["annotations"] = dict(wanted.annotations)
    body = child(run, "Deployment", evaluators_name(name), labels={COMPONENT: "evaluator"})
    return {
        **body,
        "spec": {
            "replicas": wanted.replicas,
            # A new pod with GPUs would wait for those of an old one.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "selector": {"matchLabels": {RUN_UID: run["metadata"]["uid"], COMPONENT: "evaluator"}},
            "template": {"metadata": metadata, "spec": _evaluator_pod(spec, defaults)},
        },
    }


def _evaluator_pod(spec: TrainingRunSpec, defaults: PodDefaults) -> Body:
    wanted, (mounts, volumes) = spec.evaluators, _keys(spec)
    container = _container(wanted, defaults, [_TMP_MOUNT, *mounts], name=EVALUATOR_CONTAINER)
    container["command"] = ["python", "-m", "kubefugu_trainer", "evaluator"]
    container["env"] = pods.merged_env(_keys_env(spec), container["env"])
    if wanted.resources.gpus:
        container["env"] = pods.merged_env([{"name": "KUBEFUGU_TRAINER_DEVICE", "value": "cuda"}], container["env"])
    return _pod(wanted, defaults, container, [_TMP_VOLUME, *volumes])


def _keys(spec: TrainingRunSpec) -> tuple[list[Body], list[Body]]:
    """Mount and volume of the pool's keys, where the run calls its workers. A pool without keys has no Secret."""
    if not spec.algorithm.calls_workers:
        return [], []
    secret: Body = {"secretName": keys_secret_name(spec.pool_ref.name), "optional": True}
    return [{"name": "keys", "mountPath": KEYS_DIRECTORY, "readOnly": True}], [{"name": "keys", "secret": secret}]


def _keys_env(spec: TrainingRunSpec) -> list[Body]:
    return [{"name": "KUBEFUGU_TRAINER_KEYS_DIR", "value": KEYS_DIRECTORY}] if spec.algorithm.calls_workers else []


def pod_spec(run: Body, spec: TrainingRunSpec, wanted: Pods, defaults: PodDefaults) -> Body:
    """The driver's pod: snapshot, data, checkpoints, a scratch folder, and whatever the cluster's owner adds."""
    mounts, volumes = _volumes(run, spec)
    container = _container(wanted, defaults, mounts, name=DRIVER_CONTAINER)
    container |= {
        "env": pods.merged_env(_keys_env(spec), container["env"]),
        "command": ["python", "-m", "kubefugu_trainer", "driver"],
        "args": [f"--config={RUN_DIRECTORY}/config.json", f"--listen=0.0.0.0:{defaults.port}", "--hold"],
        "ports": [{"name": "grpc", "containerPort": defaults.port, "protocol": "TCP"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {**_pod(wanted, defaults, container, volumes), "restartPolicy": "Never"}


def _pod(wanted: Pods, defaults: PodDefaults, container: Body, volumes: list[Body]) -> Body:
    result: Body = {
        **defaults.pod,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,
        "securityContext": pods.pod_security(defaults.user),
        "containers": [container],
        "volumes": [*volumes, *defaults.volumes],
    }
    if defaults.init_containers:
        result["initContainers"] = list(defaults.init_containers)
    if wanted.node_selector:
        result["nodeSelector"] = {**defaults.pod.get("nodeSelector", {}), **wanted.node_selector}
    if wanted.tolerations:
        result["tolerations"] = [*defaults.pod.get("tolerations", ()), *pods.tolerations(wanted.tolerations)]
    for key, value in (
        ("priorityClassName", wanted.priority_class_name),
        ("runtimeClassName", wanted.runtime_class_name),
        ("serviceAccountName", wanted.service_account_name),
    ):
        if value:
            result[key] = value
    return result


def _container(wanted: Pods, defaults: PodDefaults, mounts: list[Body], *, name: str) -> Body:
    container: Body = {
        "name": name,
        "image": wanted.image or defaults.image,
        "imagePullPolicy": defaults.image_pull_policy,
        "env": pods.merged_env([_HOME], defaults.env, pods.environment(wanted.env)),
        "securityContext": pods.container_security(),
        "volumeMounts": [*mounts, *defaults.volume_mounts],
    }
    asked = wanted.resources
    limits = pods.resources(cpu=asked.cpu, memory=asked.memory, gpus=asked.gpus, gpu_resource=asked.gpu_resource)
    if limits:
        container["resources"] = limits
    return container


def _volumes(run: Body, spec: TrainingRunSpec) -> tuple[list[Body], list[Body]]:
    name = run["metadata"]["name"]
    mounts: list[Body] = [
        {"name": "run", "mountPath": RUN_DIRECTORY, "readOnly": True},
        {"name": "work", "mountPath": WORK_DIRECTORY},
        _TMP_MOUNT,
    ]
    held = spec.storage.claim_name or (claim_name(name) if spec.storage.size else "")
    work: Body = {"persistentVolumeClaim": {"claimName": held}} if held else {"emptyDir": {}}
    volumes: list[Body] = [
        {"name": "run", "configMap": {"name": snapshot_name(name)}},
        {"name": "work", **work},
        _TMP_VOLUME,
    ]
    if spec.data.claim is not None:
        mounts.append({"name": "data", "mountPath": DATA_DIRECTORY, "readOnly": True})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": spec.data.claim.claim_name}})
    more = _keys(spec)
    return [*mounts, *more[0]], [*volumes, *more[1]]
