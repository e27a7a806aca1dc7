"""The pool model: what a WorkerPool manifest may say and how a wrong one is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubefugu_core.errors import DataError
from kubefugu_core.pool import Prices, Role, load_pool, parse_pool


def manifest(**spec: Any) -> dict[str, Any]:
    worker = {"name": "a", "model": "m", "url": "http://127.0.0.1:1/v1"}
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "p"},
        "spec": {"workers": [worker], **spec},
    }


def worker(**fields: Any) -> dict[str, Any]:
    return manifest(workers=[{"name": "a", "model": "m", "url": "http://h/v1", **fields}])


def test_defaults() -> None:
    pool = parse_pool(manifest(), source="x")
    only = pool.spec.workers[0]
    assert only.roles == (Role.SOLVER, Role.THINKER, Role.VERIFIER)
    assert (only.specialist, only.fallback, only.context_tokens) == (False, False, 8192)
    assert pool.spec.routing.max_turns == 5


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        ({}, "apiVersion", "required"),
        ({**manifest(), "kind": "Pool"}, "kind", "WorkerPool"),
        (manifest(workers=[]), "spec.workers", "at least 1"),
        (manifest(wokers=[]), "spec.wokers", "not permitted"),
        (worker(url="ftp://x"), "spec.workers.0.url", "match"),
        (worker(name="Not A Name"), "spec.workers.0.name", "match"),
        (worker(service={"name": "s", "port": 80}), "spec.workers.0", "exactly one of url, service, managed or process"),
        (worker(auth={"env": "A", "file": "b"}), "spec.workers.0.auth", "exactly one"),
        (worker(prices={"inputPerMillionTokens": "1,5"}), "spec.workers.0.prices.inputPerMillionTokens", "match"),
        (worker(prices={"inputPerMillionTokens": 1.5}), "spec.workers.0.prices.inputPerMillionTokens", "string"),
        (worker(roles=["judge"]), "spec.workers.0.roles.0", "solver"),
        (worker(contextTokens=1), "spec.workers.0.contextTokens", "256"),
        (manifest(workers=[{"name": "a", "model": "m", "url": "http://h"}] * 2), "spec", "unique: a"),
    ],
)
def test_a_wrong_manifest_names_its_field(document: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_pool(document, source="pool.yaml")
    assert caught.value.field == field
    assert text in caught.value.message
    assert caught.value.message.startswith("pool.yaml: ")


def test_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(DataError, match="pool.yaml"):
        load_pool(path)
    with pytest.raises(DataError, match="absent.yaml"):
        load_pool(tmp_path / "absent.yaml")


def test_a_pool_file_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    pool = parse_pool(worker(prices={"inputPerMillionTokens": "0.15"}), source="x")
    path.write_text(yaml.safe_dump(pool.model_dump(by_alias=True, mode="json", exclude_none=True)), encoding="utf-8")
    assert load_pool(path) == pool


def test_prices_are_exact_decimals() -> None:
    prices = Prices(input_per_million_tokens="0.15", output_per_million_tokens="0.6")
    assert prices.cost_usd(1_000_000, 500_000) == 0.45
    assert prices.cost_usd(0, 0) == 0.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "fugu"}, "names of the coordinated models"),
        ({"url": "http://user:secret@host/v1"}, "must not carry a user or password"),
        ({"roles": ["verifier"]}, "no worker may take the role solver"),
    ],
)
def test_pool_refuses_what_could_never_serve(change: dict[str, Any], sentence: str) -> None:
    worker = {"name": "a", "model": "m", "url": "http://host/path@home/v1", **change}
    document = {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": "p"},
        "spec": {"workers": [worker]},
    }
    with pytest.raises(DataError, match=sentence):
        parse_pool(document, source="test")


def test_the_planner_is_a_worker_of_the_pool() -> None:
    spec = {"workers": [{"name": "a", "model": "m", "url": "http://host/v1"}], "routing": {"planner": "b"}}
    document = {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "p"}, "spec": spec}
    with pytest.raises(DataError, match=r"routing\.planner must be the name of a worker"):
        parse_pool(document, source="test")
