"""The fault matrix on a real cluster: each fault ends in the right condition and a working system.

    make test-e2e-faults        (or: KUBEFUGU_E2E=1 pytest tests/e2e/faults -s [-k NAME])

Prints a row for docs/operate.md for each fault: what was done, what condition told it, how long until all was well again.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from typing import Any

import pytest
from support.cluster_day import DATES, MANIFESTS, UNITS, active, ask
from support.cluster_faults import fault, start_run, summary, trained, under_way, works
from support.cluster_rig import RIG, Cluster, run

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("KUBEFUGU_E2E") != "1", reason="brings up a cluster: set KUBEFUGU_E2E=1 or use make test-e2e-faults"
    ),
]


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
