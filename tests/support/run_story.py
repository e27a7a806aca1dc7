"""A training run's life as the reconciliation sees it, one visit after the other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.plan import Plan
from kubefugu_operators.trainingrun.objects import PodDefaults
from kubefugu_operators.trainingrun.observed import Collected, RunObserved, RunView
from kubefugu_operators.trainingrun.reconcile import Settings, reconcile
from support.manifests import training_run, worker_pool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(PodDefaults(image="trainer:dev", volumes=({"name": "models", "emptyDir": {}},)))
CONTENT = b"a trained head"
SHA_OF_CONTENT = hashlib.sha256(CONTENT).hexdigest()


def run(**spec: Any) -> Body:
    body = training_run()
    body["metadata"] |= {"namespace": "ns", "uid": "uid-r", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    body["spec"] |= spec
    return body


def pool() -> Body:
    body = worker_pool()
    body["metadata"] |= {"namespace": "ns", "uid": "uid-w"}
    return body


def report(**more: Any) -> str:
    told = {"reason": "Trained", "score": 0.7, "baseline": 0.6, "gain": 0.1, "gain_low": 0.04, "gain_high": 0.15, "items": 90}
    return json.dumps({**told, "artifact_uri": "file:///x", "artifact_sha256": SHA_OF_CONTENT, **more})


def policy() -> Body:
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "RoutingPolicy",
        "metadata": {"name": "main", "namespace": "ns", "uid": "uid-p"},
    }


class Story:
    """A run that is reconciled step by step; what a plan wants is stored."""

    def __init__(self, body: Body | None = None, **observed: Any) -> None:
        self.observed = RunObserved(**{"body": body or run(), "now": NOW, "pool": pool(), **observed})

    def step(self, seconds: float = 0, **changes: Any) -> Plan:
        now = self.observed.now + timedelta(seconds=seconds)
        self.observed = replace(self.observed, now=now, **changes)
        plan = reconcile(self.observed, {}, SETTINGS)
        children = dict(self.observed.children)
        for deletion in plan.delete:
            children.pop(deletion.ref, None)
        for body in plan.create:
            ref = ref_of(body)
            if ref.kind == "RoutingPolicy":
                self.observed = replace(self.observed, policy=policy())
            elif ref not in children:
                meta = {**body["metadata"], "uid": f"uid-{ref.name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
                children[ref] = {**body, "metadata": meta}
        for body in plan.apply:
            current = children[ref_of(body)]
            children[ref_of(body)] = {**current, "spec": {**current["spec"], **body["spec"]}}
        status = plan.status or self.observed.body.get("status")
        self.observed = replace(self.observed, body={**self.observed.body, "status": status}, children=children)
        return plan

    def job(self, **status: Any) -> None:
        """What the Job controller writes."""
        ref = Ref("Job", "ns", "run-driver")
        children = dict(self.observed.children)
        children[ref] = {**children[ref], "status": status}
        self.observed = replace(self.observed, children=children)

    def conditions(self) -> dict[str, tuple[str, str]]:
        return {c["type"]: (c["status"], c["reason"]) for c in self.observed.body["status"]["conditions"]}

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.observed.body["status"])


def pod(phase: str = "Running", *, uid: str = "p1", exit_code: int | None = None, message: str = "", **status: Any) -> Body:
    told: dict[str, Any] = {"phase": phase, "podIP": "10.0.0.7", **status}
    if exit_code is not None:
        ended = {"exitCode": exit_code, "message": message}
        told["containerStatuses"] = [{"name": "driver", "image": "i", "state": {"terminated": ended}}]
    return {"metadata": {"name": f"run-driver-{uid}", "namespace": "ns", "uid": uid}, "status": told}


def started(body: Body | None = None) -> Story:
    story = Story(body)
    story.step()
    story.step(1, pods=(pod(),), view=RunView(True, "running", 1, 3, best_fitness=0.5, eta_seconds=31))
    return story


def collected(story: Story, *, sha256: str = SHA_OF_CONTENT, told: str | None = None) -> Plan:
    done = RunView(True, "succeeded", 3, 3)
    return story.step(1, view=done, collected=Collected(CONTENT, sha256, told or report()))


def finish(story: Story) -> None:
    """The artifact was stored, the driver released, the Job is complete."""
    release = story.step(1, collected=None)
    assert release.release == ("10.0.0.7:50054",)
    story.job(conditions=[{"type": "Complete", "status": "True"}])
    story.step(1, pods=(pod("Succeeded", exit_code=0, message=report()),), view=None)
