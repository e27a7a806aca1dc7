"""Addresses and keys of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.pools import pool_of

from kubefugu_coordination.workers import AiohttpTransport, KeySource, WorkerClient, WorkerSet, base_url
from kubefugu_core.errors import WorkerMisconfiguredError
from kubefugu_core.pool import WorkerSpec


def spec(**members: Any) -> WorkerSpec:
    where = {"url": "http://h/v1"} if not {"url", "service", "managed", "process"} & set(members) else {}
    return WorkerSpec.model_validate({"name": "w.one", "model": "m"} | where | members)


@pytest.mark.parametrize(
    ("members", "url"),
    [
        ({"url": "https://api.example.com/v1/"}, "https://api.example.com/v1"),
        ({"service": {"name": "vllm", "port": 8000}}, "http://vllm:8000/v1"),
        ({"service": {"name": "vllm", "port": 80, "path": "/openai/"}}, "http://vllm:80/openai"),
        ({"managed": {"image": "x"}}, "http://pool-w-one:8000/v1"),
        ({"managed": {"image": "x", "port": 9, "path": "/api"}}, "http://pool-w-one:9/api"),
    ],
)
def test_where_a_worker_is(members: dict[str, Any], url: str) -> None:
    assert base_url(spec(**members), pool="pool") == url


def test_long_names_of_managed_workers_stay_dns_labels_and_apart() -> None:
    pools = ["p" * 60 + end for end in ("a", "b")]
    hosts = [base_url(spec(managed={"image": "x"}), pool=pool).removeprefix("http://").split(":")[0] for pool in pools]
    assert all(len(host) <= 63 for host in hosts)
    assert hosts[0] != hosts[1]


def test_a_local_process_without_url_is_a_clear_error() -> None:
    with pytest.raises(WorkerMisconfiguredError, match="kubefugu up"):
        base_url(spec(process={"kind": "expert", "model": "algebra"}), pool="pool")


def test_keys_by_source(tmp_path: Path) -> None:
    (tmp_path / "w.one").write_text("  mounted \n")
    (tmp_path / "file").write_text("from-file\n")
    keys = KeySource(keys_dir=tmp_path, environ={"KEY": "from-env"})
    plain = KeySource(environ={"KEY": "from-env", "EMPTY": " "})
    assert keys.key(spec()) == "mounted"
    assert plain.key(spec()) is None
    assert plain.key(spec(auth={"env": "KEY"})) == "from-env"
    assert plain.key(spec(auth={"file": str(tmp_path / "file")})) == "from-file"


@pytest.mark.parametrize(
    "auth", [{"env": "EMPTY"}, {"env": "NONE"}, {"file": "/nonexistent"}, {"secretKeyRef": {"name": "s", "key": "k"}}]
)
def test_a_declared_key_that_is_missing_is_an_error(auth: dict[str, Any]) -> None:
    with pytest.raises(WorkerMisconfiguredError, match=r"w\.one has no API key"):
        KeySource(environ={"EMPTY": " "}).key(spec(auth=auth))


def test_a_rotated_key_is_read_again(tmp_path: Path) -> None:
    keys = KeySource(keys_dir=tmp_path)
    for value in ("one", "two", "six"):
        fresh = tmp_path / "fresh"
        fresh.write_text(value)
        fresh.replace(tmp_path / "w.one")
        assert keys.key(spec()) == value


def test_keys_are_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "w.one").write_text("hush")
    keys = KeySource(keys_dir=tmp_path)
    client = WorkerClient(spec(), pool="p", transport=AiohttpTransport(), keys=keys)
    assert keys.key(client.spec) == "hush"
    assert "hush" not in repr(keys) + repr(client) + repr(vars(client))


def test_unchanged_workers_keep_their_clients() -> None:
    a, b = {"name": "a", "model": "m", "url": "http://a/v1"}, {"name": "b", "model": "m", "url": "http://b/v1"}
    workers = WorkerSet(pool_of(a, b))
    before = workers.snapshot()
    workers.update(pool_of(b | {"model": "other"}, a))
    after = workers.snapshot()
    assert after.client("a") is before.client("a")
    assert after.client("b") is not before.client("b")
    assert list(after.clients) == ["b", "a"]
    assert before.client("b").spec.model == "m", "a snapshot does not change under a request"
    workers.update(pool_of(a, name="another"))
    assert workers.client("a") is not before.client("a"), "managed names depend on the pool"
