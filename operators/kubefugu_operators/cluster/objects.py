"""References to Kubernetes objects, and the Protocol through which the operator reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from kubefugu_operators.api import GROUP, VERSION

Body = dict[str, Any]
"""A Kubernetes object as JSON."""

_PLURALS = {
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "Service": ("v1", "services"),
    "Pod": ("v1", "pods"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Deployment": ("apps/v1", "deployments"),
    "Job": ("batch/v1", "jobs"),
    "WorkerPool": (f"{GROUP}/{VERSION}", "workerpools"),
    "TrainingRun": (f"{GROUP}/{VERSION}", "trainingruns"),
    "RoutingPolicy": (f"{GROUP}/{VERSION}", "routingpolicies"),
}


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Names one object of a namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ref_of(body: Body) -> Ref:
    """The reference of an object."""
    return Ref(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def api_version(kind: str) -> str:
    """`apiVersion` of a kind that the operator uses."""
    return _PLURALS[kind][0]


def collection_path(kind: str, namespace: str) -> str:
    """URL path of a kind's collection; an empty namespace means all of them."""
    version, plural = _PLURALS[kind]
    root = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


class ApiError(Exception):
    """The API server refused or failed. `status` is the HTTP status; 0 means that it could not be reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def permanent(self) -> bool:
        """True: the same request will be refused again (validation, admission, quota, permissions)."""
        return self.status in (400, 403, 405, 413, 422)


class Api(Protocol):
    """Reads are live, writes say what they did. Every method raises ApiError."""

    async def get(self, ref: Ref) -> Body | None:
        """The object, or None."""
        ...

    async def list(self, kind: str, namespace: str, *, labels: str = "") -> list[Body]:
        """Objects of a kind that match a label selector, in the order of their names."""
        ...

    async def apply(self, body: Body, *, subresource: str = "", force: bool = True) -> Body:
        """Server-side apply with our field manager; the object as stored."""
        ...

    async def create(self, body: Body) -> Body:
        """Create; an existing object is an ApiError with status 409."""
        ...

    async def delete(self, ref: Ref, *, uid: str = "") -> None:
        """Delete with everything that it owns; only the object with this uid, where given. A missing one is no error."""
        ...

    async def annotate(self, ref: Ref, annotations: dict[str, str | None]) -> None:
        """Merge annotations into an object that is not ours (None removes one)."""
        ...
