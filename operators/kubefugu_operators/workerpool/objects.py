"""The objects that a pool becomes: the executor's ConfigMap and keys, managed model servers."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping

import yaml

from kubefugu_core.naming import managed_service_name
from kubefugu_core.pool import ManagedContainer, WorkerPoolSpec, WorkerSpec
from kubefugu_operators import pods
from kubefugu_operators.api import GROUP, VERSION
from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.names import COMPONENT, POOL, WORKER, child

POOL_KEY = "pool.yaml"
"""Key of the pool file in its ConfigMap."""
POOL_HASH = f"{GROUP}/pool-hash"
"""Annotation on executor pods: the configuration that they were told to read again."""


def config_map_name(pool: str) -> str:
    """ConfigMap with the executor's pool file."""
    return f"{pool}-pool"


def keys_secret_name(pool: str) -> str:
    """Secret with one key per worker that needs one."""
    return f"{pool}-keys"


def worker_url(worker: WorkerSpec, *, pool: str, namespace: str) -> str:
    """Base URL of a worker's OpenAI API as seen from inside the cluster."""
    if worker.managed is not None:
        name = managed_service_name(pool, worker.name)
        return f"http://{name}.{namespace}.svc:{worker.managed.port}{worker.managed.path}"
    if worker.service is not None:
        return f"http://{worker.service.name}.{namespace}.svc:{worker.service.port}{worker.service.path}"
    return worker.url or ""


def config_map(owner: Body, spec: WorkerPoolSpec) -> Body:
    """The pool file: the same manifest with every endpoint resolved to a URL."""
    pool, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    for entry, worker in zip(document["workers"], spec.workers, strict=True):
        entry.pop("managed", None)
        entry.pop("service", None)
        entry["url"] = worker_url(worker, pool=pool, namespace=namespace)
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "WorkerPool",
        "metadata": {"name": pool, "namespace": namespace},
        "spec": document,
    }
    body = child(owner, "ConfigMap", config_map_name(pool))
    return {**body, "data": {POOL_KEY: yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)}}


def keys_secret(owner: Body, keys: Mapping[str, str]) -> Body:
    """Keys by worker name. Values are base64, as in the Secrets that they come from."""
    body = child(owner, "Secret", keys_secret_name(owner["metadata"]["name"]))
    return {**body, "type": "Opaque", "data": dict(sorted(keys.items()))}


def fingerprint(config: Body, keys: Body | None) -> str:
    """Hash of what an executor reads."""
    text = json.dumps([config["data"], keys["data"] if keys else {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decoded(value: str) -> str:
    """A Secret's value as text, without the line end that files tend to have."""
    return base64.b64decode(value).decode(errors="replace").strip()


def deployment(owner: Body, worker: WorkerSpec, managed: ManagedContainer) -> Body:
    """Deployment of a managed worker."""
    pool = owner["metadata"]["name"]
    labels = _labels(pool, worker)
    body = child(owner, "Deployment", managed_service_name(pool, worker.name), labels=labels)
    spec: Body = {
        "selector": {"matchLabels": {POOL: pool, WORKER: worker.name}},
        "progressDeadlineSeconds": managed.startup_seconds + 60,
        "template": {
            "metadata": {"labels": {"app.kubernetes.io/name": "kubefugu", POOL: pool, **labels}},
            "spec": _pod_spec(managed),
        },
    }
    if managed.gpus:
        # A second pod with GPUs would wait for those of the first.
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    if managed.replicas is not None:
        spec["replicas"] = managed.replicas
    return {**body, "spec": spec}


def service(owner: Body, worker: WorkerSpec, managed: ManagedContainer) -> Body:
    """Service of a managed worker."""
    pool = owner["metadata"]["name"]
    body = child(owner, "Service", managed_service_name(pool, worker.name), labels=_labels(pool, worker))
    port = {"name": "http", "port": managed.port, "protocol": "TCP", "targetPort": "http"}
    return {**body, "spec": {"type": "ClusterIP", "selector": {POOL: pool, WORKER: worker.name}, "ports": [port]}}


def _labels(pool: str, worker: WorkerSpec) -> dict[str, str]:
    return {POOL: pool, WORKER: worker.name, COMPONENT: "worker"}


def _pod_spec(managed: ManagedContainer) -> Body:
    mounts: list[Body] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 (the container's)
    volumes: list[Body] = [{"name": "tmp", "emptyDir": {}}]
    if managed.gpus:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    if managed.model_volume is not None:
        volume = managed.model_volume
        mounts.append({"name": "models", "mountPath": volume.mount_path, "readOnly": volume.read_only})
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": volume.claim_name}})
    spec: Body = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pods.pod_security(managed.run_as_user),
        "containers": [_container(managed, mounts)],
        "volumes": volumes,
    }
    if managed.node_selector:
        spec["nodeSelector"] = dict(managed.node_selector)
    if managed.tolerations:
        spec["tolerations"] = pods.tolerations(managed.tolerations)
    if managed.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in managed.image_pull_secrets]
    return spec


def _container(managed: ManagedContainer, mounts: list[Body]) -> Body:
    check = {"httpGet": {"path": managed.health_path, "port": "http"}}
    container: Body = {
        "name": "worker",
        "image": managed.image,
        "imagePullPolicy": managed.image_pull_policy,
        "ports": [{"name": "http", "containerPort": managed.port, "protocol": "TCP"}],
        # The root file system is read-only; servers keep caches below their home.
        "env": pods.merged_env([{"name": "HOME", "value": "/tmp"}], pods.environment(managed.env)),  # noqa: S108
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
        "startupProbe": {**check, "periodSeconds": 2, "failureThreshold": math.ceil(managed.startup_seconds / 2)},
        "readinessProbe": {**check, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {**check, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6},
    }
    if managed.command:
        container["command"] = list(managed.command)
    if managed.args:
        container["args"] = list(managed.args)
    limits = pods.resources(cpu=managed.cpu, memory=managed.memory, gpus=managed.gpus, gpu_resource=managed.gpu_resource)
    if limits:
        container["resources"] = limits
    return container
