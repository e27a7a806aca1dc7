"""Decisions over a real socket, from real forward passes of a tiny backbone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from support.live_router import WORKERS, Policies, policy_set, refusal, request, router, settings_for

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_core.errors import InvalidRequestError, PolicyNotFoundError
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.engine import Engine
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy import load_artifact


async def test_a_decision_is_the_engine_s(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", roles=True, offsets=True)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", source))
        decision = await client.route()
    loaded = load_backbone(str(backbone))
    ids = loaded.tokenizer("user: What is the capital of France?", add_special_tokens=False).input_ids
    logits = Engine(loaded).decide([ids], load_artifact(policies.folder / "v1.safetensors"))[0]
    assert decision.policy_version == "v1"
    assert decision.worker == WORKERS[int(np.argmax(logits[:3]))]
    assert decision.role == 1 + int(np.argmax(logits[3:]))
    assert decision.input_tokens == len(ids)
    got = {worker.name: worker.logit for worker in decision.workers}
    np.testing.assert_allclose([got[name] for name in WORKERS], logits[:3], atol=1e-4)
    assert [w.name for w in decision.workers] == [WORKERS[i] for i in np.argsort(-logits[:3])]
    assert decision.engine_ms > 0
    assert not decision.truncated


async def test_mask_untrained_workers_and_roles(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", best="beta", roles=True)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", source))
        assert (await client.route()).worker == "beta"
        assert (await client.route(request(workers=["alpha", "gamma"]))).worker in ("alpha", "gamma")
        decision = await client.route(request(workers=["newcomer", "beta", "alpha"]))
        assert [(w.name, w.trained, w.HasField("logit")) for w in decision.workers][-1] == ("newcomer", False, False)
        only = request(workers=["newcomer"])
        assert (await client.route(only)).worker == "newcomer"
        moved = request()
        moved.allowed[1].model = "another-model"
        assert (await client.route(moved)).worker in ("alpha", "gamma")
        verifying = request()
        for worker in verifying.allowed:
            worker.roles.append(common_pb2.ROLE_VERIFIER)
        assert (await client.route(verifying)).role == common_pb2.ROLE_VERIFIER


async def test_sampling_belongs_to_the_request(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", seed=3, roles=True)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", source))

        async def draw(seed: int) -> str:
            return (await client.route(request(sampling=router_pb2.Sampling(temperature=50.0, seed=seed)))).worker

        first = [await draw(seed) for seed in range(30)]
        again = list(await asyncio.gather(*(draw(seed) for seed in range(30))))
        assert first == again
        assert len(set(first)) == 3
        bad = await refusal(client.route(request(sampling=router_pb2.Sampling(temperature=0.0))))
        assert (type(bad), bad.field) == (InvalidRequestError, "sampling.temperature")


async def test_a_batch_keeps_its_order_and_fails_one_by_one(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", seed=5)
    texts = ["short", "a much longer question " * 20, "x", "another one about rivers"]
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", source))
        alone = [await client.route(request(text)) for text in texts]
        reply = await client.batch([*map(request, texts), request(policy_version="absent"), request(workers=[])])
        for single, result in zip(alone, reply.results[:4], strict=True):
            assert result.decision.worker == single.worker
            np.testing.assert_allclose([w.logit for w in result.decision.workers], [w.logit for w in single.workers], atol=1e-4)
        assert [r.error.reason for r in reply.results[4:]] == ["POLICY_NOT_FOUND", "INVALID_REQUEST"]


async def test_a_later_turn_takes_its_prefix_from_the_cache(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", seed=5)
    turns = request("Tell me about the rivers of Europe, please, in as many words as you need.")
    async with (
        router(settings_for(backbone, tmp_path)) as client,
        router(settings_for(backbone, tmp_path, kv_cache_mib=0, listen=f"unix:{tmp_path / 'plain.sock'}")) as plain,
    ):
        for each in (client, plain):
            await each.declare(policy_set(1, "v1", source))
        for turn in range(4):
            cached, computed = await client.route(turns), await plain.route(turns)
            assert (cached.cached_tokens > 0) == (turn > 0)
            assert computed.cached_tokens == 0
            assert cached.worker == computed.worker
            np.testing.assert_allclose(
                [w.logit for w in cached.workers], [w.logit for w in computed.workers], rtol=0, atol=1e-4
            )
            turns.transcript.add(role="assistant", text=f"<reference_thought_{turn}> the Danube </reference_thought_{turn}>")


async def test_long_transcripts_are_cut_and_say_so(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    source = policies.write("v1", seed=5)
    async with router(settings_for(backbone, tmp_path, max_input_tokens=128)) as client:
        await client.declare(policy_set(1, "v1", source))
        decision = await client.route(request("word " * 250_000))
        assert decision.input_tokens == 128
        assert decision.truncated
        assert decision.dropped_tokens > 200_000


async def test_explain_shows_what_went_in(tmp_path: Path, policies: Policies, backbone: Path) -> None:
    raw = policies.write("v1", seed=5, roles=True)
    chat = policies.write("v2", seed=6, fmt=RouterFormat.CHAT)
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", raw, chat, shadow=["v2"]))
        message = request(workers=["alpha", "gamma"])
        message.allowed[1].model = "other"
        reply = await client.explain(message)
        assert reply.input_text == "user: What is the capital of France?"
        assert reply.input_format == "raw"
        assert len(reply.token_ids) == reply.decision.input_tokens
        assert [row.name for row in reply.rows] == [*WORKERS, "solver", "thinker", "verifier"]
        masked = {row.name: row.masked_because for row in reply.rows if row.masked_because}
        assert masked == {"beta": "not offered", "gamma": "trained for model-gamma, now other"}
        assert [other.policy_version for other in reply.others] == ["v2"]
        assert [shadow.policy_version for shadow in reply.decision.shadows] == ["v2"]
        assert reply.others[0].input_tokens > reply.decision.input_tokens, "each version reads its own format"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.ClearField("transcript"), "transcript"),
        (lambda r: r.ClearField("allowed"), "allowed"),
        (lambda r: r.allowed.add(name="alpha", model="model-alpha"), "allowed"),
        (lambda r: r.allowed.add(model="m"), "allowed.name"),
        (lambda r: r.allowed[0].roles.append(77), "allowed.roles"),
        (lambda r: setattr(r, "policy_version", "absent"), "policy_version"),
    ],
)
async def test_bad_requests_name_the_field(
    tmp_path: Path, policies: Policies, backbone: Path, change: object, field: str
) -> None:
    source = policies.write("v1")
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.declare(policy_set(1, "v1", source))
        message = request()
        change(message)  # type: ignore[operator]
        error = await refusal(client.route(message))
        assert isinstance(error, (InvalidRequestError, PolicyNotFoundError))
        assert error.field == field


async def test_without_any_declaration_workers_are_ranked_as_offered(tmp_path: Path, backbone: Path) -> None:
    """A pool without a trained head is served too, and says that nothing was trained."""
    async with router(settings_for(backbone, tmp_path)) as client:
        await client.until_serving()
        decision = await client.route()
        assert (decision.policy_version, decision.worker) == ("", "alpha")
        assert [w.trained for w in decision.workers] == [False] * 3
        assert (await client.explain()).decision.worker == "alpha"
