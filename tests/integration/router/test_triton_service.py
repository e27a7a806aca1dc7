"""The router service on its Triton host: the same decisions over gRPC as on the in-process host, swapped while it serves."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from support.triton import Staged
from support.waiting import until

from kubefugu.common.v1 import common_pb2
from kubefugu.router.v1 import router_pb2, router_pb2_grpc
from kubefugu_core.rpc import open_channel
from kubefugu_router.main import running
from kubefugu_router.settings import RouterSettings
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.policy import PolicyArtifact, save_artifact
from kubefugu_routing.policy.artifact import WorkerRow

WORKERS = ("alpha", "beta", "gamma")
TEXTS = ["capital of France?", "x", "löse x² = 4 🙂", "a longer question " * 40, "user: nested\nassistant: text"]


@pytest.fixture
def loaded(backbone: Path) -> Backbone:
    return load_backbone(str(backbone), threads=1)


def declare(folder: Path, loaded: Backbone, *versions: str, generation: int = 1) -> Path:
    """Write heads and the policy set; the first version is active."""
    sources = []
    for version in versions:
        head = np.random.default_rng(len(version)).normal(size=(6, loaded.info.hidden_size)).astype(np.float32)
        rows = tuple(WorkerRow(name, "m") for name in WORKERS)
        path = folder / f"{version}.safetensors"
        digest = save_artifact(path, PolicyArtifact(loaded.info.id, loaded.info.revision, 2, head, rows, True))
        sources.append({"version": version, "uri": path.as_uri(), "sha256": digest})
    document = {"generation": generation, "active": versions[0], "sources": sources}
    target = folder / "set.json"
    target.write_text(json.dumps(document), encoding="utf-8")
    return target


def request(text: str, **fields: Any) -> router_pb2.RouteRequest:
    allowed = [common_pb2.AllowedWorker(name=name, model="m") for name in WORKERS]
    return router_pb2.RouteRequest(transcript=[common_pb2.TranscriptMessage(role="user", text=text)], allowed=allowed, **fields)


def through_triton(staged: Staged, backbone: Path, policy_set: Path, **changes: Any) -> RouterSettings:
    fields: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "backbone": str(backbone),
        "host": "triton",
        "triton_target": staged.server.target,
        "triton_stage_dir": staged.folder,
        "policy_set_file": policy_set,
    }
    return RouterSettings(**(fields | changes))


async def decisions(settings: RouterSettings) -> list[router_pb2.Decision]:
    async with running(settings, registry=CollectorRegistry()) as rpc, open_channel(f"127.0.0.1:{rpc.port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        answers = await asyncio.gather(*(stub.Route(request(text), timeout=60) for text in TEXTS))
        return [answer.decision for answer in answers]


async def test_both_hosts_decide_alike(tmp_path: Path, loaded: Backbone, backbone: Path, triton_server: Staged) -> None:
    settings = through_triton(triton_server, backbone, declare(tmp_path, loaded, "one"))
    triton = await decisions(settings)
    in_process = await decisions(settings.model_copy(update={"host": "inprocess", "threads": 1}))
    for one, other in zip(triton, in_process, strict=True):
        assert (one.worker, one.role, one.policy_version) == (other.worker, other.role, other.policy_version)
        np.testing.assert_allclose(
            [score.logit for score in one.workers], [score.logit for score in other.workers], atol=1e-5, rtol=1e-5
        )


async def test_a_swap_under_load_fails_nobody_and_pins_hold(
    tmp_path: Path, loaded: Backbone, backbone: Path, triton_server: Staged
) -> None:
    settings = through_triton(triton_server, backbone, declare(tmp_path, loaded, "one"), watch_seconds=0.05)
    async with running(settings, registry=CollectorRegistry()) as rpc, open_channel(f"127.0.0.1:{rpc.port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)
        seen: list[str] = []
        wrong = 0
        deadline = time.monotonic() + 90

        async def client(pinned: bool) -> None:
            nonlocal wrong
            while "second" not in seen and time.monotonic() < deadline:
                pin = {"policy_version": "one"} if pinned else {}
                version = (await stub.Route(request("hello", **pin), timeout=60)).decision.policy_version
                if pinned:
                    wrong += version != "one"
                else:
                    seen.append(version)

        async with asyncio.TaskGroup() as group:
            for pinned in (True, False, False):
                group.create_task(client(pinned))
            while len(seen) < 5:
                await asyncio.sleep(0.01)
            declare(tmp_path, loaded, "second", "one", generation=2)
        assert seen[0] == "one"
        assert seen[-1] == "second"
        assert wrong == 0


async def test_long_transcripts_let_short_ones_pass_and_metrics_tell(
    tmp_path: Path, loaded: Backbone, backbone: Path, triton_server: Staged
) -> None:
    """A transcript of 4,000 tokens is computed in pieces: thirty short ones that come later are answered before it."""
    declared = declare(tmp_path, loaded, "one")
    # Many pieces, so that it is under way for long on a machine of any speed.
    settings = through_triton(triton_server, backbone, declared, max_input_tokens=4000, max_step_tokens=32)
    registry = CollectorRegistry()
    order: list[str] = []
    async with running(settings, registry=registry) as rpc, open_channel(f"127.0.0.1:{rpc.port}") as channel:
        stub = router_pb2_grpc.RouterServiceStub(channel)

        def told(name: str) -> float:
            return registry.get_sample_value(f"kubefugu_router_{name}") or 0.0

        async def ask(name: str, text: str) -> router_pb2.Decision:
            decision = (await stub.Route(request(text), timeout=60)).decision
            order.append(name)
            return decision

        steps_before = told("step_sequences_count")
        long = asyncio.create_task(ask("long", "".join(chr(97 + i % 26) + chr(65 + i % 7) for i in range(4000))))
        await until(lambda: told("step_sequences_count") > steps_before, what="its first piece is computed")
        async with asyncio.TaskGroup() as group:
            for i in range(30):
                group.create_task(ask("short", f"short question {i}"))
        assert (await long).input_tokens == 4000
        assert order.count("short") == 30
        assert order[-1] == "long"
        labels = {"policy_version": "one", "kind": "active"}
        assert registry.get_sample_value("kubefugu_router_decisions_total", labels) == 31
        assert told("computed_tokens_total") > 4000
        assert told("step_tokens_sum") > 4000
        assert told("prefix_cache_bytes") > 0
        assert told("policy_sets_applied_total") == 1
        assert told("queue_requests") == 0
        for stage in ("encode", "queue", "engine", "total"):
            assert registry.get_sample_value("kubefugu_router_stage_seconds_count", {"stage": stage}) == 31
