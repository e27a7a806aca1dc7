"""Declared policies: applied as a whole or refused with a reason, canary, shadow, pin, rollback, restart, file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToJson
from support.live_router import WORKERS, Client, Policies, policy_set, refusal, request, router, settings_for
from support.waiting import until

from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import (
    ArtifactRefusedError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    PolicyNotFoundError,
    StaleGenerationError,
    UnavailableError,
)
from kubefugu_routing.policy import FactorRef, WorkerRow, load_artifact, save_artifact


async def eventually(client: Client, states: dict[str, str]) -> None:
    """Wait until GetPolicies tells these states."""
    seen: dict[str, str] = {}
    async with asyncio.timeout(60):
        while seen != states:
            seen = dict(await client.states())


async def test_set_policies_is_idempotent_and_only_grows(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    v1, v2 = policies.write("v1", best="alpha"), policies.write("v2", best="beta")
    async with router(settings_for(backbone, tmp_path)) as client:
        first = await client.declare(policy_set(3, "v1", v1))
        assert first.serving_generation == 3
        assert await client.declare(policy_set(3, "v1", v1)) == first
        stale = await refusal(client.declare(policy_set(2, "v2", v2)))
        assert isinstance(stale, StaleGenerationError)
        assert stale.metadata["serving_generation"] == "3"
        assert isinstance(await refusal(client.declare(policy_set(3, "v2", v2))), ConflictError)
        assert (await client.route()).worker == "alpha"
        await client.declare(policy_set(4, "v2", v2))
        assert (await client.route()).worker == "beta"
        assert await client.states() == {"v2": "active", "v1": "resident"}


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        (policy_set(0, "v1"), "policy_set.generation"),
        (policy_set(1, ""), "policy_set.active"),
        (policy_set(1, "../v1"), "policy_set.active"),
        (policy_set(1, "v1", canary=router_pb2.Canary(version="v1", percent=5)), "policy_set.canary.version"),
        (policy_set(1, "v1", canary=router_pb2.Canary(version="v2", percent=101)), "policy_set.canary.percent"),
        (policy_set(1, "v1", shadow=["a", "a"]), "policy_set.shadow"),
        (
            policy_set(1, "v1", router_pb2.PolicySource(version="v1", uri="file:///x", sha256="A" * 64)),
            "policy_set.sources.sha256",
        ),
    ],
)
async def test_malformed_sets_name_the_field(tmp_path: Path, backbone: Path, declared: Any, field: str) -> None:
    async with router(settings_for(backbone, tmp_path)) as client:
        error = await refusal(client.declare(declared))
        assert (type(error), error.field) == (InvalidRequestError, field)


def _sabotage(name: str, policies: Policies) -> router_pb2.PolicySource:
    """A source whose artifact must be refused."""
    width = policies.info.hidden_size
    if name == "other backbone":
        return policies.write("bad", backbone_revision="0" * 64)
    if name == "shape":
        return policies.write("bad", head=np.zeros((3, width + 1), dtype=np.float32))
    if name == "overflow":
        # Finite numbers whose product is not: only deciding shows it.
        return policies.write("bad", head=np.full((3, width), 3e38, dtype=np.float32))
    if name == "no bundle":
        policies.write("bad", offsets=True)
        return policies.write("bad", offsets=True, factors=FactorRef("", "e" * 64))
    source = policies.write("bad")
    path = policies.folder / "bad.safetensors"
    raw = path.read_bytes()
    if name == "truncated":
        path.write_bytes(raw[: len(raw) // 2])
    elif name == "checksum":
        source.sha256 = "0" * 64
    elif name == "poisoned":
        import hashlib

        path.write_bytes(raw[:-4] + b"\x00\x00\xc0\x7f")  # a NaN in the head
        source.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    elif name == "nan":
        # With checksums that fit: nothing but the values is wrong.
        artifact = load_artifact(path)
        head = artifact.head.copy()
        head[0, 0] = np.nan
        object.__setattr__(artifact, "head", head)
        source.sha256 = save_artifact(path, artifact)
    elif name == "elsewhere":
        source.uri = "file:///etc/passwd"
    return source


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("other backbone", "made for backbone"),
        ("shape", "49 columns"),
        ("overflow", "not finite"),
        ("no bundle", "not on this machine"),
        ("truncated", "sha256"),
        ("checksum", "declared is 0000"),
        ("poisoned", "checksum does not match"),
        ("nan", "NaN or infinity"),
        ("elsewhere", "allowed URL prefix"),
    ],
)
async def test_a_refused_artifact_leaves_the_old_one_serving_and_says_why(
    tmp_path: Path, policies: Policies, backbone: Path, name: str, says: str
) -> None:
    good, bad = policies.write("v1", best="gamma"), _sabotage(name, policies)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", good))
        await client.until_serving()
        error = await refusal(client.declare(policy_set(2, "bad", bad)))
        assert isinstance(error, ArtifactRefusedError)
        assert says in error.message
        reply = await client.policies()
        assert (reply.serving_generation, reply.declared.active) == (1, "v1")
        told = {p.version: p for p in reply.policies}["bad"]
        assert (told.state, told.reason) == (router_pb2.POLICY_STATE_REFUSED, "ARTIFACT_REFUSED")
        assert says in told.message
        assert (await client.route()).worker == "gamma"
        assert await client.serving()
        mended = policies.write("bad", best="alpha")
        await client.declare(policy_set(2, "bad", mended))
        assert (await client.route()).worker == "alpha"
        assert await client.states() == {"bad": "active", "v1": "resident"}


async def test_a_set_is_taken_as_a_whole(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    v1, v2, bad = policies.write("v1", best="alpha"), policies.write("v2", best="beta"), _sabotage("shape", policies)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", v1))
        await refusal(client.declare(policy_set(2, "v2", v2, bad, shadow=["bad"])))
        assert (await client.route()).worker == "alpha"
        assert await client.states() == {"v1": "active", "bad": "refused"}


async def test_versions_do_not_change_under_their_name(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1", seed=1)))
        error = await refusal(client.declare(policy_set(2, "v1", policies.write("v1", seed=2))))
        assert isinstance(error, ConflictError)
        assert "versions don't change" in error.message


async def test_a_policy_of_another_pool_is_refused_where_the_pool_is_known(
    tmp_path: Path, policies: Policies, backbone: Path
) -> None:
    pool = tmp_path / "pool.yaml"
    workers = "".join(f"  - {{name: {n}, model: model-{n}, url: 'http://127.0.0.1:9/v1'}}\n" for n in ("alpha", "delta"))
    pool.write_text(f"apiVersion: kubefugu.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: p}}\nspec:\n  workers:\n{workers}")
    async with router(settings_for(backbone, tmp_path, pool_file=pool)) as client:
        await client.declare(policy_set(1, "v1", policies.write("v1")))
        strangers = await refusal(client.declare(policy_set(2, "v2", policies.write("v2", workers=["x", "y"]))))
        assert "No row of the artifact belongs" in strangers.message
        moved = (WorkerRow("alpha", "older-model"), WorkerRow("beta", "b"), WorkerRow("gamma", "c"))
        error = await refusal(client.declare(policy_set(2, "v3", _with(policies, moved))))
        assert "trained for model 'older-model', the pool now has 'model-alpha'" in error.message


def _with(policies: Policies, rows: tuple[WorkerRow, ...]) -> router_pb2.PolicySource:
    import hashlib
    from dataclasses import replace

    from kubefugu_routing.policy import load_artifact, save_artifact

    policies.write("v3")
    path = policies.folder / "v3.safetensors"
    save_artifact(path, replace(load_artifact(path), workers=rows))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return router_pb2.PolicySource(version="v3", uri=path.as_uri(), sha256=digest)


async def test_canary_takes_its_share_and_sticks_to_the_conversation(
    tmp_path: Path, policies: Policies, backbone: Path
) -> None:
    v1, v2 = policies.write("v1", best="alpha"), policies.write("v2", best="beta")
    keys = [f"conversation-{i}" for i in range(120)]

    async def deciders(client: Client) -> dict[str, str]:
        decisions = await asyncio.gather(*(client.route(request(conversation_key=key)) for key in keys))
        for decision in decisions:
            assert decision.canary == (decision.policy_version == "v2")
            assert decision.worker == {"v1": "alpha", "v2": "beta"}[decision.policy_version]
        return {key: d.policy_version for key, d in zip(keys, decisions, strict=True)}

    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", v1, v2, canary=router_pb2.Canary(version="v2", percent=25)))
        quarter = await deciders(client)
        assert await deciders(client) == quarter
        assert 12 <= list(quarter.values()).count("v2") <= 50
        await client.declare(policy_set(2, "v1", v1, v2, canary=router_pb2.Canary(version="v2", percent=60)))
        more = await deciders(client)
        assert all(more[key] == "v2" for key in keys if quarter[key] == "v2"), "who had the canary keeps it"
        assert list(more.values()).count("v2") > list(quarter.values()).count("v2")
        unkeyed = {(await client.route(request("the same question"))).policy_version for _ in range(5)}
        assert len(unkeyed) == 1, "without a key the first message decides"
        await client.declare(policy_set(3, "v2", v2))
        assert set((await deciders_of(client, keys)).values()) == {"v2"}


async def deciders_of(client: Client, keys: list[str]) -> dict[str, str]:
    decisions = await asyncio.gather(*(client.route(request(conversation_key=key)) for key in keys))
    return {key: decision.policy_version for key, decision in zip(keys, decisions, strict=True)}


async def test_shadows_decide_are_recorded_and_never_act(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    v1, v2 = policies.write("v1", best="alpha"), policies.write("v2", best="beta", offsets=True)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", v1, v2, shadow=["v2"]))
        decision = await client.route()
        assert (decision.worker, decision.policy_version) == ("alpha", "v1")
        assert [(s.policy_version, s.worker) for s in decision.shadows] == [("v2", "beta")]
        counts = {p.version: p.decisions for p in (await client.policies()).policies}
        assert counts == {"v1": 1, "v2": 1}


async def test_pins_and_rollback_at_once(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    v1, v2 = policies.write("v1", best="alpha"), policies.write("v2", best="beta")
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", v1))
        await client.declare(policy_set(2, "v2", v2))
        assert (await client.route(request(policy_version="v1"))).worker == "alpha"
        (policies.folder / "v1.safetensors").unlink()
        (policies.folder / "v2.safetensors").unlink()
        await client.declare(policy_set(3, "v1"))  # resident: no source is needed
        assert (await client.route()).worker == "alpha"
        assert (await client.route(request(policy_version="v2"))).worker == "beta"


async def test_versions_beyond_those_kept_are_unloaded_but_stay_on_disk(
    tmp_path: Path, policies: Policies, backbone: Path
) -> None:
    async with router(settings_for(backbone, tmp_path, keep_resident=2, state_dir=tmp_path / "state")) as client:
        for i in range(1, 7):
            await client.declare(policy_set(i, f"v{i}", policies.write(f"v{i}", seed=i)))
        assert await client.states() == {"v6": "active", "v5": "resident", "v4": "resident"}
        assert isinstance(await refusal(client.route(request(policy_version="v1"))), PolicyNotFoundError)
        for path in policies.folder.iterdir():
            path.unlink()
        await client.declare(policy_set(7, "v1"))
        assert (await client.route()).policy_version == "v1"


async def test_probe_decides_on_every_instance(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    v1 = policies.write("v1", roles=True)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", v1))
        (instance,) = (await client.probe("v1")).instances
        assert (instance.instance, instance.sha256) == ("inprocess/0", v1.sha256)
        assert [row.name for row in instance.rows] == [*WORKERS, "solver", "thinker", "verifier"]
        again = (await client.probe("v1")).instances[0]
        np.testing.assert_allclose([r.logit for r in again.rows], [r.logit for r in instance.rows], atol=1e-5)
        other = (await client.probe("v1", "something else")).instances[0]
        assert [r.logit for r in other.rows] != [r.logit for r in instance.rows]
        assert isinstance(await refusal(client.probe("absent")), PolicyNotFoundError)


async def test_a_restart_serves_what_served(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    settings = settings_for(backbone, tmp_path, state_dir=tmp_path / "state")
    v1, v2 = policies.write("v1", best="alpha", offsets=True), policies.write("v2", best="beta")
    async with router(settings) as client:
        await client.declare(policy_set(5, "v1", v1, v2, canary=router_pb2.Canary(version="v2", percent=100)))
        before = await client.policies()
    for path in policies.folder.iterdir():
        path.unlink()
    async with router(settings) as client:
        await client.until_serving()
        after = await client.policies()
        assert after.declared == before.declared
        assert (await client.route()).policy_version == "v2"
        assert isinstance(await refusal(client.declare(policy_set(4, "v1"))), StaleGenerationError)


async def test_a_router_that_cannot_restore_is_not_ready_until_it_is_told_something_that_works(
    tmp_path: Path, policies: Policies, backbone: Path
) -> None:
    settings = settings_for(backbone, tmp_path, state_dir=tmp_path / "state")
    async with router(settings) as client:
        await client.declare(policy_set(5, "v1", policies.write("v1", best="alpha")))
    for path in (tmp_path / "state" / "artifacts").iterdir():
        path.write_bytes(b"rotten")
    async with router(settings) as client:
        assert isinstance(await refusal(client.route()), UnavailableError)
        assert not await client.serving()
        assert await client.states() == {"v1": "refused"}
        await client.declare(policy_set(6, "v2", policies.write("v2", best="beta")))
        await client.until_serving()
        assert (await client.route()).worker == "beta"


async def test_the_policy_set_file_is_followed(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    path = tmp_path / "policy-set.json"
    v1, v2 = policies.write("v1", best="alpha"), policies.write("v2", best="beta")
    path.write_text(MessageToJson(policy_set(1, "v1", v1), preserving_proto_field_name=True))
    async with router(settings_for(backbone, tmp_path, policy_set_file=path)) as client:
        await client.until_serving()
        assert (await client.route()).worker == "alpha"
        path.write_text(MessageToJson(policy_set(2, "v2", v2)))
        await eventually(client, {"v2": "active", "v1": "resident"})
        path.write_text("{ not json")
        path.write_text(MessageToJson(policy_set(3, "bad", _sabotage("shape", policies))))
        await eventually(client, {"v2": "active", "v1": "resident", "bad": "refused"})
        assert (await client.route()).worker == "beta"
        assert await client.serving(), "a bad declaration does not take down a router that serves"
        path.write_text(MessageToJson(policy_set(4, "v1", v1)))
        await eventually(client, {"v1": "active", "v2": "resident", "bad": "refused"})


@pytest.mark.parametrize("content", ["refused", "malformed"])
async def test_a_starting_router_is_ready_only_with_its_document(
    tmp_path: Path, policies: Policies, backbone: Path, content: str
) -> None:
    path = tmp_path / "policy-set.json"
    bad = MessageToJson(policy_set(1, "bad", _sabotage("shape", policies)))
    path.write_text(bad if content == "refused" else "{ not json")
    async with router(settings_for(backbone, tmp_path, policy_set_file=path)) as client:
        assert isinstance(await refusal(client.route()), UnavailableError)
        assert not await client.serving()
        path.write_text(MessageToJson(policy_set(2, "v1", policies.write("v1"))))
        await client.until_serving()
        assert (await client.route()).policy_version == "v1"


async def test_a_source_that_cannot_be_read_yet_is_tried_again(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1")
    artifact = policies.folder / "v1.safetensors"
    artifact.rename(tmp_path / "later")
    path = tmp_path / "policy-set.json"
    path.write_text(MessageToJson(policy_set(1, "v1", source)))
    async with router(settings_for(backbone, tmp_path, policy_set_file=path)) as client:
        assert not await client.serving()
        assert await client.states() == {"v1": "refused"}
        (tmp_path / "later").rename(artifact)
        await client.until_serving()
        assert await client.states() == {"v1": "active"}


async def test_admin_calls_need_the_token(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-1\n")
    settings = settings_for(backbone, tmp_path, admin_token_file=token)
    declared = policy_set(1, "v1", policies.write("v1"))
    async with router(settings) as stranger:
        assert isinstance(await refusal(stranger.declare(declared)), AuthenticationError)
        assert isinstance(await refusal(stranger.policies()), AuthenticationError)
        admin = Client(settings.listen, token="secret-1")
        await admin.declare(declared)
        assert (await stranger.route()).policy_version == "v1", "deciding needs no admin token"
        token.write_text("secret-2")
        assert isinstance(await refusal(admin.policies()), AuthenticationError)
        token.unlink()
        assert isinstance(await refusal(admin.policies()), AuthenticationError), "a lost token file does not open the door"
        await admin.close()


async def test_swaps_under_load_fail_nothing_and_never_mix(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    """Pinned and unpinned requests while head-only and head+offset versions take turns."""
    names = {f"v{i}": worker for i, worker in enumerate(WORKERS)}
    sources = {v: policies.write(v, best=w, offsets=i % 2 == 1) for i, (v, w) in enumerate(names.items())}
    answered: list[str] = []
    async with router(settings_for(backbone, tmp_path, keep_resident=8)) as client:
        for i, (version, source) in enumerate(sources.items()):
            await client.declare(policy_set(1 + i, version, source))
        swapping = True

        async def ask(pin: str) -> None:
            while swapping:
                decision = await client.route(request(f"question {len(answered)}", policy_version=pin))
                assert names[decision.policy_version] == decision.worker
                assert pin in ("", decision.policy_version)
                answered.append(decision.policy_version)

        async with asyncio.TaskGroup() as group:
            for pin in ("", "", "v0", "v1", "v2"):
                group.create_task(ask(pin))
            for generation in range(10, 40):
                await client.declare(policy_set(generation, f"v{generation % 3}"))
                seen = len(answered)
                await until(lambda seen=seen: len(answered) > seen, what="decisions go on")  # type: ignore[misc]
            swapping = False
    assert len(answered) > 60


@pytest.mark.parametrize("rounds", [25, pytest.param(125, marks=pytest.mark.slow)])
async def test_swaps_leave_nothing_behind(tmp_path: Path, policies: Policies, backbone: Path, rounds: int) -> None:
    """Only the resident policies are held, whatever came and went."""
    import gc

    from kubefugu_routing.engine import Variant

    def held() -> int:
        gc.collect()
        return sum(type(thing) is Variant for thing in gc.get_objects())

    versions = {f"v{i}": policies.write(f"v{i}", seed=i, offsets=i % 2 == 0) for i in range(8)}
    async with router(settings_for(backbone, tmp_path, keep_resident=2)) as client:
        before = held()
        generation = 0
        for _ in range(rounds):
            for version, source in versions.items():
                generation += 1
                await client.declare(policy_set(generation, version, source))
            await client.route()
        assert generation == 8 * rounds
        assert len(await client.states()) == 3
        assert held() - before <= 3
        assert len(list((tmp_path / "home" / "bundles").glob("*"))) <= 8
