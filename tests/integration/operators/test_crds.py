"""The CRDs in a real API server: what they refuse, with which sentence, what they default, and how big they are."""

# ruff: noqa: E501 (tables)

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from support.manifests import REMOVED, SHA, edited, routing_policy, training_run, worker_pool
from support.paths import REPO

from kubefugu_operators.cluster.client import HttpApi
from kubefugu_operators.cluster.objects import ApiError, Body, Ref
from kubefugu_operators.kinds import KINDS

CRDS = sorted((REPO / "charts" / "kubefugu-crds" / "templates").glob("*.yaml"))
_WORKER = {"name": "b", "model": "m", "url": "http://host/v1"}
_MANAGED = {"name": "b", "model": "m", "managed": {"image": "i"}}
_GRPO = {"grpo": {}}
_ES = {"sepCmaEs": {}}
_CANARY = "spec.rollout.steps"

# (manifest, path, value, part of the API server's sentence)
INVALID: list[tuple[Body, str, Any, str]] = [
    # --- WorkerPool
    (worker_pool(), "spec", REMOVED, "spec: Required value"),
    (worker_pool(), "metadata.name", "9pool", "the name must begin with a letter"),
    (worker_pool(), "metadata.name", "p" * 41, "at most 40 characters"),
    (worker_pool(), "metadata.name", "a.b", "digits and dashes only"),
    (worker_pool(), "spec.workers", [], "should have at least 1 items"),
    (worker_pool(), "spec.workers", REMOVED, "spec.workers: Required value"),
    (worker_pool(), "spec.workers", [_WORKER, _WORKER], "Duplicate value"),
    (worker_pool(), "spec.workers.0.name", "Big", "use lower-case letters, digits, dashes and dots"),
    (worker_pool(), "spec.workers.0.name", "-a", "begin and end with a letter or digit"),
    (worker_pool(), "spec.workers.0.name", "fugu", "give the worker another name"),
    (worker_pool(), "spec.workers.0.name", "a" * 64, "may not be more than 63"),
    (worker_pool(), "spec.workers.0.model", REMOVED, "spec.workers[0].model: Required value"),
    (worker_pool(), "spec.workers.0.model", "", "should be at least 1 chars long"),
    (worker_pool(), "spec.workers.0.url", REMOVED, "exactly one of url, service or managed"),
    (worker_pool(), "spec.workers.0.service", {"name": "s", "port": 80}, "exactly one of url, service or managed"),
    (worker_pool(), "spec.workers.0.managed", {"image": "i"}, "exactly one of url, service or managed"),
    (worker_pool(), "spec.workers.0.url", "host:8000/v1", "begins with http:// or https://"),
    (worker_pool(), "spec.workers.0.url", "https://user:secret@host/v1", "must not carry a user or password"),
    (worker_pool(), "spec.workers.0.auth", {}, "auth needs secretKeyRef"),
    (worker_pool(), "spec.workers.0.auth", {"secretKeyRef": {"name": "s"}}, "auth.secretKeyRef.key: Required value"),
    (worker_pool(), "spec.workers.0.capabilities", ["telepathy"], 'supported values: "tools"'),
    (worker_pool(), "spec.workers.0.capabilities", ["tools", "tools"], "Duplicate value"),
    (worker_pool(), "spec.workers.0.contextTokens", 10, "greater than or equal to 256"),
    (worker_pool(), "spec.workers.0.contextTokens", "8k", "must be of type integer"),
    (worker_pool(), "spec.workers.0.prices.inputPerMillionTokens", "$1", "write a decimal number as a string"),
    (worker_pool(), "spec.workers.0.prices.inputPerMillionTokens", 1.25, "must be of type string"),
    (worker_pool(), "spec.workers.0.prices.outputPerMillionTokens", "-1", "without sign"),
    (worker_pool(), "spec.workers.0.limits.maxConcurrency", -1, "greater than or equal to 0"),
    (worker_pool(), "spec.workers.0.timeouts.totalSeconds", 0, "greater than or equal to 1"),
    (worker_pool(), "spec.workers.0.roles", [], "should have at least 1 items"),
    (worker_pool(), "spec.workers.0.roles", ["verifier"], "no worker may take the role solver"),
    (worker_pool(), "spec.workers.0.roles", ["boss"], "supported values"),
    (worker_pool(), "spec.workers.0", {"name": "a", "model": "m", "service": {"name": "s"}}, "service.port: Required value"),
    (worker_pool(), "spec.workers.0", {"name": "a", "model": "m", "service": {"name": "s", "port": 70000}}, "less than or equal to 65535"),
    (worker_pool(), "spec.workers.0", {"name": "a", "model": "m", "service": {"name": "s", "port": 80, "path": "v1"}}, "begins with /"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.memory", "4 GB"), "memory quantity such as 512Mi"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.cpu", "half"), "CPU quantity such as 500m"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.imagePullPolicy", "Sometimes"), "supported values"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.runAsUser", 0), "greater than or equal to 1"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.env", [{"name": "9X", "value": "1"}]), "do not begin with a digit"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.env", [{"name": "X", "value": "1", "secretKeyRef": {"name": "s", "key": "k"}}]), "value or secretKeyRef, not both"),
    (worker_pool(), "spec.workers.0", edited(_MANAGED, "managed.gpus", 65), "less than or equal to 64"),
    (worker_pool(), "spec.routing.planner", "nobody", "must be the name of a worker of this pool"),
    (worker_pool(), "spec.routing.mode", "fast", "supported values"),
    (worker_pool(), "spec.routing.maxTurns", 21, "less than or equal to 20"),
    (worker_pool(), "spec.routing.maxCostUsd", "1e3", "without sign, exponent or currency"),
    (worker_pool(), "spec.policyRef", {}, "policyRef.name: Required value"),
    (worker_pool(), "spec.wokers", [], 'unknown field "spec.wokers"'),
    # --- TrainingRun
    (training_run(), "spec.poolRef", REMOVED, "spec.poolRef: Required value"),
    (training_run(), "spec.algorithm", {}, "exactly one of supervised, sepCmaEs or grpo"),
    (training_run(), "spec.algorithm.grpo", {}, "exactly one of supervised, sepCmaEs or grpo"),
    (training_run(), "spec.algorithm.supervised.temperature", "hot", "write auto, or a decimal number"),
    (training_run(), "spec.algorithm.supervised.maxEpochs", 0, "greater than or equal to 1"),
    (training_run(), "spec.algorithm", {"sepCmaEs": {"initialStepSize": 0.03}}, "must be of type string"),
    (training_run(), "spec.algorithm", {"sepCmaEs": {"fitness": "Vibes"}}, 'supported values: "Table", "Episodes"'),
    (training_run(), "spec.algorithm", {"grpo": {"groupSize": 1}}, "greater than or equal to 2"),
    (training_run(), "spec.algorithm", {"grpo": {"adapter": "Prefix"}}, 'supported values: "Full", "LoRA"'),
    (training_run(), "spec.algorithm", {"grpo": {"rank": 0}}, "greater than or equal to 1"),
    (training_run(), "spec.algorithm", {"grpo": {"temperature": 1}}, "must be of type string"),
    (training_run(), "spec.algorithm", {"grpo": {"warmLearningRate": "1e-3"}}, "without sign, exponent or currency"),
    (training_run(), "spec.algorithm", {"grpo": {"leastWorkers": 4, "mostWorkers": 2}}, "mostWorkers must not be smaller than leastWorkers"),
    (training_run(), "spec.algorithm", {"grpo": {"dtype": "BFloat16"}}, "full training keeps its weights in Float32"),
    (edited(training_run(), "spec.algorithm", _GRPO), "spec.backbone.bundleUrl", "https://host/factors", "grpo trains no offsets"),
    (edited(training_run(), "spec.algorithm", _GRPO), "spec.inputFormat", "chat", "a Conductor has a prompt of its own"),
    (training_run(), "spec.backbone.ref", "", "should be at least 1 chars long"),
    (training_run(), "spec.backbone.ref", "a b", "no spaces are allowed"),
    (training_run(), "spec.data", {}, "exactly one of configMap, claim or url"),
    (training_run(), "spec.data.claim", {"claimName": "c", "path": "t.parquet"}, "exactly one of configMap, claim or url"),
    (training_run(), "spec.data.sha256", REMOVED, "data.sha256 is required with url and claim"),
    (training_run(), "spec.data.sha256", SHA.upper(), "64 lower-case hexadecimal digits"),
    (training_run(), "spec.data.url", "ftp://host/table", "one of the schemes https, http, s3, gs or file"),
    (training_run(), "spec.data", {"claim": {"claimName": "c", "path": "/t"}, "sha256": SHA}, "path relative to the volume's root"),
    (training_run(), "spec.data", {"configMap": {"name": "c", "key": "a/b"}}, "a key of a ConfigMap"),
    (training_run(), "spec.storage", {"claimName": "c", "size": "1Gi"}, "storage takes one of claimName"),
    (training_run(), "spec.storage", {"storageClassName": "fast"}, "give its size too"),
    (training_run(), "spec.storage.size", "1 GB", "Kubernetes quantity"),
    (training_run(), "spec.evaluators.replicas", 2, "evaluators belong to sepCmaEs and grpo"),
    (training_run(), "spec.budget.maxCostUsd", "ten", "write a decimal number as a string"),
    (training_run(), "spec.publish.gate.confidence", "1.5", "from 0 to below 1"),
    (training_run(), "spec.publish.gate.minimumGain", "one", "a minus sign is allowed"),
    (training_run(), "spec.publish", {"gate": {}}, "publish.policy: Required value"),
    (training_run(), "spec.backoffLimit", 101, "less than or equal to 100"),
    (training_run(), "spec.ttlSecondsAfterFinished", -1, "greater than or equal to 0"),
    (edited(training_run(), "spec.activeDeadlineSeconds", 60), "spec.startDeadlineSeconds", 90, "must not be longer than activeDeadlineSeconds"),
    (training_run(), "spec.managedBy", "someone", "supported values"),
    (training_run(), "spec.inputFormat", "xml", "supported values"),
    (training_run(), "spec.seed", -1, "greater than or equal to 0"),
    # --- RoutingPolicy
    (routing_policy(), "spec.rollout.strategy", "YOLO", 'supported values: "Canary", "Immediate", "Manual"'),
    (routing_policy(), _CANARY, [{"percent": 50}, {"percent": 10}], "must rise from step to step"),
    (routing_policy(), _CANARY, [{"percent": 10}, {"percent": 10}], "must rise from step to step"),
    (routing_policy(), _CANARY, [], "a Canary rollout needs steps"),
    (routing_policy(), _CANARY, [{"percent": 0}], "greater than or equal to 1"),
    (routing_policy(), _CANARY, [{"percent": 101}], "less than or equal to 100"),
    (routing_policy(), _CANARY, [{"pauseSeconds": 1}], "percent: Required value"),
    (routing_policy(), _CANARY, [{"percent": 1, "pauseSeconds": -1}], "greater than or equal to 0"),
    (routing_policy(), "spec.pin", "V1", "use lower-case letters"),
    (routing_policy(), "spec.versionHistoryLimit", 0, "greater than or equal to 1"),
    (routing_policy(), "spec.rollout.abort.maxFailurePercent", 101, "less than or equal to 100"),
    (routing_policy(), "metadata.name", "main.policy", "digits and dashes only"),
]  # fmt: skip

# (manifest, path, value, part of the sentence): refused as an update, allowed at creation
FIXED: list[tuple[Body, str, Any, str]] = [
    (training_run(), "spec.poolRef.name", "other", "the pool of a run is fixed"),
    (training_run(), "spec.algorithm", _GRPO, "the algorithm is fixed"),
    (training_run(), "spec.algorithm.supervised.maxEpochs", 7, "spec.algorithm.supervised.maxEpochs is fixed"),
    (edited(training_run(), "spec.algorithm", _GRPO), "spec.algorithm.grpo.rank", 4, "spec.algorithm.grpo.rank is fixed"),
    (training_run(), "spec.backbone.ref", "other", "spec.backbone.ref is fixed"),
    (training_run(), "spec.data.sha256", "cd" * 32, "spec.data.sha256 is fixed"),
    (training_run(), "spec.data", {"configMap": {"name": "c", "key": "k"}}, "the data of a run is fixed"),
    (training_run(), "spec.seed", 43, "spec.seed is fixed"),
    (training_run(), "spec.budget.maxCostUsd", "5", "spec.budget.maxCostUsd is fixed"),
    (training_run(), "spec.storage.size", "1Gi", "spec.storage.size is fixed"),
    (training_run(), "spec.publish", REMOVED, "can't be added or removed later"),
    (training_run(), "spec.publish.policy", "other", "spec.publish.policy is fixed"),
]
CHANGEABLE: list[tuple[Body, str, Any]] = [
    (training_run(), "spec.suspend", True),
    (training_run(), "spec.activeDeadlineSeconds", 10),
    (training_run(), "spec.publish.gate.minimumGain", "-1"),
    (training_run(), "spec.driver.resources.memory", "2Gi"),
    (edited(training_run(), "spec.algorithm", _ES), "spec.evaluators.replicas", 4),
    (edited(training_run(), "spec.algorithm", _GRPO), "spec.evaluators.replicas", 4),
    (routing_policy(), "spec.pin", "v1"),
    (worker_pool(), "spec.workers.0.url", "http://other/v1"),
]


def _ids(table: list[Any]) -> list[str]:
    return [f"{row[0]['kind']}-{row[1]}-{number}" for number, row in enumerate(table)]


async def _create(api: HttpApi, namespace: str, manifest: Body) -> Body:
    body = copy.deepcopy(manifest)
    body["metadata"]["namespace"] = namespace
    plural = next(kind.plural for kind in KINDS if kind.kind == body["kind"])
    path = f"/apis/kubefugu.dev/v1alpha1/namespaces/{namespace}/{plural}?fieldValidation=Strict"
    created: Body = await api.request("POST", path, body=body)
    return created


@pytest.mark.parametrize(("manifest", "path", "value", "sentence"), INVALID, ids=_ids(INVALID))
async def test_invalid_manifest_is_refused(api: HttpApi, manifest: Body, path: str, value: Any, sentence: str) -> None:
    with pytest.raises(ApiError) as refused:
        await _create(api, "default", edited(manifest, path, value))
    assert refused.value.status in (400, 422)
    assert sentence in refused.value.message


def test_the_models_refuse_the_same() -> None:
    """What the API server refuses in spec, the operator's models refuse too (metadata is the API server's alone)."""
    models = {kind.kind: kind.spec for kind in KINDS}
    for manifest, path, value, _ in INVALID:
        if path.startswith("metadata") or path == "spec":
            continue
        document = edited(manifest, path, value)
        if "capabilities" in path and value == ["tools", "tools"]:
            continue  # a set to the API server, harmless to us
        with pytest.raises(ValidationError):
            models[manifest["kind"]].model_validate(document["spec"])
            pytest.fail(f"{manifest['kind']} {path}={value!r} was accepted")


@pytest.mark.parametrize(("manifest", "path", "value", "sentence"), FIXED, ids=_ids(FIXED))
async def test_what_is_fixed_at_creation(
    api: HttpApi, namespace: str, manifest: Body, path: str, value: Any, sentence: str
) -> None:
    created = await _create(api, namespace, manifest)
    changed = edited(created, path, value)
    with pytest.raises(ApiError) as refused:
        await _replace(api, changed)
    assert sentence in refused.value.message


@pytest.mark.parametrize(("manifest", "path", "value"), CHANGEABLE, ids=_ids(CHANGEABLE))
async def test_what_may_change(api: HttpApi, namespace: str, manifest: Body, path: str, value: Any) -> None:
    created = await _create(api, namespace, manifest)
    await _replace(api, edited(created, path, value))


async def _replace(api: HttpApi, body: Body) -> None:
    plural = next(kind.plural for kind in KINDS if kind.kind == body["kind"])
    meta = body["metadata"]
    await api.request("PUT", f"/apis/kubefugu.dev/v1alpha1/namespaces/{meta['namespace']}/{plural}/{meta['name']}", body=body)


async def test_samples_are_accepted(api: HttpApi, namespace: str) -> None:
    files = sorted((REPO / "config" / "samples").glob("*.yaml"))
    assert {path.stem for path in files} == {kind.singular for kind in KINDS}
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            created = await _create(api, namespace, document)
            # What the server has defaulted is what the models default.
            kind = next(kind for kind in KINDS if kind.kind == document["kind"])
            assert kind.spec.model_validate(created["spec"]) == kind.spec.model_validate(document["spec"])


async def test_status_belongs_to_its_subresource(api: HttpApi, namespace: str) -> None:
    created = await _create(api, namespace, {**worker_pool(), "status": {"readyWorkers": "9/9"}})
    assert "readyWorkers" not in created.get("status", {})
    assert await api.get(Ref("WorkerPool", namespace, "pool")) is not None


def test_crd_files_are_small_and_documented() -> None:
    assert len(CRDS) == 3
    for path in CRDS:
        assert path.stat().st_size < 150_000
        body = yaml.safe_load(path.read_text())
        assert body["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        names = body["spec"]["names"]
        assert names["categories"] == ["kubefugu"]
        assert len(names["shortNames"]) == 1
        undocumented = list(_undocumented(body["spec"]["versions"][0]["schema"]["openAPIV3Schema"], path.stem))
        assert not undocumented


def _undocumented(schema: Body, path: str) -> Any:
    for name, field in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        top = name in ("apiVersion", "kind", "metadata") and path.count(".") == 0
        if not top and not field.get("description"):
            yield where
        assert "pattern" not in field, f"{where}: a pattern without a sentence for people"
        assert field.get("type") != "number", where
        yield from _undocumented(field.get("items", field), where)
