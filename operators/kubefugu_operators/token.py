"""The routers' admin token: a random one in a Secret that the operator makes once, owned by its own Deployment.

Made here and not by the chart, because a chart that draws a random value drifts under GitOps. It goes with the installation.
"""

from __future__ import annotations

import base64
import secrets

import structlog

from kubefugu_operators.cluster.objects import Api, ApiError, Body, Ref
from kubefugu_operators.names import MANAGED_BY

TOKEN_KEY = "token"  # noqa: S105 (the name of a key)
_log = structlog.get_logger()


async def ensure(api: Api, *, namespace: str, name: str, deployment: str) -> None:
    """Make the Secret where there is none. An existing one, whoever made it, is left alone."""
    if await api.get(Ref("Secret", namespace, name)) is not None:
        return
    metadata: Body = {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/name": "kubefugu", MANAGED_BY: "kubefugu-operator"},
    }
    owner = await api.get(Ref("Deployment", namespace, deployment)) if deployment else None
    if owner is not None:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment, "uid": owner["metadata"]["uid"]}
        ]
    value = base64.b64encode(secrets.token_urlsafe(32).encode()).decode()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": {TOKEN_KEY: value}}
    try:
        await api.create(body)
        _log.info("admin_token_made", secret=name)
    except ApiError as error:
        if error.status != 409:
            raise
