"""A real cluster for the end-to-end tests: the throw-away node of ../shared/k8s, or any cluster that KUBECONFIG names.

Environment:
    KUBECONFIG              use this cluster (e.g. kind); its nodes must be able to get the images
    KUBEFUGU_E2E_LOAD       command that brings an image into that cluster, e.g. "kind load docker-image"
    KUBEFUGU_E2E_KEEP=1     leave everything as it is at the end
    KUBEFUGU_E2E_SOURCE     folder that images are built from (default: this checkout)
    KUBEFUGU_E2E_IMAGES=ready   do not build images; they are there already
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.paths import REPO

RIG = REPO.parent / "shared" / "k8s"
REGISTRY = "docker.io/library"
SOURCE = Path(os.environ.get("KUBEFUGU_E2E_SOURCE", REPO))
WORK = Path(os.environ.get("KUBEFUGU_E2E_WORK", "/var/tmp/kubefugu-e2e"))


@dataclass(frozen=True, slots=True)
class Image:
    """An image of ours: its name, Dockerfile, context and build arguments."""

    name: str
    dockerfile: str
    context: Path = SOURCE
    arguments: tuple[str, ...] = ()


def models_folder() -> Path:
    """The model cache with SmolLM2 in it; fetched where it is missing."""
    from kubefugu_core.models import fetch

    return Path(fetch("smollm2-135m-instruct")).parent.parent


def images() -> list[Image]:
    """Everything that the user's day needs. Later ones may stand on earlier ones."""
    models = models_folder()
    services = [
        Image(f"kubefugu-{name}", f"services/{name}/Dockerfile")
        for name in ("gateway", "executor", "router", "conductor", "experts", "trainer")
    ]
    experts = f"BASE={REGISTRY}/kubefugu-experts:dev"
    return [
        *services,
        Image("kubefugu-operator", "operators/Dockerfile"),
        Image("kubefugu-models", "services/router/models.Dockerfile", models),
        Image("kubefugu-smollm2", "services/experts/model.Dockerfile", models, ("--build-arg", experts)),
        Image("kubefugu-client", "tests/e2e/cluster/client.Dockerfile", SOURCE / "tests" / "e2e" / "cluster"),
    ]


def run(
    command: Sequence[str],
    *,
    timeout_s: float = 600.0,
    check: bool = True,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Run a command and return its standard output; a failure shows both streams."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, timeout=timeout_s, input=stdin, check=False, env=env or dict(os.environ)
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(command)} -> {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


@dataclass
class Cluster:
    """kubectl and helm against one cluster, in one namespace."""

    kubeconfig: Path
    tools: Path | None
    namespace: str = "kubefugu-e2e"
    started: float = field(default_factory=time.monotonic)

    def _env(self) -> dict[str, str]:
        path = f"{self.tools}:{os.environ['PATH']}" if self.tools else os.environ["PATH"]
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_s: float = 120.0) -> str:
        """kubectl in our namespace."""
        return run(
            ["kubectl", "-n", self.namespace, *arguments], stdin=stdin, check=check, timeout_s=timeout_s, env=self._env()
        )

    def helm(self, *arguments: str, timeout_s: float = 300.0) -> str:
        """helm in our namespace."""
        return run(["helm", "-n", self.namespace, *arguments], timeout_s=timeout_s, env=self._env())

    def apply(self, manifest: str) -> None:
        """kubectl apply of a text."""
        self.kubectl("apply", "-f", "-", stdin=manifest)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object, {} where there is none."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else {}

    def condition(self, kind: str, name: str, condition: str) -> dict[str, str]:
        """A condition of an object, {} where it is not set."""
        found = (self.get(kind, name).get("status") or {}).get("conditions", ())
        return next((entry for entry in found if entry["type"] == condition), {})

    def until(self, what: str, probe: Callable[[], Any], *, timeout_s: float, every_s: float = 1.0) -> Any:
        """Poll until `probe` gives something; a timeout shows the state of the namespace."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = probe()
            if found:
                self.say(f"{what}: yes")
                return found
            time.sleep(every_s)
        raise AssertionError(f"not within {timeout_s:g} s: {what}\n{self.picture()}")

    def picture(self) -> str:
        """What a person would look at first."""
        parts = [
            self.kubectl("get", "kubefugu,pods,jobs", "-o", "wide", check=False),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-3000:],
            self.kubectl("logs", "deployment/kubefugu-operator", "--tail=40", check=False),
        ]
        return "\n".join(parts)

    def say(self, text: str) -> None:
        """A line with the time since the start."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)


def build_images() -> None:
    """Build every image; cached layers are quick."""
    if os.environ.get("KUBEFUGU_E2E_IMAGES") == "ready":
        return
    for image in images():
        tag = f"{REGISTRY}/{image.name}:dev"
        dockerfile = str(SOURCE / image.dockerfile)
        if RIG.is_dir() and "KUBECONFIG" not in os.environ:
            run([str(RIG / "image"), "build", tag, str(image.context), dockerfile, *image.arguments], timeout_s=1800)
        else:
            run(["docker", "build", "-t", tag, "-f", dockerfile, *image.arguments, str(image.context)], timeout_s=1800)


def load_images() -> None:
    """Bring the images to the node."""
    names = [image.name for image in images()]
    if "KUBECONFIG" in os.environ:
        loader = os.environ.get("KUBEFUGU_E2E_LOAD")
        for name in names if loader else ():
            run([*shlex.split(loader or ""), f"{REGISTRY}/{name}:dev"], timeout_s=900)
        return
    bases = WORK / "bases"
    run([str(RIG / "image"), "bases", str(bases)])
    for name in ("pause", "busybox", "redis"):
        run([str(RIG / "cluster"), "load", str(bases / f"{name}.tar")])
    for name in names:
        archive = WORK / f"{name}.tar"
        archive.parent.mkdir(parents=True, exist_ok=True)
        run([str(RIG / "image"), "save", f"{REGISTRY}/{name}:dev", str(archive)], timeout_s=900)
        run([str(RIG / "cluster"), "load", str(archive)], timeout_s=900)
        archive.unlink()


def start() -> Cluster:
    """Start the node, or take the given cluster; the test is skipped where there is neither."""
    if "KUBECONFIG" in os.environ:
        return Cluster(Path(os.environ["KUBECONFIG"]), None)
    if not RIG.is_dir():
        pytest.skip("needs a cluster: set KUBECONFIG (for example kind)")
    run([str(RIG / "cluster"), "install"])
    run([str(RIG / "image"), "install"])
    run([str(RIG / "cluster"), "down"], check=False)
    run([str(RIG / "cluster"), "up"])
    kubeconfig = Path(run([str(RIG / "cluster"), "kubeconfig"]).strip())
    return Cluster(kubeconfig, Path(run([str(RIG / "cluster"), "assets"]).strip()))


def stop() -> None:
    """End the node, unless it is to be kept or not ours."""
    if "KUBECONFIG" not in os.environ and os.environ.get("KUBEFUGU_E2E_KEEP") != "1":
        run([str(RIG / "cluster"), "down"], check=False)
