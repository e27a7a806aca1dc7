"""Versions trained elsewhere, published to a RoutingPolicy in a cluster with the user's own kubectl."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubefugu_cli.console import out
from kubefugu_cli.policies import artifact_file
from kubefugu_core.errors import (
    ArtifactRefusedError,
    ConflictError,
    DataError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from kubefugu_core.policy_sets import published

_FORMATS = ("kubefugu-policy/", "kubefugu-conductor/")
_MAX_HEADER_BYTES = 100 << 20
_KUBECTL_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a version goes; empty fields are kubectl's own defaults."""

    policy: str
    namespace: str = ""
    context: str = ""
    kubeconfig: str = ""

    def kubectl(self, *arguments: str) -> list[str]:
        """A kubectl command line."""
        given = {"--namespace": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        return ["kubectl", *(f"{flag}={value}" for flag, value in given.items() if value), *arguments]


def manifest(path: Path, target: Target, *, version: str, url: str) -> dict[str, Any]:
    """The ConfigMap of the artifact at `path`, which is looked at; with `url` it is found there and only its checksum travels.

    Raises DataError, ArtifactRefusedError or InvalidRequestError that names what is wrong.
    """
    file = artifact_file(path)
    raw = file.read_bytes()
    check_format(raw, file.name)
    sha256 = hashlib.sha256(raw).hexdigest()
    if not url and len(raw) > published.MAX_ARTIFACT_BYTES:
        raise DataError(
            f"{file} has {len(raw)} bytes; {published.MAX_ARTIFACT_BYTES} fit into a ConfigMap. "
            "Put it where the cluster can fetch it and give --url.",
            field="url",
        )
    name = version or published.version_name(_word(path.stem if path.is_file() else path.absolute().name), sha256)
    if not re.match(published.VERSION_PATTERN, name) or len(name) > 63:
        raise InvalidRequestError(f"{name!r} is no version (lower-case, digits, '-', '.'; at most 63).", field="version")
    return published.config_map(
        policy=target.policy,
        namespace=target.namespace,
        version=name,
        sha256=sha256,
        artifact="" if url else base64.b64encode(raw).decode(),
        url=url,
        source=f"kubefugu policy publish {file.name}",
    )


def check_format(raw: bytes, name: str) -> None:
    """Raises ArtifactRefusedError for a file that is no safetensors file of a head or a Conductor."""
    try:
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + min(length, _MAX_HEADER_BYTES)])
        told = str(header["__metadata__"]["format"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ArtifactRefusedError(f"{name} is no artifact of kubefugu.", field="artifact") from error
    if not told.startswith(_FORMATS):
        raise ArtifactRefusedError(f"{name} is of the format {told!r}, not a head or a Conductor.", field="artifact")


def publish(body: dict[str, Any], target: Target) -> None:
    """Create the ConfigMap, owned by its policy. Raises NotFoundError, ConflictError or UnavailableError."""
    policy = json.loads(_run(target.kubectl("get", "routingpolicy", target.policy, "-o", "json")))
    meta = policy["metadata"]
    owner = {"apiVersion": policy["apiVersion"], "kind": "RoutingPolicy", "name": meta["name"], "uid": meta["uid"]}
    owned = {**body["metadata"], "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}]}
    _run(target.kubectl("create", "-f", "-"), stdin=json.dumps({**body, "metadata": owned}))
    version = body["metadata"]["labels"][published.POLICY_VERSION]
    out().print(f"Published {version}; its rollout: kubectl get routingpolicy {target.policy}", highlight=False, soft_wrap=True)


def print_manifest(body: dict[str, Any]) -> None:
    """The manifest as YAML, for a repository that is applied by others."""
    print(yaml.safe_dump(body, sort_keys=False), end="")


def _run(command: list[str], *, stdin: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_KUBECTL_S, check=False)
    except FileNotFoundError as error:
        raise UnavailableError("kubectl is not in PATH; --print gives the manifest without it.") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"kubectl did not end within {_KUBECTL_S:g} s.") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()
    if "AlreadyExists" in said:
        raise ConflictError(f"{said} (versions don't change; choose another --version)", field="version")
    if "NotFound" in said:
        raise NotFoundError(said, field="policy")
    raise UnavailableError(said or f"kubectl ended with {done.returncode}")


def _word(text: str) -> str:
    """A name with nothing but what versions may have."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "version"
