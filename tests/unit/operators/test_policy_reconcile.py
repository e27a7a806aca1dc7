"""Rollouts, case by case: which version decides, when a canary moves, when it is given up, what the status says."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from support.manifests import routing_policy

from kubefugu.router.v1 import router_pb2
from kubefugu_operators.cluster.objects import Body, Ref, ref_of
from kubefugu_operators.plan import Plan
from kubefugu_operators.routingpolicy import versions as versioning
from kubefugu_operators.routingpolicy.observed import Counts, LoadedPolicy, PolicyObserved, RouterView
from kubefugu_operators.routingpolicy.reconcile import Settings, reconcile

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = Settings("/policies")
STEPS = {"steps": [{"percent": 10, "pauseSeconds": 60}, {"percent": 50, "pauseSeconds": 60}], "abort": {"minimumRequests": 20}}


def policy(**spec: Any) -> Body:
    body = routing_policy()
    body["metadata"] = {"name": "main", "namespace": "ns", "uid": "uid-p", "generation": 1}
    body["spec"] = {"rollout": STEPS, **spec}
    return body


def version(owner: Body, name: str, minute: int, *, rejected: str = "", corrupt: bool = False) -> Body:
    content = f"head {name}".encode()
    sha256 = hashlib.sha256(b"other" if corrupt else content).hexdigest()
    body = versioning.config_map(owner, version=name, sha256=sha256, artifact=base64.b64encode(content).decode(), source="me")
    body["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": f"2026-01-01T10:{minute:02d}:00Z"}
    if rejected:
        body["metadata"]["annotations"][versioning.REJECTED] = rejected
    return body


class Line:
    """A policy that is reconciled again and again; routers do what they are told unless a test says otherwise."""

    def __init__(self, body: Body, *versions: Body, routers: int = 2) -> None:
        self.body = body
        self.children: dict[Ref, Body] = {ref_of(item): item for item in versions}
        self.now = NOW
        self.routers = [f"router-{number}" for number in range(routers)]
        self.refused: set[str] = set()
        self.behind: set[str] = set()
        self.counts: dict[str, dict[str, Counts]] = {}
        self._views: dict[str, RouterView] = {}

    def observed(self) -> PolicyObserved:
        pods = tuple({"metadata": {"name": name, "namespace": "ns"}, "status": {"phase": "Running"}} for name in self.routers)
        return PolicyObserved(
            body=self.body,
            now=self.now,
            children=dict(self.children),
            router_pods=pods,
            routers={name: self._views.get(name, RouterView(True)) for name in self.routers},
            counters=self.counts,
        )

    def step(self, seconds: float = 0) -> Plan:
        """Time passes, one pass, its objects are stored, routers follow."""
        self.now += timedelta(seconds=seconds)
        plan = reconcile(self.observed(), {}, SETTINGS)
        for mark in plan.mark:
            self.children[mark.ref]["metadata"]["annotations"][mark.key] = mark.value
        for deletion in plan.delete:
            self.children.pop(deletion.ref)
        for body in plan.apply:
            self.children[ref_of(body)] = {**body, "metadata": {**body["metadata"], "uid": f"uid-{body['metadata']['name']}"}}
        assert plan.status is not None
        self.body = {**self.body, "status": plan.status}
        self._routers_follow()
        return plan

    def _routers_follow(self) -> None:
        document = self.set
        if not document:
            return
        for name in self.routers:
            named = [document.active, *document.shadow, *([document.canary.version] if document.HasField("canary") else [])]
            if name in self.behind:
                continue
            bad = [item for item in named if item in self.refused]
            before = self._views.get(name, RouterView(True))
            if bad:
                told = {item: LoadedPolicy("refused", "ARTIFACT_REFUSED", "other backbone") for item in bad}
                self._views[name] = replace(before, policies={**before.policies, **told})
                continue
            states = dict.fromkeys(document.shadow, "shadow") | {document.active: "active"}
            if document.HasField("canary"):
                states[document.canary.version] = "canary"
            self._views[name] = RouterView(
                True, document.generation, {item: LoadedPolicy(state) for item, state in states.items()}
            )

    @property
    def set(self) -> router_pb2.PolicySet | None:
        """The declared set, as a router parses it."""
        stored = self.children.get(Ref("ConfigMap", "ns", "main-policyset"))
        return Parse(stored["data"]["policy-set.json"], router_pb2.PolicySet()) if stored else None

    @property
    def told(self) -> tuple[str, str, float]:
        """Active version, candidate and its share."""
        document = self.set
        assert document is not None
        if document.HasField("canary"):
            return document.active, document.canary.version, document.canary.percent
        return document.active, document.shadow[0] if document.shadow else "", 0

    def conditions(self) -> dict[str, tuple[str, str]]:
        return {entry["type"]: (entry["status"], entry["reason"]) for entry in self.body["status"]["conditions"]}

    def count(self, name: str, requests: int, failures: int = 0) -> None:
        self.counts.setdefault("executor-0", {})[name] = Counts(requests, failures)


def test_nothing_published() -> None:
    line = Line(policy())
    plan = line.step()
    assert plan.apply == ()
    assert line.conditions()["Ready"] == ("False", "NoVersion")


def test_first_version_becomes_active_at_once() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1))
    line.step()
    assert line.told == ("v1", "", 0)
    line.step(1)
    assert line.conditions()["Ready"] == ("True", "Serving")
    assert line.body["status"]["routers"] == "2/2"
    stored = line.children[Ref("ConfigMap", "ns", "main-policyset")]
    assert base64.b64decode(stored["binaryData"]["v1.safetensors"]) == b"head v1"
    source = line.set.sources[0] if line.set else None
    assert source is not None
    assert source.uri == "file:///policies/v1.safetensors"


def with_candidate(**spec: Any) -> Line:
    body = policy(**spec)
    line = Line(body, version(body, "v1", 1))
    line.step()
    line.step(1)
    line.children |= {ref_of(item): item for item in [version(body, "v2", 2)]}
    return line


def test_canary_goes_step_by_step_and_is_promoted() -> None:
    line = with_candidate()
    line.step()
    assert line.told == ("v1", "v2", 0)
    generations = [line.set.generation if line.set else 0]
    line.step(1)
    assert line.told == ("v1", "v2", 10)
    line.step(30)
    assert line.told == ("v1", "v2", 10)
    line.step(31)
    assert line.conditions()["Progressing"] == ("True", "WaitingForRequests")
    line.count("v2", 20)
    line.step(1)
    assert line.told == ("v1", "v2", 50)
    line.step(61)
    assert line.told == ("v2", "", 0)
    generations.append(line.set.generation if line.set else 0)
    line.step(1)
    assert line.body["status"]["previous"] == "v1"
    assert line.conditions()["Progressing"] == ("False", "Idle")
    assert {entry["name"]: entry["state"] for entry in line.body["status"]["versions"]} == {"v2": "Active", "v1": "Available"}
    assert generations[1] == generations[0] + 3
    assert Ref("ConfigMap", "ns", "main-candidate") not in line.children


def test_candidate_is_loaded_by_every_router_first() -> None:
    line = with_candidate()
    line.behind.add("router-1")
    line.step()
    for _ in range(5):
        line.step(100)
    assert line.told == ("v1", "v2", 0)
    assert line.conditions()["Progressing"] == ("True", "LoadingCandidate")
    line.behind.clear()
    line.step(1)
    line.step(1)
    assert line.told == ("v1", "v2", 10)


def test_shadow_lasts_as_long_as_asked() -> None:
    line = with_candidate(rollout={**STEPS, "shadowSeconds": 120})
    line.step()
    line.step(60)
    assert line.conditions()["Progressing"] == ("True", "Shadowing")
    line.step(61)
    assert line.told == ("v1", "v2", 10)


def test_failing_candidate_is_rejected_for_good() -> None:
    line = with_candidate()
    line.step()
    line.step(1)
    line.count("v1", 90, 1)
    line.count("v2", 10, 4)
    plan = line.step(5)
    assert [mark.value for mark in plan.mark] == ["4 of 10 requests failed, 1 of 90 of v1; 5 points more are allowed"]
    assert line.told == ("v1", "", 0)
    assert line.conditions()["Progressing"] == ("False", "CandidateRejected")
    line.step(1000)
    assert line.told == ("v1", "", 0)
    states = {entry["name"]: entry["state"] for entry in line.body["status"]["versions"]}
    assert states == {"v2": "Rejected", "v1": "Active"}
    assert line.conditions()["Ready"] == ("True", "Serving")


def test_failures_that_the_active_version_has_too_are_not_the_candidates() -> None:
    line = with_candidate()
    line.step()
    line.step(1)
    line.count("v1", 90, 40)
    line.count("v2", 20, 9)
    line.step(61)
    assert line.told == ("v1", "v2", 50)


def test_counters_of_before_the_rollout_do_not_count() -> None:
    line = with_candidate()
    line.count("v1", 1000, 0)
    line.count("v2", 500, 400)
    line.step()
    line.step(1)
    line.step(61)
    assert line.told == ("v1", "v2", 10)
    line.count("v2", 520, 400)
    line.step(1)
    assert line.told == ("v1", "v2", 50)


def test_executor_that_began_anew_counts_from_zero() -> None:
    line = with_candidate()
    line.count("v2", 500, 0)
    line.step()
    line.step(1)
    line.count("v2", 19)
    line.step(61)
    assert line.told == ("v1", "v2", 10)
    line.count("v2", 20)
    line.step(1)
    assert line.told == ("v1", "v2", 50)


def test_refused_candidate_is_rejected_with_the_routers_reason() -> None:
    line = with_candidate()
    line.refused.add("v2")
    line.step()
    line.step(5)
    assert line.told == ("v1", "v2", 0), "a router may be early: its kubelet has not brought the file yet"
    line.step(40)
    assert line.told == ("v1", "", 0)
    entry = next(item for item in line.body["status"]["versions"] if item["name"] == "v2")
    assert entry["state"] == "Rejected"
    assert "other backbone" in entry["message"]


def test_pin_is_a_rollback_and_holds() -> None:
    line = with_candidate(rollout={**STEPS, "strategy": "Immediate"})
    line.step()
    line.step(1)
    assert line.told == ("v2", "", 0)
    line.body = {**line.body, "spec": {**line.body["spec"], "pin": "v1"}}
    line.step(1)
    assert line.told == ("v1", "", 0)
    line.step(1000)
    assert line.conditions()["Progressing"] == ("True", "Pinned")
    assert line.body["status"]["previous"] == "v2"
    line.body = {**line.body, "spec": {**line.body["spec"], "pin": "v9"}}
    line.step(1)
    assert line.told == ("v1", "", 0)
    assert line.conditions()["Declared"] == ("False", "PinNotFound")


def test_version_that_no_router_loads_is_left_when_its_pin_goes() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1), version(body, "v2", 2))
    line.refused = {"v2"}
    line.body["spec"]["pin"] = "v2"
    for _ in range(3):
        line.step(60)
    assert line.told[0] == "v2"
    assert line.conditions()["Ready"] == ("False", "RouterRefused"), "a pin is obeyed, and its trouble told"
    line.children |= {ref_of(newer): newer for newer in (version(body, "v3", 3),)}
    line.body["spec"]["pin"] = ""
    for _ in range(3):
        line.step(10)
    assert line.told == ("v3", "", 0), "nothing serves that a rollout would have to protect"
    assert line.conditions()["Ready"] == ("True", "Serving")
    states = {entry["name"]: entry["state"] for entry in line.body["status"]["versions"]}
    assert states == {"v3": "Active", "v2": "Rejected", "v1": "Available"}


def test_what_served_before_takes_over_from_a_pin_that_no_router_loads() -> None:
    line = with_candidate()
    line.children |= {ref_of(newer): newer for newer in (version(line.body, "v3", 3),)}
    line.refused = {"v3"}
    line.body["spec"]["pin"] = "v3"
    for _ in range(3):
        line.step(60)
    assert line.told[0] == "v3"
    line.body["spec"]["pin"] = ""
    line.step(10)
    line.step(10)
    assert line.told == ("v1", "", 0), "v2 was never tried"
    line.step(10)
    assert line.told == ("v1", "v2", 0), "it begins with a rollout"


def test_rejected_version_is_left_when_its_pin_goes() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1), version(body, "v2", 2, rejected="too many failures"))
    line.body["spec"]["pin"] = "v2"
    line.step()
    line.step(5)
    assert line.told == ("v2", "", 0)
    line.body["spec"]["pin"] = ""
    line.step(5)
    assert line.told == ("v1", "", 0)


def test_pin_ends_a_rollout() -> None:
    line = with_candidate()
    line.step()
    line.step(1)
    line.body = {**line.body, "spec": {**line.body["spec"], "pin": "v1"}}
    line.step(1)
    assert line.told == ("v1", "", 0)


@pytest.mark.parametrize(("spec", "reason"), [({"suspend": True}, "Suspended"), ({"rollout": {"strategy": "Manual"}}, "Idle")])
def test_nothing_moves(spec: dict[str, Any], reason: str) -> None:
    line = with_candidate(**spec)
    for _ in range(3):
        line.step(1000)
    assert line.told == ("v1", "", 0)
    assert line.conditions()["Progressing"] == ("False", reason)


def test_newer_version_replaces_the_candidate() -> None:
    line = with_candidate()
    line.step()
    line.step(1)
    extra = version(line.body, "v3", 3)
    line.children[ref_of(extra)] = extra
    line.step(1)
    assert line.told == ("v1", "v3", 0)


def test_corrupt_version_is_left_out() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1), version(body, "v2", 2, corrupt=True))
    line.step()
    assert line.told == ("v1", "", 0)
    assert line.conditions()["VersionsFound"] == ("False", "ArtifactCorrupt")


def test_lost_set_is_rebuilt_from_the_status_and_passes_what_routers_serve() -> None:
    line = with_candidate(suspend=True)
    line.step()
    before = line.set.generation if line.set else 0
    del line.children[Ref("ConfigMap", "ns", "main-policyset")]
    line.step(1)
    assert line.told == ("v1", "", 0)
    del line.children[Ref("ConfigMap", "ns", "main-policyset")]
    line.body = {key: value for key, value in line.body.items() if key != "status"}
    line.step(1)
    assert line.set is not None
    assert line.set.generation > before


def test_old_versions_are_removed_but_none_in_use() -> None:
    body = policy(versionHistoryLimit=2, rollout={"strategy": "Immediate"})
    line = Line(body, *[version(body, f"v{number}", number) for number in range(1, 8)])
    line.body["status"] = {"active": "v2", "previous": "v1", "generation": 4}
    for _ in range(4):
        line.step(1)
    names = sorted(ref.name for ref in line.children if ref.name.startswith("main-v"))
    assert names == ["main-v2", "main-v5", "main-v6", "main-v7"]


def test_routers_that_lag_are_told() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1))
    line.behind.add("router-0")
    line.step()
    line.step(1)
    assert line.conditions()["Converged"] == ("False", "Propagating")
    assert line.body["status"]["routers"] == "1/2"
    line.behind.clear()
    line._views["router-0"] = RouterView(False, message="10.0.0.1:50051: This call needs the admin token.")
    line.step(1)
    assert line.conditions()["Converged"] == ("False", "RouterUnreachable")


def test_no_routers() -> None:
    body = policy()
    line = Line(body, version(body, "v1", 1), routers=0)
    line.step()
    assert line.conditions()["Converged"] == ("False", "NoRouters")


def test_state_of_the_rollout_is_one_annotation() -> None:
    line = with_candidate()
    line.step()
    line.step(1)
    annotation = line.children[Ref("ConfigMap", "ns", "main-policyset")]["metadata"]["annotations"]["kubefugu.dev/rollout"]
    assert json.loads(annotation)["rollout"]["candidate"] == "v2"
    line.body = {key: value for key, value in line.body.items() if key != "status"}
    line.step(1)
    assert line.told == ("v1", "v2", 10)
