"""A real cluster for the end-to-end tests: the throw-away node of ../shared/k8s, or any cluster that KUBECONFIG names.

Environment:
    KUBECONFIG              use this cluster (e.g. kind); its nodes must be able to get the images
    KUBEFUGU_E2E_LOAD       command that brings an image into that cluster, e.g. "kind load docker-image"
    KUBEFUGU_E2E_KEEP=1     leave everything as it is at the end
    KUBEFUGU_E2E_REUSE=1    fault matrix: go on with the node and the release that an earlier call kept
    KUBEFUGU_E2E_SOURCE     folder that images are built from (default: this checkout)
    KUBEFUGU_E2E_CONDUCTOR=1    also the image of a Conductor with a planner of its own
    KUBEFUGU_E2E_IMAGES=ready   do not build images; they are there already
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.paths import REPO

RIG = REPO.parent / "shared" / "k8s"
REGISTRY = "docker.io/library"
SOURCE = Path(os.environ.get("KUBEFUGU_E2E_SOURCE", REPO))
WORK = Path(os.environ.get("KUBEFUGU_E2E_WORK", "/var/tmp/kubefugu-e2e"))


SERVICES = ("gateway", "executor", "conductor", "experts", "router", "trainer")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of ours: its name, Dockerfile, context and build arguments."""

    name: str
    dockerfile: str
    context: Path = SOURCE
    arguments: tuple[str, ...] = ()
    runs: bool = True
    """False: others are built on it, no pod runs it."""

    @property
    def tag(self) -> str:
        """Full name."""
        return f"{REGISTRY}/{self.name}:dev"


def models_folder() -> Path:
    """The model cache with SmolLM2 in it; fetched where it is missing."""
    from kubefugu_core.models import fetch

    return Path(fetch("smollm2-135m-instruct")).parent.parent


def images() -> list[Image]:
    """Everything that the user's day needs, in the order of building (see images/Dockerfile)."""
    models = models_folder()
    bases = [
        Image(f"kubefugu-{target}", "images/Dockerfile", arguments=("--target", target), runs=False)
        for target in ("base", "wheels", "torch")
    ]
    experts = f"BASE={REGISTRY}/kubefugu-experts:dev"
    own = ("--build-arg", "EXTRAS=local", "--build-arg", f"BASE={REGISTRY}/kubefugu-torch:dev")
    conductor = Image("kubefugu-conductor-local", "services/conductor/Dockerfile", arguments=own)
    return [
        *bases,
        *(Image(f"kubefugu-{name}", f"services/{name}/Dockerfile") for name in SERVICES),
        Image("kubefugu-operator", "operators/Dockerfile"),
        *([conductor] if os.environ.get("KUBEFUGU_E2E_CONDUCTOR") == "1" else []),
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
    stages: list[tuple[str, float]] = field(default_factory=list)

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

    @contextmanager
    def watching(self, kind: str, name: str, path: str) -> Iterator[list[str]]:
        """Every value that a field of an object has while the block runs, each once in a row, by kubectl's own watch."""
        seen: list[str] = []
        command = ["kubectl", "-n", self.namespace, "get", kind, name, "--watch", "-o", f'jsonpath={{{path}}}{{"\\n"}}']
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, env=self._env()
        ) as watch:

            def read() -> None:
                for line in watch.stdout or ():
                    if not seen or seen[-1] != line.strip():
                        seen.append(line.strip())

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            try:
                yield seen
            finally:
                watch.terminate()
                reader.join(timeout=10)

    def say(self, text: str) -> None:
        """A line with the time since the start."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", flush=True)

    def show(self, *arguments: str) -> None:
        """What kubectl prints for `get`."""
        self.say(f"$ kubectl get {' '.join(arguments)}\n{self.kubectl('get', *arguments).rstrip()}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of the day: its name before, its time after, and in the table at the end."""
        begun = time.monotonic()
        self.say(f"== {name}")
        yield
        self.stages.append((name, time.monotonic() - begun))
        self.say(f"== {name}: {self.stages[-1][1]:.0f} s")

    def table(self) -> None:
        """The stages and their times."""
        lines = [f"  {seconds:6.0f} s  {name}" for name, seconds in self.stages]
        self.say("\n".join(["stages", *lines, f"  {sum(seconds for _, seconds in self.stages):6.0f} s  together"]))


def build_images() -> None:
    """Build every image; cached layers are quick. One line each with its time."""
    if os.environ.get("KUBEFUGU_E2E_IMAGES") == "ready":
        return
    begun = time.monotonic()
    for image in images():
        started = time.monotonic()
        dockerfile = str(SOURCE / image.dockerfile)
        if RIG.is_dir() and "KUBECONFIG" not in os.environ:
            run([str(RIG / "image"), "install"])
            command = [str(RIG / "image"), "build", image.tag, str(image.context), dockerfile, *image.arguments]
        else:
            command = ["docker", "build", "-t", image.tag, "-f", dockerfile, *image.arguments, str(image.context)]
        try:
            run(command, timeout_s=3600)
        except AssertionError as failed:
            # Most often a package index that did not answer; what is wrong for good fails again.
            print(f"[build] {image.name}: once more after {str(failed)[-300:]}", flush=True)
            run(command, timeout_s=3600)
        print(f"[build] {image.name}: {time.monotonic() - started:.0f} s", flush=True)
    run([str(REPO / "tests" / "e2e" / "third_party.sh"), "note"])
    print(f"[build] all images: {time.monotonic() - begun:.0f} s", flush=True)


def load_images() -> None:
    """Bring the images to the node; what it has already stays."""
    wanted = [image for image in images() if image.runs]
    if "KUBECONFIG" in os.environ:
        loader = os.environ.get("KUBEFUGU_E2E_LOAD")
        for image in wanted if loader else ():
            run([*shlex.split(loader or ""), image.tag], timeout_s=900)
        return
    bases = WORK / "bases"
    run([str(RIG / "image"), "bases", str(bases)])
    for name in ("pause", "busybox", "redis"):
        run([str(RIG / "cluster"), "load", str(bases / f"{name}.tar")])
    built, there = _built(), _on_node()
    for image in wanted:
        stamp, archive = WORK / f"{image.name}.loaded", WORK / f"{image.name}.tar"
        if stamp.is_file() and stamp.read_text() == f"{built[image.tag]} {there.get(image.tag)}":
            continue
        try:
            run([str(RIG / "image"), "save", image.tag, str(archive)], timeout_s=900)
            run([str(RIG / "cluster"), "load", str(archive)], timeout_s=900)
        finally:
            archive.unlink(missing_ok=True)  # together they are 6 GB
        stamp.write_text(f"{built[image.tag]} {_on_node()[image.tag]}")


@contextmanager
def fresh_node() -> Iterator[Cluster]:
    """A node with every image, for as long as the block runs."""
    build_images()
    node = start()
    try:
        with node.stage("images onto the node"):
            load_images()
        yield node
    finally:
        node.table()
        stop()


def _built() -> dict[str, str]:
    """Ids of the built images by name."""
    lines = run([str(RIG / "image"), "list"]).splitlines()[1:]
    return {f"{fields[0]}:{fields[1]}": fields[2] for line in lines if len(fields := line.split()) > 2}


def _on_node() -> dict[str, str]:
    """Digests of the node's images by name."""
    lines = run([str(RIG / "cluster"), "enter", "ctr", "-n", "k8s.io", "images", "ls"]).splitlines()[1:]
    return {fields[0]: fields[2] for line in lines if len(fields := line.split()) > 2}


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
    return attach()


def attach() -> Cluster:
    """The node that is up."""
    kubeconfig = Path(run([str(RIG / "cluster"), "kubeconfig"]).strip())
    return Cluster(kubeconfig, Path(run([str(RIG / "cluster"), "assets"]).strip()))


def stop() -> None:
    """End the node, unless it is to be kept or not ours."""
    if "KUBECONFIG" not in os.environ and os.environ.get("KUBEFUGU_E2E_KEEP") != "1":
        run([str(RIG / "cluster"), "down"], check=False)
