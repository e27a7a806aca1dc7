"""Both hosts and the naive forward pass decide alike: one corpus, every tie mode, alone and in batches, with and without cache.

The naive forward pass is transformers' causal LM in float64, LM head included, one transcript at a time, with re-materialised
matrices. Heads are scaled so that logits are of order one; the bound of 1e-5 is absolute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.backbones import Tiny, adapt_reference, random_offsets, reference_features
from support.live_router import Client, policy_set, router, settings_for
from support.transcripts import Transcript, transcripts
from support.triton import Staged

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.formats import DISPATCHER_PROMPT, RouterFormat
from kubefugu_routing.policy import FactorRef, PolicyArtifact, WorkerRow, save_artifact
from kubefugu_routing.svf import TieMode, layout_of
from kubefugu_routing.svf.factors import make_bundle, save_bundle

WORKERS = tuple(f"w{i}" for i in range(7))
ROLES = ("solver", "thinker", "verifier")
LAYER = 2
BOUND = 1e-5
BATCH = 16
TIMEOUT_S = 100.0
"""Of one decision: about its values, not its time."""


@dataclass(frozen=True)
class Case:
    """A policy, and what the naive forward pass says about the corpus."""

    version: str
    source: router_pb2.PolicySource
    expected: np.ndarray[Any, Any]
    """(transcripts, 10), float64."""


def write_policies(folder: Path, backbone: Backbone) -> dict[str, tuple[router_pb2.PolicySource, Any, RouterFormat, Any]]:
    """A head alone (raw), and one for each tie mode with offsets on every block (the last in the chat format)."""
    info = backbone.info
    bundle = save_bundle(folder / "bundle", make_bundle(backbone, layer=LAYER, embedding=True))
    (folder / "bundle").rename(folder / f"{bundle}.safetensors")
    made = {}
    for seed, mode in enumerate((None, *TieMode)):
        rng = np.random.default_rng(seed)
        head = (rng.normal(size=(10, info.hidden_size)) / np.sqrt(info.hidden_size)).astype(np.float32)
        rows = tuple(WorkerRow(name, f"model-{name}") for name in WORKERS)
        fmt = RouterFormat.CHAT if mode is TieMode.COMPOSED else RouterFormat.RAW
        artifact = PolicyArtifact(info.id, info.revision, LAYER, head, rows, True, input_format=fmt)
        offsets = None
        if mode is not None:
            offsets = random_offsets(layout_of(info, LAYER).lengths, LAYER, mode, seed=seed)
            factors = FactorRef((folder / f"{bundle}.safetensors").as_uri(), bundle)
            artifact = replace(artifact, offsets=offsets, tie_mode=mode, factors=factors)
        version = f"v-{mode or 'head'}"
        path = folder / f"{version}.safetensors"
        digest = save_artifact(path, artifact)
        made[version] = (router_pb2.PolicySource(version=version, uri=path.as_uri(), sha256=digest), offsets, fmt, head)
    return made


def token_ids(tokenizer: Any, transcript: Transcript, fmt: RouterFormat) -> list[int]:
    """The router's input, written down again from the published forms."""
    lines = "\n".join(f"{role}: {text}" for role, text in transcript.messages)
    if fmt is RouterFormat.RAW:
        return list(tokenizer(lines, add_special_tokens=False).input_ids)
    alone = len(transcript.messages) == 1 and transcript.messages[0][0] == "user"
    observation = transcript.messages[0][1] if alone else lines
    system = DISPATCHER_PROMPT.format(num_agents=len(WORKERS))
    conversation = [{"role": "system", "content": system}, {"role": "user", "content": observation}]
    text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def naive_cases(tiny: Tiny, folder: Path, corpus: Sequence[Transcript]) -> list[Case]:
    backbone = load_backbone(str(tiny.directory), threads=1)
    cases = []
    for version, (source, offsets, fmt, head) in write_policies(folder, backbone).items():
        model = tiny.reference if offsets is None else adapt_reference(tiny, offsets)
        batch = [token_ids(backbone.tokenizer, transcript, fmt) for transcript in corpus]
        cases.append(Case(version, source, reference_features(model, batch) @ head.astype(np.float64).T))
    return cases


def question(transcript: Transcript, version: str) -> router_pb2.RouteRequest:
    return router_pb2.RouteRequest(
        transcript=[common_pb2.TranscriptMessage(role=role, text=text) for role, text in transcript.messages],
        allowed=[common_pb2.AllowedWorker(name=name, model=f"model-{name}") for name in WORKERS],
        policy_version=version,
    )


def logits_of(decision: router_pb2.Decision) -> np.ndarray[Any, Any]:
    by_name = {worker.name: worker.logit for worker in decision.workers}
    roles = {role.role: role.logit for role in decision.roles}
    return np.array([by_name[name] for name in WORKERS] + [roles[1 + i] for i in range(3)])


@dataclass
class Compared:
    """What a pass over the corpus showed."""

    farthest: float = 0.0
    decisions: int = 0
    narrow: int = 0
    """Decisions whose margin is within the bound, so that float noise may choose."""
    wrong: int = 0
    cached_tokens: int = 0
    truncated: int = 0

    def note(self, decision: router_pb2.Decision, expected: np.ndarray[Any, Any]) -> None:
        self.farthest = max(self.farthest, float(np.abs(logits_of(decision) - expected).max()))
        self.decisions += 1
        self.cached_tokens += decision.cached_tokens
        self.truncated += decision.truncated
        workers, roles = expected[: len(WORKERS)], expected[len(WORKERS) :]
        margin = min(float(np.diff(np.sort(rows)[-2:])[0]) for rows in (workers, roles))
        if margin < 2 * BOUND:
            self.narrow += 1
        elif (decision.worker, decision.role) != (WORKERS[int(workers.argmax())], 1 + int(roles.argmax())):
            self.wrong += 1


async def compare(client: Client, case: Case, corpus: Sequence[Transcript], *, batched: bool) -> Compared:
    """Ask for the whole corpus with one policy, one by one or in batches of the same turn's neighbours."""
    seen = Compared()
    size = BATCH if batched else 1
    for start in range(0, len(corpus), size):
        members = range(start, min(start + size, len(corpus)))
        decisions = await asyncio.gather(
            *(client.route(question(corpus[i], case.version), timeout_s=TIMEOUT_S) for i in members)
        )
        for i, decision in zip(members, decisions, strict=True):
            seen.note(decision, case.expected[i])
    return seen


@asynccontextmanager
async def hosts(backbone: Path, staged: Staged, folder: Path, cases: Sequence[Case]) -> AsyncIterator[dict[str, Client]]:
    """A router on each host with every policy resident."""
    ways: dict[str, dict[str, Any]] = {
        "in process": {"kv_cache_mib": 64},
        "in process, no cache": {"kv_cache_mib": 0},
        "in process, small steps": {"kv_cache_mib": 64, "max_step_tokens": 48},
        "triton": {"host": "triton", "triton_target": staged.server.target, "triton_stage_dir": staged.folder},
    }
    async with AsyncExitStack() as stack:
        clients = {}
        for number, (name, changes) in enumerate(ways.items()):
            settings = settings_for(
                backbone, folder, listen=f"unix:{folder / f'{number}.sock'}", max_input_tokens=4096, **changes
            )
            clients[name] = await stack.enter_async_context(router(settings))
            for generation, case in enumerate(cases, start=1):
                await clients[name].declare(policy_set(generation, case.version, case.source))
        yield clients


async def run(tiny: Tiny, staged: Staged, folder: Path, corpus: Sequence[Transcript], *, passes: Sequence[bool]) -> None:
    cases = naive_cases(tiny, folder, corpus)
    async with hosts(tiny.directory, staged, folder, cases) as clients:
        for name, client in clients.items():
            for case in cases:
                for batched in passes if name != "in process, small steps" else passes[-1:]:
                    seen = await compare(client, case, corpus, batched=batched)
                    where = f"{name}, {case.version}, {'batched' if batched else 'single'}"
                    print(f"{where}: {seen}")
                    assert seen.farthest <= BOUND, where
                    assert (seen.wrong, seen.truncated, seen.decisions) == (0, 0, len(corpus)), where
                    assert seen.narrow <= max(1, len(corpus) // 50), where
                    assert (seen.cached_tokens > 0) == (name != "in process, no cache"), where


async def test_hosts_and_naive_decide_alike(tiny: Tiny, triton_server: Staged, tmp_path: Path) -> None:
    """The corpus's beginning; the whole of it is the slow test below."""
    await run(tiny, triton_server, tmp_path, transcripts(48, seed=1, max_bytes=600), passes=[True])


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_hosts_and_naive_decide_alike_on_500_transcripts(tiny: Tiny, triton_server: Staged, tmp_path: Path) -> None:
    await run(tiny, triton_server, tmp_path, transcripts(500, seed=1), passes=[False, True])


async def test_bfloat16_stays_within_its_documented_distance(tiny: Tiny, tmp_path: Path) -> None:
    """As served on a GPU: another worker only where the float32 margin is a few per cent of the logits' spread."""
    corpus = transcripts(120, seed=2, max_bytes=400)
    case = naive_cases(tiny, tmp_path, corpus)[0]
    settings = settings_for(tiny.directory, tmp_path, dtype="bfloat16", kv_cache_mib=64, max_input_tokens=4096)
    async with router(settings) as client:
        await client.declare(policy_set(1, case.version, case.source))
        decisions = [await client.route(question(transcript, case.version)) for transcript in corpus]
    workers = case.expected[:, : len(WORKERS)]
    spread = np.ptp(workers, axis=1)
    got = np.stack([logits_of(decision)[: len(WORKERS)] for decision in decisions])
    distance = np.abs(got - workers).max(axis=1) / spread
    margin = -np.diff(-np.sort(-workers, axis=1)[:, :2], axis=1)[:, 0] / spread
    same = np.array([decision.worker == WORKERS[int(row.argmax())] for decision, row in zip(decisions, workers, strict=True)])
    print(f"bfloat16: distance p50 {np.median(distance):.4f}, max {distance.max():.4f}; same worker {same.mean():.3f}")
    assert distance.max() < 0.08
    assert same[margin > 0.08].all()
    assert same.mean() > 0.95


def test_the_corpus_holds_what_it_should() -> None:
    corpus = transcripts(500, seed=1)
    lengths = [sum(len(text.encode()) for _, text in transcript.messages) for transcript in corpus]
    assert len({transcript.kind for transcript in corpus}) == 13
    assert min(lengths) <= 2
    assert max(lengths) > 1400
    assert sum(transcript.turn > 0 for transcript in corpus) > 200
    assert sum(any(role == "tool" for role, _ in transcript.messages) for transcript in corpus) > 50
    assert corpus == transcripts(500, seed=1)
