"""The cluster that every fault happens to, and the run that nothing happens to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from support import cluster_rig as rig
from support.cluster_day import MANIFESTS, active, install, pool_with_workers, train
from support.cluster_faults import ROWS, start_run, trained, under_way
from support.cluster_rig import Cluster


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def calm(cluster: Cluster) -> str:
    """Checksum of the artifact of the run that nothing happens to."""
    start_run(cluster, "calm")
    begun = under_way(cluster, "calm")
    status = trained(cluster, "calm")
    cluster.say(f"undisturbed run: first seen at generation {begun}, artifact {status['artifact']['sha256'][:12]}")
    return str(status["artifact"]["sha256"])
