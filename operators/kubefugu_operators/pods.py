"""What is wrong with a pod, read from its status, and the hardened settings that every pod of ours has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from kubefugu_core.pool import EnvironmentVariable, Toleration
from kubefugu_operators.cluster.objects import Body

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_CREATE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


class Trouble(StrEnum):
    """Why a pod does not run. The values are reasons of conditions."""

    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_NOT_READY = "VolumeNotReady"
    CRASHING = "Crashing"


@dataclass(frozen=True, slots=True)
class PodTrouble:
    """A reason and what Kubernetes says about it."""

    reason: Trouble
    message: str


def trouble_of(pod: Body) -> PodTrouble | None:
    """The most telling trouble of a pod, or None."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, said = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _PULL:
            return PodTrouble(Trouble.IMAGE_PULL_FAILED, f"{name}: {container['image']}: {said or reason}")
        if reason in _CREATE:
            return PodTrouble(Trouble.VOLUME_NOT_READY, f"{name}: {said or reason}")
        if reason == "CrashLoopBackOff":
            last = (container.get("lastState") or {}).get("terminated") or {}
            code = last.get("exitCode", "?")
            return PodTrouble(Trouble.CRASHING, f"{name}: ended with code {code} {container.get('restartCount', 0)} times")
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return PodTrouble(Trouble.UNSCHEDULABLE, f"{name}: {condition.get('message', 'no node fits')}")
    return None


def first_trouble(pods: Iterable[Body]) -> PodTrouble | None:
    """The first trouble of pods that are not being deleted."""
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp"):
            continue
        trouble = trouble_of(pod)
        if trouble is not None:
            return trouble
    return None


def is_ready(pod: Body) -> bool:
    """True where the pod is Ready and not on its way out."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def container_security() -> Body:
    """The restricted pod security standard, with a read-only root."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_security(user: int) -> Body:
    """Pod-wide security context for a non-root user whose volumes belong to its group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def resources(*, cpu: str, memory: str, gpus: int, gpu_resource: str) -> Body:
    """Requests and limits. Memory is both; CPU is a request alone, because throttling helps nobody."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    if cpu:
        requests["cpu"] = canonical_quantity(cpu)
    if memory:
        requests["memory"] = limits["memory"] = canonical_quantity(memory)
    if gpus:
        requests[gpu_resource] = limits[gpu_resource] = str(gpus)
    result: Body = {}
    if requests:
        result["requests"] = requests
    if limits:
        result["limits"] = limits
    return result


_BINARY = ("", "Ki", "Mi", "Gi", "Ti")
_DECIMAL = ("m", "", "k", "M", "G", "T")


def canonical_quantity(text: str) -> str:
    """A quantity as the API server writes it back (0.5 -> 500m, 1024Mi -> 1Gi), so that a comparison sees no drift.

    https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity: no fraction, the largest possible suffix.
    """
    suffix = text.lstrip("0123456789.")
    number = Decimal(text[: len(text) - len(suffix)] or "0")
    if suffix in _BINARY[1:]:
        count = math.ceil(number * 1024 ** _BINARY.index(suffix))
        if count >= 1024:
            return _largest(count, 1024, _BINARY)
        number, suffix = Decimal(count), ""
    thousandths = math.ceil(number * 1000 ** _DECIMAL.index(suffix))
    return _largest(thousandths, 1000, _DECIMAL)


def _largest(count: int, base: int, suffixes: tuple[str, ...]) -> str:
    level = 0
    while count and count % base == 0 and level + 1 < len(suffixes):
        count, level = count // base, level + 1
    return f"{count}{suffixes[level] if count else ''}"


def environment(variables: Sequence[EnvironmentVariable]) -> list[Body]:
    """Container environment."""
    result: list[Body] = []
    for variable in variables:
        if variable.secret_key_ref is not None:
            reference = {"name": variable.secret_key_ref.name, "key": variable.secret_key_ref.key}
            result.append({"name": variable.name, "valueFrom": {"secretKeyRef": reference}})
        else:
            result.append({"name": variable.name, "value": variable.value})
    return result


def merged_env(*groups: Sequence[Body]) -> list[Body]:
    """Environment variables of several sources; a later one replaces an earlier one of the same name."""
    by_name = {variable["name"]: variable for group in groups for variable in group}
    return list(by_name.values())


def tolerations(items: Sequence[Toleration]) -> list[Body]:
    """Tolerations of a pod spec, empty fields left out."""
    return [item.model_dump(by_alias=True, exclude_defaults=True) | {"operator": item.operator} for item in items]
