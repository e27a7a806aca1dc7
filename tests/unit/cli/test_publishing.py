"""kubefugu policy publish: what is refused before anything is sent, and the manifest."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kubefugu_cli.main import app
from kubefugu_cli.publishing import Target, manifest
from kubefugu_core.errors import ArtifactRefusedError, DataError, InvalidRequestError

TARGET = Target(policy="main")


def artifact(folder: Path, *, told: str = "kubefugu-policy/1", size: int = 0, name: str = "Head_1.safetensors") -> Path:
    """A safetensors file of a format, without tensors."""
    header = json.dumps({"__metadata__": {"format": told}}).encode()
    file = folder / name
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)
    return file


def test_the_manifest_is_what_the_operator_reads(tmp_path: Path) -> None:
    file = artifact(tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    done = CliRunner().invoke(app, ["policy", "publish", str(file), "--policy", "main", "-n", "prod", "--print"])
    assert done.exit_code == 0, done.output
    body = yaml.safe_load(done.stdout)
    version = f"head-1-{digest[:8]}"
    assert body["metadata"]["name"] == f"main-{version}"
    assert body["metadata"]["namespace"] == "prod"
    assert body["metadata"]["labels"]["kubefugu.dev/policy-version"] == version
    assert body["metadata"]["annotations"]["kubefugu.dev/sha256"] == digest
    assert base64.b64decode(body["binaryData"]["artifact.safetensors"]) == file.read_bytes()
    assert body["immutable"] is True


def test_a_large_one_travels_by_url(tmp_path: Path) -> None:
    file = artifact(tmp_path, told="kubefugu-conductor/1", size=1_000_000)
    with pytest.raises(DataError, match="--url") as caught:
        manifest(file, TARGET, version="", url="")
    assert caught.value.field == "url"
    body = manifest(file, TARGET, version="c7", url="https://artifacts.example/c7.safetensors")
    assert body["data"] == {"url": "https://artifacts.example/c7.safetensors"}
    assert body["metadata"]["annotations"]["kubefugu.dev/sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 64, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 9) + b"[1, 2, 3]"]
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(ArtifactRefusedError, match="no artifact"):
        manifest(file, TARGET, version="", url="")


def test_another_format_and_a_bad_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefusedError, match="pt"):
        manifest(artifact(tmp_path, told="pt"), TARGET, version="", url="")
    with pytest.raises(InvalidRequestError) as caught:
        manifest(artifact(tmp_path), TARGET, version="Version One", url="")
    assert caught.value.field == "version"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('Error from server (NotFound): routingpolicies.kubefugu.dev "main" not found', "not found"),
        ("The connection to the server 127.0.0.1:6443 was refused", "was refused"),
    ],
)
def test_what_kubectl_says_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, expected: str
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!{sys.executable}\nimport sys\nsys.exit({said!r})\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(app, ["policy", "publish", str(artifact(tmp_path))])
    assert done.exit_code != 0
    assert expected in str(done.exception or done.output)


def test_without_kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(app, ["policy", "publish", str(artifact(tmp_path))])
    assert "--print" in str(done.exception or done.output)
