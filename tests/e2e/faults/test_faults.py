"""The fault matrix on a real cluster: each fault ends in the right condition and a working system.

    make test-e2e-faults        (or: KUBEFUGU_E2E=1 pytest tests/e2e/faults -s [-k NAME])

Prints a row for docs/operate.md for each fault: what was done, what condition told it, how long until all was well again.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import cluster_rig as rig
from support.cluster_day import DATES, MANIFESTS, UNITS, Load, active, ask, install, pool_with_workers, train
from support.cluster_rig import RIG, Cluster, run
from support.paths import REPO

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E") != "1", reason="brings up a cluster: set KUBEFUGU_E2E=1 or use make test-e2e-faults"
    ),
]
RUN = REPO / "tests" / "e2e" / "faults" / "training.yaml"
ITERATIONS = 300
ROWS: list[str] = []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with both charts, a healthy pool, and a served head (version of the run `first`)."""
    reuse = os.environ.get("KUBEFUGU_E2E_REUSE") == "1"
    if not reuse:
        rig.build_images()
    node = rig.attach() if reuse else rig.start()
    try:
        if reuse:
            yield node
            return
        rig.load_images()
        node.say("images are on the node")
        install(node)
        pool_with_workers(node)
        node.kubectl("create", "configmap", "outcomes", f"--from-file={MANIFESTS / 'outcomes.jsonl'}")
        lines = (MANIFESTS / "outcomes.jsonl").read_text().splitlines(keepends=True)
        few = json.dumps("".join(lines[::4]))
        # The runs that something happens to read a quarter of the table: their driver is soon where it can be disturbed.
        node.apply(f'{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"few"}},"data":{{"outcomes.jsonl":{few}}}}}')
        node.apply((MANIFESTS / "policy.yaml").read_text())
        version = train(node, "first", "run.yaml", SEED=42)
        node.until(f"{version} is active", lambda: active(node, version), timeout_s=60)
        yield node
    finally:
        print("\n".join(["| fault | told by | well again after |", "|---|---|---|", *ROWS]), flush=True)
        rig.stop()


@contextmanager
def fault(cluster: Cluster, name: str) -> Iterator[list[str]]:
    """A row of the table; conditions that were seen are appended to what is yielded. Begins with the pool as it was applied."""
    cluster.say(f"== {name}")
    cluster.apply((MANIFESTS / "pool.yaml").read_text())
    told: list[str] = []
    begun = time.monotonic()
    yield told
    ROWS.append(f"| {name} | {'; '.join(told)} | {time.monotonic() - begun:.0f} s |")
    cluster.say(ROWS[-1])


def works(cluster: Cluster) -> None:
    """The system does its work: pool healthy, policy served, questions answered by the right workers."""
    cluster.until(
        "pool and policy are well",
        lambda: (
            cluster.condition("workerpool", "default", "Ready").get("reason") == "AllWorkersHealthy"
            and cluster.condition("routingpolicy", "main", "Ready").get("status") == "True"
        ),
        timeout_s=180,
    )
    # The executor asks a worker that had failed again after a while (circuit breaker).
    cluster.until(
        "the right workers answer",
        lambda: [answer.get("worker") for answer in ask(cluster, UNITS, DATES)] == ["units", "dates"],
        timeout_s=90,
    )


def start_run(cluster: Cluster, name: str, **spec: Any) -> None:
    """Apply the run of training.yaml with further spec fields."""
    import yaml

    body = yaml.safe_load(RUN.read_text().replace("RUN", name).replace("ITERATIONS", str(ITERATIONS)))
    body["spec"] |= spec
    cluster.apply(json.dumps(body))


def summary(cluster: Cluster, name: str) -> dict[str, str]:
    """The run's Succeeded condition."""
    return cluster.condition("trainingrun", name, "Succeeded")


def step_of(cluster: Cluster, name: str) -> int:
    """Generations done; 0 while it prepares, whose steps are others."""
    progress = (cluster.get("trainingrun", name).get("status") or {}).get("progress") or {}
    return int(progress.get("step", 0)) if progress.get("totalSteps") == ITERATIONS else 0


def trained(cluster: Cluster, name: str) -> dict[str, Any]:
    """Wait for the run's end; its status."""
    cluster.until(f"run {name} is over", lambda: summary(cluster, name).get("status") in ("True", "False"), timeout_s=1800)
    status: dict[str, Any] = cluster.get("trainingrun", name)["status"]
    assert summary(cluster, name)["reason"] == "Trained", json.dumps(status, indent=1)
    return status


def under_way(cluster: Cluster, name: str) -> int:
    """Wait until the search has begun and is not near its end."""
    return int(cluster.until(f"run {name} searches", lambda: step_of(cluster, name) or None, timeout_s=900, every_s=0.5))


def pods_of(cluster: Cluster, name: str, component: str) -> list[str]:
    """Names of a run's pods."""
    labels = f"kubefugu.dev/run={name},app.kubernetes.io/component={component}"
    return cluster.kubectl("get", "pods", "-l", labels, "-o", "name").split()


def test_worker_gone(cluster: Cluster) -> None:
    with fault(cluster, "a worker's endpoint gone (its Deployment scaled to 0)") as told:
        cluster.kubectl("scale", "deployment/default-units", "--replicas=0")
        seen = cluster.until(
            "the pool tells it",
            lambda: (found := cluster.condition("workerpool", "default", "WorkersHealthy")).get("status") == "False" and found,
            timeout_s=90,
        )
        (answer,) = ask(cluster, UNITS)
        assert answer.get("answer"), answer
        assert answer["worker"] != "units"
        told.append(f"WorkersHealthy {seen['status']} {seen['reason']}; the question goes to {answer['worker']}")
        cluster.kubectl("scale", "deployment/default-units", "--replicas=1")
        works(cluster)


def edit_pool(cluster: Cluster, worker: str, **fields: Any) -> None:
    """Change fields of a worker of the pool as a user would, by apply."""
    import yaml

    body = yaml.safe_load((MANIFESTS / "pool.yaml").read_text())
    entry = next(entry for entry in body["spec"]["workers"] if entry["name"] == worker)
    for key, value in fields.items():
        entry[key] = {**entry[key], **value} if key in entry else value
    cluster.apply(json.dumps(body))


def test_wrong_secret(cluster: Cluster) -> None:
    with fault(cluster, "a worker's key: Secret missing, then its key, then right") as told:
        reference = {"secretKeyRef": {"name": "the-key", "key": "token"}}
        edit_pool(cluster, "dates", auth=reference)
        for reason, action in (
            ("SecretNotFound", ("create", "secret", "generic", "the-key", "--from-literal=other=x")),
            ("SecretKeyNotFound", ("patch", "secret", "the-key", "-p", '{"stringData":{"token":"k"}}')),
        ):
            cluster.until(
                f"KeysResolved says {reason}",
                lambda reason=reason: cluster.condition("workerpool", "default", "KeysResolved").get("reason") == reason,
                timeout_s=60,
            )
            told.append(reason)
            cluster.kubectl(*action)
        works(cluster)
        cluster.apply((MANIFESTS / "pool.yaml").read_text())
        cluster.kubectl("delete", "secret", "the-key")
        works(cluster)


DOOR = """
import http.server
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/health" or self.headers.get("Authorization") == "Bearer right"
        self.send_response(200 if known else 401)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8000), Door).serve_forever()
"""


def test_wrong_key(cluster: Cluster) -> None:
    import yaml

    with fault(cluster, "a worker's key that its endpoint refuses, then the right one put into the Secret") as told:
        cluster.kubectl("create", "secret", "generic", "door-key", "--from-literal=token=wrong")
        body = yaml.safe_load((MANIFESTS / "pool.yaml").read_text())
        door = {"image": "docker.io/library/kubefugu-client:dev", "command": ["python", "-c", DOOR]}
        auth = {"secretKeyRef": {"name": "door-key", "key": "token"}}
        body["spec"]["workers"].append({"name": "door", "model": "door", "managed": door, "auth": auth})
        cluster.apply(json.dumps(body))
        seen = cluster.until(
            "the pool tells it",
            lambda: (
                (found := cluster.condition("workerpool", "default", "WorkersHealthy")).get("reason") == "KeyRefused" and found
            ),
            timeout_s=120,
        )
        told.append(f"WorkersHealthy {seen['status']} {seen['reason']}")
        (answer,) = ask(cluster, UNITS)
        assert answer.get("worker") == "units", answer
        cluster.kubectl("patch", "secret", "door-key", "-p", '{"stringData":{"token":"right"}}')
        works(cluster)
        cluster.apply((MANIFESTS / "pool.yaml").read_text())
        cluster.kubectl("delete", "secret", "door-key")
        works(cluster)


def test_artifact_with_a_wrong_checksum(cluster: Cluster) -> None:
    with fault(cluster, "a version whose artifact has another checksum") as told:
        serving = cluster.get("routingpolicy", "main")["status"]["active"]
        body = cluster.get("configmap", f"main-{serving}")
        meta = body["metadata"]
        meta["name"], meta["labels"]["kubefugu.dev/policy-version"] = "main-forged", "forged"
        meta["annotations"] = {**meta["annotations"], "kubefugu.dev/sha256": "0" * 64}
        for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
            meta.pop(key, None)
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
        seen = cluster.until(
            "the policy tells it",
            lambda: (
                (found := cluster.condition("routingpolicy", "main", "VersionsFound")).get("reason") == "ArtifactCorrupt"
                and found
            ),
            timeout_s=30,
        )
        told.append(f"VersionsFound {seen['reason']}; {serving} stays active")
        assert active(cluster, serving)
        cluster.kubectl("delete", "configmap", "main-forged")
        works(cluster)


def asked_from_outside(address: str) -> int:
    """One question to the gateway without the API server's help; 1, or an error."""
    body = json.dumps({"model": "fugu", "messages": [{"role": "user", "content": UNITS}], "max_tokens": 16}).encode()
    request = urllib.request.Request(
        f"http://{address}/v1/chat/completions", data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "19.3" in json.load(answer)["choices"][0]["message"]["content"]
    return 1


def test_api_server_away(cluster: Cluster) -> None:
    if not RIG.is_dir() or "KUBECONFIG" in os.environ:
        pytest.skip("needs to stop an API server")
    with fault(cluster, "API server away for 20 s") as told:
        address = cluster.kubectl("get", "service", "kubefugu-gateway", "-o", "jsonpath={.spec.clusterIP}")
        run([str(RIG / "cluster"), "stop", "apiserver"])
        end, answered = time.monotonic() + 20, 0
        while time.monotonic() < end:
            answered += asked_from_outside(address)
            time.sleep(0.5)
        run([str(RIG / "cluster"), "start", "apiserver"])
        cluster.until(
            "the API server answers", lambda: "ok" in cluster.kubectl("get", "--raw", "/readyz", check=False), timeout_s=60
        )
        begun = time.monotonic()
        # The operator must see new edits again, in both directions.
        pin = cluster.get("routingpolicy", "main")["status"]["active"]
        cluster.kubectl("patch", "routingpolicy", "main", "--type=merge", "-p", json.dumps({"spec": {"pin": "none-such"}}))
        cluster.until(
            "a new edit is seen",
            lambda: cluster.condition("routingpolicy", "main", "Declared").get("reason") == "PinNotFound",
            timeout_s=120,
        )
        seen_s = time.monotonic() - begun
        cluster.kubectl("patch", "routingpolicy", "main", "--type=merge", "-p", json.dumps({"spec": {"pin": pin}}))
        cluster.until("served as before", lambda: active(cluster, pin), timeout_s=60)
        told.append(
            f"{answered} questions answered meanwhile, none failed; a new edit is acted on {seen_s:.0f} s after its return"
        )
        works(cluster)


def test_image_that_cannot_be_pulled(cluster: Cluster) -> None:
    with fault(cluster, "images that can't be pulled: a worker's, a driver's") as told:
        edit_pool(cluster, "dates", managed={"image": "docker.io/library/no-such-image:1"})
        start_run(cluster, "imageless", driver={"image": "docker.io/library/no-such-image:1"})
        for kind, name in (("workerpool", "default"), ("trainingrun", "imageless")):
            of = "ManagedAvailable" if kind == "workerpool" else "Succeeded"
            seen = cluster.until(
                f"{kind} says it",
                lambda kind=kind, name=name, of=of: (
                    (found := cluster.condition(kind, name, of)).get("reason") == "ImagePullFailed" and found
                ),
                timeout_s=90,
            )
            told.append(f"{kind} {of} {seen['status']} {seen['reason']}")
        (answer,) = ask(cluster, DATES)
        assert answer.get("worker") == "dates", "the old worker goes on serving"
        cluster.apply((MANIFESTS / "pool.yaml").read_text())
        patch = {"spec": {"driver": {"image": None}}}
        cluster.kubectl("patch", "trainingrun", "imageless", "--type=merge", "-p", json.dumps(patch))
        under_way(cluster, "imageless")
        cluster.kubectl("delete", "trainingrun", "imageless", "--timeout=60s")
        works(cluster)


def small_volume(folder: str, namespace: str) -> str:
    """A volume of that folder and the claim that takes it."""
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "small"},
        "spec": {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": folder},
                 "storageClassName": "small", "claimRef": {"name": "small", "namespace": namespace}},
    }  # fmt: skip
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "small", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "small", "volumeName": "small",
                 "resources": {"requests": {"storage": "1Mi"}}},
    }  # fmt: skip
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [volume, claim]})


def test_full_checkpoint_volume(cluster: Cluster) -> None:
    if not RIG.is_dir() or "KUBECONFIG" in os.environ:
        pytest.skip("needs to mount a tmpfs on the node")
    with fault(cluster, "checkpoint volume full (tmpfs of 256 kB), then made larger") as told:
        folder = "/tmp/hostpath_pv/small"
        enter = [str(RIG / "cluster"), "enter"]
        run([*enter, "mkdir", "-p", folder])
        run([*enter, "mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "tmpfs", folder])
        cluster.apply(small_volume(folder, cluster.namespace))
        start_run(cluster, "full", storage={"claimName": "small"}, backoffLimit=20)
        seen = cluster.until(
            "the run tells it",
            lambda: "space" in (found := summary(cluster, "full")).get("message", "").lower() and found,
            timeout_s=240,
        )
        told.append(f"{seen['status']} {seen['reason']}: {seen['message'][:90]}")
        run([*enter, "mount", "-o", "remount,size=200m", folder])
        status = trained(cluster, "full")
        told.append(f"trained after {status['applicationFailures']} failed attempts")


@pytest.fixture(scope="module")
def calm(cluster: Cluster) -> str:
    """Checksum of the artifact of the run that nothing happens to."""
    start_run(cluster, "calm")
    begun = under_way(cluster, "calm")
    status = trained(cluster, "calm")
    cluster.say(f"undisturbed run: first seen at generation {begun}, artifact {status['artifact']['sha256'][:12]}")
    return str(status["artifact"]["sha256"])


def test_driver_pod_deleted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "driver pod deleted without grace in mid-run") as told:
        start_run(cluster, "driver")
        step = under_way(cluster, "driver")
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pods_of(cluster, "driver", "driver"))
        status = trained(cluster, "driver")
        assert status["artifact"]["sha256"] == calm, "the resumed run must give the same bytes"
        assert status["attempt"] == 2
        assert status.get("infrastructureFailures") == 1
        assert not status.get("applicationFailures")
        told.append(f"deleted at generation {step}; attempt 2, infrastructureFailures 1, artifact equal byte for byte")


def test_evaluator_pods_deleted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "both evaluator pods deleted without grace in mid-run") as told:
        start_run(cluster, "helpers")
        step = under_way(cluster, "helpers")
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pods_of(cluster, "helpers", "evaluator"))
        seen = cluster.until(
            "the condition tells it",
            lambda: (found := cluster.condition("trainingrun", "helpers", "EvaluatorsReady")).get("status") != "True" and found,
            timeout_s=30,
            every_s=0.3,
        )
        status = trained(cluster, "helpers")
        assert status["artifact"]["sha256"] == calm
        assert status["attempt"] == 1
        told.append(f"at generation {step}: EvaluatorsReady {seen['status']} {seen['reason']}; artifact equal byte for byte")


def test_redis_restarted(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "Redis pod deleted in mid-run (its data is gone)") as told:
        start_run(cluster, "broker")
        step = under_way(cluster, "broker")
        pod = cluster.kubectl("get", "pods", "-l", "app.kubernetes.io/component=redis", "-o", "name").split()
        cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pod)
        status = trained(cluster, "broker")
        assert status["artifact"]["sha256"] == calm
        told.append(f"at generation {step}: run goes on, attempt {status['attempt']}; artifact equal byte for byte")
        works(cluster)


def test_suspended_and_resumed(cluster: Cluster, calm: str) -> None:
    with fault(cluster, "suspended in mid-run, resumed") as told:
        start_run(cluster, "paused")
        step = under_way(cluster, "paused")
        cluster.kubectl("patch", "trainingrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":true}}')
        cluster.until("nothing of it runs", lambda: not cluster.kubectl(
            "get", "pods", "-l", "kubefugu.dev/run=paused", "--field-selector=status.phase=Running", "-o", "name").split(),
            timeout_s=90)  # fmt: skip
        assert cluster.condition("trainingrun", "paused", "Suspended")["status"] == "True"
        seen = summary(cluster, "paused")
        cluster.kubectl("patch", "trainingrun", "paused", "--type=merge", "-p", '{"spec":{"suspend":false}}')
        status = trained(cluster, "paused")
        assert status["artifact"]["sha256"] == calm
        assert (status["attempt"], status.get("suspensions")) == (2, 1)
        assert not status.get("applicationFailures")
        assert not status.get("infrastructureFailures")
        told.append(f"at generation {step}: {seen['status']} {seen['reason']}; attempt 2, artifact equal byte for byte")


def copied(cluster: Cluster, version: str, name: str) -> dict[str, Any]:
    """A version's ConfigMap under another name, as somebody else would publish the same head."""
    body = cluster.get("configmap", f"main-{version}")
    meta = body["metadata"]
    meta["name"], meta["labels"]["kubefugu.dev/policy-version"] = f"main-{name}", name
    for key in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        meta.pop(key, None)
    return body


def kill_operator(cluster: Cluster) -> None:
    """SIGKILL, and another pod at once: in the same pod kubelet would wait longer after each kill."""
    pod = cluster.kubectl("get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "name").split()
    run([str(RIG / "cluster"), "enter", "pkill", "-KILL", "-f", "kubefugu-operator"], check=False)
    cluster.kubectl("delete", "--grace-period=0", "--force", "--wait=false", *pod, check=False)

    def back() -> bool:
        return bool((cluster.get("deployment", "kubefugu-operator").get("status") or {}).get("readyReplicas"))

    cluster.until("the dead operator is seen", lambda: not back(), timeout_s=60, every_s=0.2)
    cluster.until("operator is back", back, timeout_s=120, every_s=0.3)


def test_operator_killed_again_and_again(cluster: Cluster, calm: str) -> None:
    if not RIG.is_dir() or "KUBECONFIG" in os.environ:
        pytest.skip("needs to kill a process on the node")
    with fault(
        cluster, "operator killed (SIGKILL) 0 to 8 s after each start, from the apply of a run to its end and a rollout"
    ) as told:
        serving = cluster.get("routingpolicy", "main")["status"]["active"]
        start_run(cluster, "orphan")
        load = Load(cluster)
        deadline = time.monotonic() + 1200
        kills, rollout = 0, False
        while summary(cluster, "orphan").get("status") not in ("True", "False") or not active(cluster, "again"):
            assert time.monotonic() < deadline, cluster.picture()
            if not rollout and step_of(cluster, "orphan"):
                load.start()
                cluster.kubectl("create", "-f", "-", stdin=json.dumps(copied(cluster, serving, "again")))
                rollout = True
            kill_operator(cluster)
            kills += 1
            time.sleep((0, 0.5, 1, 2, 4, 8)[kills % 6])
        status = trained(cluster, "orphan")
        answers = load.end()
        assert not [answer for answer in answers if "error" in answer], answers[:3]
        assert {answer["policy-version"] for answer in answers} == {serving, "again"}
        assert status["artifact"]["sha256"] == calm
        assert status["attempt"] == 1
        assert len(pods_of(cluster, "orphan", "driver")) == 1, "one driver, ever"
        told.append(
            f"{kills} kills; one driver pod, attempt 1, artifact equal byte for byte; "
            f"the rollout ended in the new version, {len(answers)} answers meanwhile, none failed"
        )
        works(cluster)


def suspended(cluster: Cluster, name: str) -> bool:
    """True once a run that searched has been suspended."""
    if step_of(cluster, name) and not cluster.get("trainingrun", name)["spec"].get("suspend"):
        cluster.kubectl("patch", "trainingrun", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    return cluster.condition("trainingrun", name, "Suspended").get("status") == "True"


def test_deletion_in_every_phase(cluster: Cluster) -> None:
    with fault(cluster, "a run deleted in each phase") as told:
        for number, (phase, reached) in enumerate(
            (
                ("just applied", lambda name: True),
                ("driver pending", lambda name: pods_of(cluster, name, "driver")),
                ("preparing", lambda name: cluster.condition("trainingrun", name, "DriverRunning").get("status") == "True"),
                ("searching", lambda name: step_of(cluster, name)),
                ("suspended", lambda name: suspended(cluster, name)),
                (
                    "search over",
                    lambda name: step_of(cluster, name) >= ITERATIONS or summary(cluster, name)["status"] == "True",
                ),
                ("over", lambda name: summary(cluster, name).get("status") == "True"),
            )
        ):
            name = f"gone{number}"
            start_run(cluster, name)
            cluster.until(phase, lambda name=name, reached=reached: reached(name), timeout_s=400, every_s=0.3)
            cluster.kubectl("delete", "trainingrun", name, "--timeout=60s")
            labels = f"kubefugu.dev/run={name}"
            kinds = "pods,jobs,deployments,configmaps,persistentvolumeclaims"
            cluster.until(
                f"nothing is left of {name}",
                lambda labels=labels, kinds=kinds: not cluster.kubectl("get", kinds, "-l", labels, "-o", "name").split(),
                timeout_s=150,
            )
            told.append(phase)
        works(cluster)
