"""The Triton host against the in-process host and the naive reference: same logits, swaps, refusals, faults. A real server."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.backbones import Tiny, adapt_reference, random_offsets, reference_features
from support.triton import Staged

from kubefugu_core.errors import ArtifactRefusedError, KubefuguError, PolicyNotFoundError
from kubefugu_router.domain.ports import Question, StagedPolicy
from kubefugu_router.hosts.triton import TritonHost
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.policy import PolicyArtifact, bind, save_artifact
from kubefugu_routing.policy.artifact import FactorRef, WorkerRow
from kubefugu_routing.svf import SvfOffsets, TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle

LAYER = 2


class Quiet:
    """An observer that counts nothing."""

    def step(self, **_: Any) -> None: ...

    def queue(self, **_: Any) -> None: ...

    def finished(self, **_: Any) -> None: ...


@pytest.fixture(scope="module")
def loaded(tiny: Tiny) -> Backbone:
    return load_backbone(str(tiny.directory), threads=1)


@pytest.fixture
async def host(triton_server: Staged) -> AsyncIterator[TritonHost]:
    made = TritonHost(triton_server.server.target, triton_server.folder, Quiet())
    await made.start()
    yield made
    await made.close()


def stage_policy(
    folder: Path, loaded: Backbone, version: str, *, seed: int, mode: TieMode | None = None
) -> tuple[StagedPolicy, SvfOffsets | None]:
    """Write a random policy; with a mode it has offsets on every block and a factor bundle beside it."""
    info = loaded.info
    head = np.random.default_rng(seed).normal(size=(6, info.hidden_size)).astype(np.float32)
    rows = tuple(WorkerRow(f"w{i}", "m") for i in range(3))
    artifact = PolicyArtifact(info.id, info.revision, LAYER, head, rows, True)
    offsets = None
    if mode is not None:
        offsets = random_offsets(layout_of(info, LAYER).lengths, LAYER, mode, seed=seed)
        aside = folder / "bundle.safetensors"
        digest = save_bundle(aside, make_bundle(loaded, layer=LAYER, embedding=True))
        aside.rename(folder / f"{digest}.safetensors")
        factors = FactorRef(f"file://{folder / digest}.safetensors", digest)
        artifact = replace(artifact, offsets=offsets, tie_mode=mode, factors=factors)
    path = folder / f"{version}.safetensors"
    digest = save_artifact(path, artifact)
    return StagedPolicy(version, digest, path, bind(artifact, info)), offsets


def corpus(vocabulary: int, count: int = 60) -> list[list[int]]:
    rng = np.random.default_rng(3)
    lengths = [2, 3, 400, *rng.integers(4, 150, size=count - 3)]
    return [rng.integers(0, vocabulary, size=int(length)).tolist() for length in lengths]


def question(tokens: list[int], *versions: str, seconds: float = 60.0) -> Question:
    return Question(tokens, versions, time.monotonic() + seconds)


@pytest.mark.parametrize("mode", [None, TieMode.AUTHOR, TieMode.FIXTURE, TieMode.COMPOSED])
async def test_logits_equal_the_naive_reference(
    host: TritonHost, tiny: Tiny, loaded: Backbone, tmp_path: Path, mode: TieMode | None
) -> None:
    staged, offsets = stage_policy(tmp_path, loaded, "v", seed=5, mode=mode)
    host.allowed_uri_prefixes = (f"file://{tmp_path}",)
    await host.load(staged)
    batch = corpus(loaded.info.vocab_size)
    model = tiny.reference if offsets is None else adapt_reference(tiny, offsets)
    expected = reference_features(model, batch) @ staged.policy.artifact.head.astype(np.float64).T
    for _ in range(2):  # the second time from the prefix cache
        answers = await asyncio.gather(*(host.decide(question(tokens, "v")) for tokens in batch))
        got = np.stack([answer.logits["v"] for answer in answers])
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
        assert (got[:, :3].argmax(1) == expected[:, :3].argmax(1)).all()
    assert max(answer.cached_tokens for answer in answers) > 0


async def test_several_policies_in_one_pass_and_a_later_turn(host: TritonHost, loaded: Backbone, tmp_path: Path) -> None:
    first, _ = stage_policy(tmp_path, loaded, "a", seed=1)
    second, _ = stage_policy(tmp_path, loaded, "b", seed=2)
    await host.load(first)
    await host.load(second)
    tokens = corpus(loaded.info.vocab_size)[2]
    both = await host.decide(question(tokens, "a", "b"))
    for version in ("a", "b"):
        alone = await host.decide(question(tokens, version))
        np.testing.assert_allclose(both.logits[version], alone.logits[version], atol=1e-5)
    assert not np.allclose(both.logits["a"], both.logits["b"])
    later = await host.decide(question([*tokens, 5, 6, 7], "a"))
    assert later.cached_tokens >= 256


async def test_a_probe_names_every_instance_and_the_file(host: TritonHost, loaded: Backbone, tmp_path: Path) -> None:
    staged, _ = stage_policy(tmp_path, loaded, "p", seed=9)
    await host.load(staged)
    [answer] = await host.probe("p", [1, 2, 3, 4], timeout_s=60)
    assert answer.instance.startswith("triton/router")
    assert answer.sha256 == hashlib.sha256(staged.path.read_bytes()).hexdigest()


async def test_a_refused_file_leaves_the_old_one_deciding(host: TritonHost, loaded: Backbone, tmp_path: Path) -> None:
    good, _ = stage_policy(tmp_path, loaded, "good", seed=11)
    await host.load(good)
    poisoned = tmp_path / "poisoned.safetensors"
    raw = bytearray(good.path.read_bytes())
    raw[-1] ^= 0x40
    poisoned.write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    with pytest.raises(ArtifactRefusedError):
        await host.load(replace(good, version="bad", sha256=digest, path=poisoned))
    assert not (host.stage_dir / "policies" / f"{digest}.safetensors").exists()
    with pytest.raises(PolicyNotFoundError):
        await host.decide(question([1, 2, 3], "bad"))
    assert (await host.decide(question([1, 2, 3], "good"))).logits["good"].shape == (6,)


async def test_an_expired_deadline_and_nonsense_tokens(host: TritonHost, loaded: Backbone, tmp_path: Path) -> None:
    staged, _ = stage_policy(tmp_path, loaded, "d", seed=12)
    await host.load(staged)
    with pytest.raises(KubefuguError, match="deadline"):
        await host.decide(question([1, 2, 3], "d", seconds=-1))
    with pytest.raises(KubefuguError, match="input_ids"):
        await host.decide(question([1, 10**6, 3], "d"))
    await host.pulse(timeout_s=60)
