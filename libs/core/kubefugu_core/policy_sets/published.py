"""A published version as Kubernetes stores it: an immutable ConfigMap with the artifact's bytes, or with its URL.

The operator finds it by its labels, whoever made it: a training run, `kubefugu policy publish`, or a repository of manifests.
"""

from __future__ import annotations

import hashlib
from typing import Any

GROUP = "kubefugu.dev"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "kubefugu-operator"
"""Who looks after what is labelled so; also the field manager of everything that the operator applies."""
POLICY = f"{GROUP}/routing-policy"
POLICY_VERSION = f"{GROUP}/policy-version"
SHA256 = f"{GROUP}/sha256"
SOURCE = f"{GROUP}/source"
GAIN = f"{GROUP}/gain"
ARTIFACT_KEY = "artifact.safetensors"
URL_KEY = "url"
MAX_ARTIFACT_BYTES = 900_000
"""What fits into a ConfigMap."""
VERSION_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
"""Names of versions, at most 63 characters: a label's value."""
_MAX_LABEL = 63


def shortened(text: str, limit: int = _MAX_LABEL) -> str:
    """The text, cut and ended with a hash where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: limit - 9].rstrip('-.')}-{digest}"


def version_name(source: str, sha256: str) -> str:
    """Name of a version: its source's and the beginning of the checksum, the same however often it is published."""
    return f"{shortened(source, 45)}-{sha256[:8]}"


def config_map_name(policy: str, version: str) -> str:
    """Name of a version's ConfigMap."""
    return shortened(f"{policy}-{version}", 253)


def config_map(
    *,
    policy: str,
    namespace: str,
    version: str,
    sha256: str,
    artifact: str = "",
    url: str = "",
    source: str = "",
    gain: str = "",
) -> dict[str, Any]:
    """The ConfigMap of a version, owned by nobody. `artifact`: its bytes in base64; else it is found by `url`."""
    metadata: dict[str, Any] = {"name": config_map_name(policy, version)}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= {
        "labels": {"app.kubernetes.io/name": "kubefugu", MANAGED_BY: MANAGER, POLICY: policy, POLICY_VERSION: version},
        "annotations": {SHA256: sha256, SOURCE: source} | ({GAIN: gain} if gain else {}),
    }
    content: dict[str, Any] = {"binaryData": {ARTIFACT_KEY: artifact}} if artifact else {"data": {URL_KEY: url}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, **content}
