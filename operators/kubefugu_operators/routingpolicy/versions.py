"""Versions of a policy: immutable ConfigMaps with the artifact's bytes (or its URL) and its provenance in annotations."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from kubefugu_core.policy_sets import published
from kubefugu_core.policy_sets.published import ARTIFACT_KEY, GAIN, POLICY_VERSION, SHA256, SOURCE, URL_KEY
from kubefugu_operators.api import GROUP
from kubefugu_operators.cluster.objects import Body
from kubefugu_operators.names import child

REJECTED = f"{GROUP}/rejected"
"""Why a rollout gave the version up. Remove the annotation to let it be tried again."""


@dataclass(frozen=True, slots=True)
class Version:
    """A published version."""

    name: str
    sha256: str
    published: str
    """Creation time of its ConfigMap (RFC 3339)."""
    config_map: str
    source: str = ""
    gain: str = ""
    rejected: str = ""
    url: str = ""
    artifact: str = ""
    """The artifact's bytes, base64; empty where it is found by URL."""
    corrupt: str = ""
    """Why it can't be used; empty where it can."""

    @property
    def usable(self) -> bool:
        """True where its bytes are those of its checksum."""
        return not self.corrupt


def config_map(
    policy: Body, *, version: str, sha256: str, artifact: str = "", url: str = "", source: str = "", gain: str = ""
) -> Body:
    """The ConfigMap of a version, owned by its policy."""
    meta = policy["metadata"]
    body = published.config_map(
        policy=meta["name"], namespace=meta["namespace"], version=version, sha256=sha256, artifact=artifact, url=url,
        source=source, gain=gain,
    )  # fmt: skip
    owners = child(policy, "ConfigMap", body["metadata"]["name"])["metadata"]["ownerReferences"]
    return {**body, "metadata": {**body["metadata"], "ownerReferences": owners}}


def parse(body: Body) -> Version:
    """Read a version's ConfigMap."""
    meta = body["metadata"]
    annotations = meta.get("annotations") or {}
    artifact = (body.get("binaryData") or {}).get(ARTIFACT_KEY, "")
    url = (body.get("data") or {}).get(URL_KEY, "")
    sha256 = annotations.get(SHA256, "")
    return Version(
        name=meta["labels"][POLICY_VERSION],
        sha256=sha256,
        published=meta.get("creationTimestamp", ""),
        config_map=meta["name"],
        source=annotations.get(SOURCE, ""),
        gain=annotations.get(GAIN, ""),
        rejected=annotations.get(REJECTED, ""),
        url=url,
        artifact=artifact,
        corrupt=_fault(artifact, url, sha256),
    )


def _fault(artifact: str, url: str, sha256: str) -> str:
    if not sha256:
        return f"the annotation {SHA256} is missing"
    if artifact:
        found = hashlib.sha256(base64.b64decode(artifact)).hexdigest()
        return "" if found == sha256 else f"its bytes have the checksum {found[:12]}, not {sha256[:12]}"
    return "" if url else f"it has neither {ARTIFACT_KEY} nor {URL_KEY}"


def newest_first(bodies: Iterable[Body]) -> list[Version]:
    """Versions of a policy, newest first; those of the same second by name."""
    versions = [parse(body) for body in bodies if POLICY_VERSION in (body["metadata"].get("labels") or {})]
    return sorted(versions, key=lambda version: (version.published, version.name), reverse=True)
