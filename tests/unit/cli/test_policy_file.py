"""The policy set that `up` declares, and when it leaves one alone that a person declared."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kubefugu.router.v1 import router_pb2
from kubefugu_cli.policies import source_of, write_policy_set
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import StackPlan
from kubefugu_cli.stack.policy_file import declare_head, read_policy_set


def stack_in(folder: Path) -> tuple[StackLayout, Path]:
    layout = StackLayout.of(folder / "home")
    layout.create()
    return layout, layout.policy_set_file


def plan_with(generation: int) -> StackPlan:
    return StackPlan(name="t", url="http://x", pool="p.yaml", pool_name="p", components=(), policy_generation=generation)


def head(tmp_path: Path, content: bytes = b"head") -> Path:
    path = tmp_path / "head.safetensors"
    path.write_bytes(content)
    return path


def declared_in(path: Path) -> router_pb2.PolicySet:
    declared = read_policy_set(path)
    assert declared is not None
    return declared


def test_the_first_start_declares_the_head(tmp_path: Path) -> None:
    layout, path = stack_in(tmp_path)
    assert declare_head(layout, head(tmp_path), pool_stem="default", before=None) == 1
    declared = declared_in(path)
    digest = hashlib.sha256(b"head").hexdigest()
    assert (declared.generation, declared.active) == (1, f"default-{digest[:8]}")
    assert declared.sources[0].sha256 == digest
    # A copy in the stack's folder, which the router may read wherever the head came from.
    assert declared.sources[0].uri.startswith(layout.policies_dir.as_uri())


def test_a_newly_trained_head_replaces_the_one_that_up_declared(tmp_path: Path) -> None:
    layout, path = stack_in(tmp_path)
    first = declare_head(layout, head(tmp_path), pool_stem="default", before=None)
    before = declared_in(path)
    assert declare_head(layout, head(tmp_path, b"better"), pool_stem="default", before=plan_with(first)) == 2
    declared = declared_in(path)
    assert declared.active != before.active
    assert len(list(layout.policies_dir.iterdir())) == 1


def test_a_set_that_a_person_declared_survives_a_restart_with_the_same_pool(tmp_path: Path) -> None:
    layout, path = stack_in(tmp_path)
    first = declare_head(layout, head(tmp_path), pool_stem="default", before=None)
    mine = declared_in(path)
    mine.generation = 7
    mine.canary.CopyFrom(router_pb2.Canary(version="other", percent=5))
    write_policy_set(path, mine)
    assert declare_head(layout, head(tmp_path), pool_stem="default", before=plan_with(first)) == first
    assert declare_head(layout, None, pool_stem="default", before=plan_with(first)) == first
    assert read_policy_set(path) == mine


def test_it_gives_way_to_another_pool_or_where_its_artifact_is_gone(tmp_path: Path) -> None:
    (layout, path), gone = stack_in(tmp_path), tmp_path / "gone.safetensors"
    gone.write_bytes(b"mine")
    write_policy_set(path, router_pb2.PolicySet(generation=7, active="mine", sources=[source_of("mine", gone)]))
    assert declare_head(layout, head(tmp_path), pool_stem="other", before=None) == 8
    assert declared_in(path).active.startswith("other-")
    write_policy_set(path, router_pb2.PolicySet(generation=9, active="mine", sources=[source_of("mine", gone)]))
    gone.unlink()
    assert declare_head(layout, head(tmp_path), pool_stem="default", before=plan_with(8)) == 10
    assert declared_in(path).active.startswith("default-")


def test_a_pool_without_a_head_declares_nothing(tmp_path: Path) -> None:
    layout, path = stack_in(tmp_path)
    declare_head(layout, head(tmp_path), pool_stem="default", before=None)
    assert declare_head(layout, None, pool_stem="mine", before=None) == 0
    assert read_policy_set(path) is None
