"""A real API server (etcd and kube-apiserver alone) for tests of CRDs and of the operator.

The binaries come from KUBEBUILDER_ASSETS, or from the rig beside the repository (../shared/k8s). Nothing schedules pods here:
tests write what kubelet and controllers would write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client

from kubefugu_operators.cluster.client import HttpApi
from support.paths import REPO
from support.ports import free_port

TOKEN = "admin-token-of-a-test"
OPERATOR = "operator"
"""User of the kubeconfig that operators under test are given; nobody else has its token."""
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


def assets() -> Path:
    """Folder with etcd and kube-apiserver; the test is skipped where there is none."""
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return Path(given)
    rig = REPO.parent / "shared" / "k8s" / "cluster"
    if rig.exists():
        found = subprocess.run([str(rig), "assets"], capture_output=True, text=True, check=False, timeout=120)
        path = Path(found.stdout.strip() or "/nonexistent")
        if found.returncode == 0 and (path / "kube-apiserver").exists():
            return path
        if os.environ.get("KUBEFUGU_TESTS_REQUIRE_SHARED"):
            pytest.fail(f"the API server of ../shared/k8s is required here: {found.stderr.strip()[-500:]}")
    pytest.skip("needs etcd and kube-apiserver: set KUBEBUILDER_ASSETS to a folder that has them")


@dataclass
class ApiServer:
    """A running API server."""

    url: str
    kubeconfig: Path
    audit_log: Path
    command: list[str]
    folder: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL the API server; etcd keeps everything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def start(self) -> None:
        """Start it again on the same port."""
        log = self.folder / "apiserver.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(self.command, stdout=file, stderr=file, cwd=self.folder)
        _wait_ready(self.url, self.process, log)

    def configuration(self) -> client.Configuration:
        """Admin credentials for kubernetes.aio."""
        configuration = client.Configuration()
        configuration.host = self.url
        configuration.verify_ssl = False
        configuration.api_key = {"BearerToken": f"Bearer {TOKEN}"}
        return configuration

    def api(self) -> HttpApi:
        """A client with admin rights; close it."""
        return HttpApi(self.configuration(), user_agent="test-admin")

    def writes(self, *, user: str = OPERATOR) -> list[dict[str, Any]]:
        """Audit events of a user's writes: create, update, patch, delete. The log holds nothing but writes."""
        events = [json.loads(line) for line in self.audit_log.read_text().splitlines() if line.endswith("}")]
        return [event for event in events if event["verb"] in _WRITES and event["user"]["username"] == user]


def _keys(folder: Path) -> None:
    for command in (
        ["openssl", "genrsa", "-out", str(folder / "sa.key"), "2048"],
        ["openssl", "rsa", "-in", str(folder / "sa.key"), "-pubout", "-out", str(folder / "sa.pub")],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    users = [f'{TOKEN},admin,admin,"system:masters"', f'{OPERATOR}-token,{OPERATOR},{OPERATOR},"system:masters"']
    (folder / "tokens.csv").write_text("\n".join(users) + "\n")
    rules = [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    (folder / "audit.yaml").write_text(yaml.safe_dump(policy))


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"kube-apiserver ended: {log.read_text()[-2000:]}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.1)
    raise RuntimeError(f"kube-apiserver was not ready within 60 s: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Start etcd and kube-apiserver on free ports of 127.0.0.1, and end them."""
    binaries = assets()
    _keys(folder)
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    etcd_log, api_log = folder / "etcd.log", folder / "apiserver.log"
    processes: list[subprocess.Popen[bytes]] = []
    started: ApiServer | None = None
    try:
        etcd = [
            str(binaries / "etcd"), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync",
            "--listen-client-urls", f"http://127.0.0.1:{etcd_port}", "--advertise-client-urls", f"http://127.0.0.1:{etcd_port}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer_port}",
        ]  # fmt: skip
        with etcd_log.open("wb") as log:
            processes.append(subprocess.Popen(etcd, stdout=log, stderr=log, cwd=folder))
        server = [
            str(binaries / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--bind-address=127.0.0.1",
            f"--secure-port={port}", f"--cert-dir={folder / 'certs'}", "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kube.test", f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}", f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={folder / 'audit.yaml'}", f"--audit-log-path={folder / 'audit.log'}",
        ]  # fmt: skip
        with api_log.open("wb") as log:
            processes.append(subprocess.Popen(server, stdout=log, stderr=log, cwd=folder))
        url = f"https://127.0.0.1:{port}"
        _wait_ready(url, processes[1], api_log)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(url)))
        started = ApiServer(
            url=url, kubeconfig=kubeconfig, audit_log=folder / "audit.log", command=server, folder=folder, process=processes[1]
        )
        yield started
    finally:
        if started is not None:
            processes[1] = started.process
        # etcd after the API server, both by SIGKILL: with both at SIGTERM the API server hangs for minutes.
        for process in reversed(processes):
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)
        shutil.rmtree(folder / "etcd", ignore_errors=True)


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": OPERATOR, "user": {"token": f"{OPERATOR}-token"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": OPERATOR, "namespace": "default"}}],
    }  # fmt: skip


async def install_crds(api: HttpApi) -> None:
    """Apply the committed CRDs and wait until they are served."""
    for path in sorted((REPO / "charts" / "kubefugu-crds" / "templates").glob("*.yaml")):
        body = yaml.safe_load(path.read_text())
        name = body["metadata"]["name"]
        url = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
        await api.request(
            "PATCH", f"{url}?fieldManager=test&force=true", body=body, content_type="application/apply-patch+yaml"
        )
        async with asyncio.timeout(30):
            while True:
                stored = await api.request("GET", url)
                conditions = {c["type"]: c["status"] for c in (stored.get("status", {}).get("conditions") or ())}
                if conditions.get("Established") == "True":
                    break
                await asyncio.sleep(0.05)
