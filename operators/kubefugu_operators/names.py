"""Labels and names of what the operator makes. Names follow from the owner's, so that a crash never makes a second one."""

from __future__ import annotations

from typing import Any

from kubefugu_core.policy_sets import published
from kubefugu_operators.api import GROUP, VERSION
from kubefugu_operators.cluster.objects import Body, api_version

MANAGED_BY = published.MANAGED_BY
COMPONENT = "app.kubernetes.io/component"
POOL = f"{GROUP}/pool"
WORKER = f"{GROUP}/worker"
RUN = f"{GROUP}/run"
RUN_UID = f"{GROUP}/run-uid"
POLICY = published.POLICY
POLICY_VERSION = published.POLICY_VERSION
CONDUCTOR_POLICY = f"{GROUP}/conductor-policy"
"""Label of executors: the policy that their Conductor follows, as POLICY is that of their router."""
QUEUE_NAME = "kueue.x-k8s.io/queue-name"

OURS = f"{MANAGED_BY}={published.MANAGER}"
"""Label selector of every object that the operator makes."""

_OWNER_LABELS = {"WorkerPool": POOL, "TrainingRun": RUN, "RoutingPolicy": POLICY}


def owner_label(kind: str) -> str:
    """Label whose value is the name of the owner of this kind."""
    return _OWNER_LABELS[kind]


def selector(owner: Body) -> str:
    """Label selector of the owner's children."""
    return f"{OURS},{owner_label(owner['kind'])}={owner['metadata']['name']}"


def child(
    owner: Body, kind: str, name: str, *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> Body:
    """Head of an object owned by `owner`: same namespace, our labels, controller reference."""
    meta = owner["metadata"]
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": meta["namespace"],
        "labels": {
            "app.kubernetes.io/name": "kubefugu",
            MANAGED_BY: published.MANAGER,
            owner_label(owner["kind"]): meta["name"],
            **(labels or {}),
        },
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": owner["kind"],
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
                # False: deleting the owner in the foreground need not wait, and no permission on finalizers is needed.
                "blockOwnerDeletion": False,
            }
        ],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": api_version(kind), "kind": kind, "metadata": metadata}


def is_owned(body: Body, owner: Body) -> bool:
    """True where `owner` controls `body`; uid counts, not the name."""
    references = body["metadata"].get("ownerReferences") or ()
    return any(reference.get("uid") == owner["metadata"]["uid"] for reference in references)
