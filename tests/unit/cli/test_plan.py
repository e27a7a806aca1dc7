"""The plan of a stack: which processes, told what, and the pool that the executor reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.pools import pool_of

from kubefugu_cli.pools import find_strengths
from kubefugu_cli.stack import plan as planning
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import Component, StackPlan
from kubefugu_core.errors import DataError
from kubefugu_core.pool import parse_pool

_LLAMA = {"name": "router", "model": "smollm2", "process": {"kind": "llamacpp", "model": "smollm2-135m-instruct", "slots": 3}}
_ALGEBRA = {"name": "algebra", "model": "algebra", "process": {"kind": "expert", "model": "algebra"}, "specialist": True}
_UNITS = {"name": "units", "model": "units", "process": {"kind": "expert", "model": "units"}, "specialist": True}
_REMOTE = {"name": "remote", "model": "m", "url": "https://api.example.com/v1", "auth": {"file": "keys/remote"}}
_CLUSTER = {"name": "inside", "model": "m", "service": {"name": "vllm", "port": 8000}}


def given(tmp_path: Path, *workers: dict[str, Any], **more: Any) -> planning.PlanInput:
    pool = pool_of(*workers, **more.pop("routing", {}))
    names = planning.process_names(pool)
    return planning.PlanInput(
        pool=pool,
        pool_file=tmp_path / "pools" / "mine.yaml",
        layout=StackLayout.of(tmp_path / "home"),
        port=8081,
        worker_ports={name: 9000 + number for number, name in enumerate(names)},
        model_files={"smollm2-135m-instruct": "/models/smollm2.gguf"},
        backbone="/models/smollm2.gguf",
        left_out=planning.cluster_only(pool),
        **more,
    )


def named(plan: StackPlan, name: str) -> Component:
    return next(component for component in plan.components if component.name == name)


def test_every_local_worker_gets_a_url_and_key_files_become_absolute(tmp_path: Path) -> None:
    document = planning.resolve_pool(given(tmp_path, _LLAMA, _ALGEBRA, _UNITS, _REMOTE))
    pool = parse_pool(document, source="resolved")
    urls = {worker.name: worker.url for worker in pool.spec.workers}
    assert urls == {
        "router": "http://127.0.0.1:9000/v1",
        "algebra": "http://127.0.0.1:9001/v1",
        "units": "http://127.0.0.1:9001/v1",
        "remote": "https://api.example.com/v1",
    }
    assert all(worker.process is None for worker in pool.spec.workers)
    auth = pool.spec.workers[3].auth
    assert auth is not None
    assert auth.file == str(tmp_path / "pools" / "keys" / "remote")
    assert [worker.specialist for worker in pool.spec.workers] == [False, True, True, False]


def test_all_experts_share_one_process(tmp_path: Path) -> None:
    plan = planning.build_plan(given(tmp_path, _ALGEBRA, _UNITS))
    assert [one.name for one in plan.components].count("experts") == 1
    assert named(plan, "experts").port == 9000


def test_a_worker_may_be_called_like_a_service(tmp_path: Path) -> None:
    names = [one.name for one in planning.build_plan(given(tmp_path, _LLAMA)).components]
    assert len(names) == len(set(names))
    assert {"router", "worker-router"} <= set(names)


def test_workers_of_a_cluster_are_left_out_and_named(tmp_path: Path) -> None:
    what = given(tmp_path, _REMOTE, _CLUSTER, routing={"planner": "inside"})
    pool = parse_pool(planning.resolve_pool(what), source="resolved")
    assert [worker.name for worker in pool.spec.workers] == ["remote"]
    assert pool.spec.routing.planner == ""
    left_out = planning.build_plan(what).left_out
    assert [(one.worker, "cluster" in one.reason) for one in left_out] == [("inside", True)]


def test_a_pool_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No worker of .*mine.yaml can be used here. inside: "):
        planning.resolve_pool(given(tmp_path, _CLUSTER))


def test_services_find_each_other(tmp_path: Path) -> None:
    plan = planning.build_plan(given(tmp_path, _REMOTE, with_conductor=True))
    router, executor, gateway, conductor = (named(plan, name) for name in ("router", "executor", "gateway", "conductor"))
    assert executor.env["KUBEFUGU_EXECUTOR_ROUTER_TARGET"] == router.env["KUBEFUGU_ROUTER_LISTEN"] == router.probe.target
    assert executor.env["KUBEFUGU_EXECUTOR_CONDUCTOR_TARGET"] == conductor.env["KUBEFUGU_CONDUCTOR_LISTEN"]
    assert gateway.env["KUBEFUGU_GATEWAY_EXECUTOR_TARGET"] == executor.env["KUBEFUGU_EXECUTOR_LISTEN"]
    assert gateway.probe.target == "http://127.0.0.1:8081/readyz"
    assert not conductor.required
    prefixes = json.loads(router.env["KUBEFUGU_ROUTER_ALLOWED_URI_PREFIXES"])
    assert (tmp_path / "pools").as_uri() + "/" in prefixes


def test_without_a_conductor_the_executor_is_told_of_none(tmp_path: Path) -> None:
    plan = planning.build_plan(given(tmp_path, _REMOTE))
    assert "KUBEFUGU_EXECUTOR_CONDUCTOR_TARGET" not in named(plan, "executor").env


def test_the_gateway_ends_first_and_workers_last(tmp_path: Path) -> None:
    tiers = {one.name: one.tier for one in planning.build_plan(given(tmp_path, _LLAMA, _ALGEBRA)).components}
    assert tiers["gateway"] > tiers["executor"] > tiers["router"] > tiers["experts"] == tiers["worker-router"]


def test_sockets_move_to_a_short_folder_where_the_cache_path_is_long(tmp_path: Path) -> None:
    short, long = StackLayout.of(Path("/tmp/k")), StackLayout.of(tmp_path / ("long" * 30))
    assert short.sockets_dir.is_relative_to(short.root)
    assert not long.sockets_dir.is_relative_to(long.root)
    for layout in (short, long):
        assert len(layout.target("conductor").removeprefix("unix:")) <= 103
    assert StackLayout.of(tmp_path / ("long" * 30), "other").sockets_dir != long.sockets_dir


def test_the_executor_is_told_the_strengths_that_were_measured_with_the_head(tmp_path: Path) -> None:
    head = tmp_path / "heads" / "mine.safetensors"
    assert find_strengths(head) is None
    assert find_strengths(None) is None
    head.parent.mkdir()
    (head.parent / "mine.strengths.json").write_text("{}")
    plan = planning.build_plan(given(tmp_path, _LLAMA, strengths=find_strengths(head)))
    assert named(plan, "executor").env["KUBEFUGU_EXECUTOR_STRENGTHS_FILE"] == str(head.parent / "mine.strengths.json")
    without = planning.build_plan(given(tmp_path, _LLAMA))
    assert "KUBEFUGU_EXECUTOR_STRENGTHS_FILE" not in named(without, "executor").env


def test_the_conductor_is_given_the_pools_trained_planner(tmp_path: Path) -> None:
    artifact = tmp_path / "heads" / "mine.conductor.safetensors"
    plan = planning.build_plan(
        given(tmp_path, _REMOTE, with_conductor=True, conductor=artifact, conductor_base="/models/b.gguf")
    )
    env = named(plan, "conductor").env
    assert (env["KUBEFUGU_CONDUCTOR_MODEL"], env["KUBEFUGU_CONDUCTOR_ARTIFACT_URL"]) == ("/models/b.gguf", str(artifact))
    bare = named(planning.build_plan(given(tmp_path, _REMOTE, with_conductor=True)), "conductor").env
    assert not {"KUBEFUGU_CONDUCTOR_MODEL", "KUBEFUGU_CONDUCTOR_ARTIFACT_URL"} & bare.keys()
