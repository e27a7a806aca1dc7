"""A line of trained Conductors that a policy set declares: swapped while planning, with canary, refusal and rollback."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.executors import execute_request, executor_stand, request_id
from support.pools import pool_of, worker
from support.processes import service
from support.tiny_conductor import TASK, WORKERS, teach
from support.upstream import Script, Upstream

from kubefugu.conductor.v1 import conductor_pb2 as pb
from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu.executor.v1 import executor_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_coordination.workflow.planning import PlanningRequest
from kubefugu_core.policy_sets import share_of
from kubefugu_core.rpc import open_channel
from kubefugu_executor.conductor_client import request_of

SWAPPED = 'model_id: [1, 0, 2]\nsubtasks: ["B", "A", "Both"]\naccess_list: [[], [], [0, 1]]'
POOLS_PLAN = 'model_id: [0]\nsubtasks: ["All of it"]\naccess_list: [[]]'
ACTIVE, CANARY, REFUSED = (
    router_pb2.POLICY_STATE_ACTIVE,
    router_pb2.POLICY_STATE_CANARY,
    router_pb2.POLICY_STATE_REFUSED,
)
FEW = next(key for key in map(str, range(100)) if share_of(key) < 30)
MANY = next(key for key in map(str, range(100)) if share_of(key) >= 30)


@dataclass(frozen=True)
class Taught:
    """A base model and two Conductors trained on it, as a mounted folder has them."""

    backbone: Path
    artifacts: dict[str, Path]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    backbone, first = teach(tmp_path_factory.mktemp("first"))
    _, second = teach(tmp_path_factory.mktemp("second"), plan=SWAPPED, backbone=backbone, warm_epochs=80)
    return Taught(backbone, {"c1": first, "c2": second})


class Line:
    """The folder that a Conductor follows, and the Conductor."""

    def __init__(self, folder: Path, taught: Taught) -> None:
        self.folder = folder
        self._taught = taught
        self.target = f"unix:{folder}/conductor.sock"
        self.generation = 0
        channel = open_channel(self.target)
        self.stub = conductor_pb2_grpc.ConductorServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._channel = channel

    def declare(self, active: str, *, canary: tuple[str, float] | None = None, spoil: str = "") -> None:
        """Write a policy set, as the operator's ConfigMap brings it. `spoil`: a version whose bytes are altered."""
        self.generation += 1
        behind = self.folder / f"..{self.generation}"
        behind.mkdir()
        sources = []
        for version in dict.fromkeys((active, *([canary[0]] if canary else []))):
            raw = bytearray(self._taught.artifacts.get(version, self._taught.artifacts["c1"]).read_bytes())
            if version == spoil:
                raw[-1] ^= 1
            (behind / f"{version}.safetensors").write_bytes(raw)
            uri = (self.folder / f"{version}.safetensors").as_uri()
            sources.append({"version": version, "uri": uri, "sha256": hashlib.sha256(raw).hexdigest()})
        document: dict[str, Any] = {"generation": self.generation, "active": active, "sources": sources}
        if canary:
            document["canary"] = {"version": canary[0], "percent": canary[1]}
        (behind / "policy-set.json").write_text(json.dumps(document))
        self._mount(behind)

    def _mount(self, behind: Path) -> None:
        """What a kubelet does with a changed ConfigMap: one link is exchanged, every file is a link through it."""
        fresh = self.folder / "..fresh"
        fresh.symlink_to(behind.name)
        fresh.replace(self.folder / "..data")
        for file in behind.iterdir():
            link = self.folder / file.name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / file.name)

    async def states(self) -> dict[str, int]:
        """State of each version that the Conductor tells of."""
        answer = await self.stub.GetPolicies(pb.GetPoliciesRequest(), timeout=60)
        return {policy.version: policy.state for policy in answer.policies}

    async def becomes(self, **states: int) -> None:
        """Wait until the Conductor tells exactly these states."""
        async with asyncio.timeout(60):
            while await self.states() != states:
                await asyncio.sleep(0.02)

    async def plan(self, conversation: str = "") -> pb.PlanResponse:
        """Ask for the plan of the one task."""
        messages = [{"role": "user", "content": TASK}]
        asked = PlanningRequest(
            messages=messages, workers=WORKERS, max_steps=3, max_output_tokens=120, conversation_key=conversation
        )
        return await self.stub.Plan(request_of(asked), timeout=60)

    async def health(self) -> int:
        """NOT_SERVING, SERVING; 0 while nobody listens."""
        try:
            return int((await self._health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status)
        except grpc.aio.AioRpcError:
            return 0

    async def until_health(self, wanted: int) -> None:
        """Wait for a state of health."""
        async with asyncio.timeout(60):
            while await self.health() != wanted:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def following(line: Line, *, backbone: Path) -> AsyncIterator[None]:
    """A Conductor process over a pool whose only general worker plans POOLS_PLAN."""
    async with Upstream(Script(text=POOLS_PLAN)) as upstream:
        pool = pool_of(worker("general", upstream.url))
        pool_file = line.folder / "pool.json"
        pool_file.write_bytes(pool.model_dump_json(by_alias=True, exclude_none=True).encode())
        flags = ("--pool-file", str(pool_file), "--listen", line.target, "--model", str(backbone), "--threads", "1",
                 "--policy-set-file", str(line.folder / "policy-set.json"), "--watch-seconds", "0.05")  # fmt: skip
        home = {"KUBEFUGU_HOME": str(line.folder / "home")}
        async with service("kubefugu_conductor", *flags, environment=home):
            yield


@pytest.fixture
async def line(tmp_path: Path, taught: Taught) -> AsyncIterator[Line]:
    made = Line(tmp_path, taught)
    yield made
    await made.close()


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_versions_are_swapped_while_planning_and_a_bad_one_changes_nothing(line: Line, taught: Taught) -> None:
    async with following(line, backbone=taught.backbone):
        await line.until_health(SERVING)
        before = await line.plan()
        assert (before.planner, before.policy_version) == ("general", ""), "nothing is declared yet: the pool plans"

        line.declare("c1")
        await line.becomes(c1=ACTIVE)
        first = await line.plan()
        assert (first.planner, first.policy_version) == ("@local", "c1")
        assert [step.worker for step in first.workflow.steps] == ["alpha", "beta", "@join"]

        line.declare("c1", canary=("c2", 30))
        await line.becomes(c1=ACTIVE, c2=CANARY)
        few, many = await asyncio.gather(line.plan(FEW), line.plan(MANY))
        assert (few.policy_version, many.policy_version) == ("c2", "c1")
        assert [step.worker for step in few.workflow.steps] == ["beta", "alpha", "@join"]
        assert [step.worker for step in many.workflow.steps] == ["alpha", "beta", "@join"]

        line.declare("c2")
        await line.becomes(c2=ACTIVE)
        line.declare("c3", spoil="c3")
        await line.becomes(c2=ACTIVE, c3=REFUSED)
        told = await line.stub.GetPolicies(pb.GetPoliciesRequest(), timeout=60)
        assert told.serving_generation == line.generation - 1
        assert "altered" in told.policies[-1].message
        assert (await line.plan()).policy_version == "c2"
        assert await line.health() == SERVING

        line.declare("c1")
        await line.becomes(c1=ACTIVE, c3=REFUSED)
        assert (await line.plan()).workflow == first.workflow, "rolled back, and the base model's weights are as they were"


async def test_a_starting_conductor_is_ready_when_it_plans_as_declared(line: Line, taught: Taught) -> None:
    line.declare("c1", spoil="c1")
    async with following(line, backbone=taught.backbone):
        await line.until_health(NOT_SERVING)
        await line.becomes(c1=REFUSED)
        assert await line.health() == NOT_SERVING
        line.declare("c2")
        await line.until_health(SERVING)
        assert (await line.plan()).policy_version == "c2"


async def test_the_executor_counts_by_version_and_tells_it(line: Line, taught: Taught, tmp_path: Path) -> None:
    line.declare("c1")
    answers = {"alpha-model": "A is 1.", "beta-model": "B is 2."}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(following(line, backbone=taught.backbone))
        await line.until_health(SERVING)
        options = {"conductor_target": line.target, "state_url": f"sqlite:///{tmp_path}/state.db"}
        stand = executor_stand(tmp_path, "alpha", "beta", respond=lambda body: Script(text=answers[body["model"]]), **options)
        executor = await stack.enter_async_context(stand)

        async def ask(task: str, identity: str) -> executor_pb2.Done:
            messages = [{"role": "user", "content": task}]
            request = execute_request(model="fugu-ultra", identity=identity, messages=messages, kubefugu={"max_steps": 3})
            return (await executor.ask(request)).done

        identity = request_id()
        assert (await ask(TASK, identity)).policy_version == "c1"
        record = await executor.decision(identity)
        assert (record["policy_version"], record["workflow"]["plans"][0]["version"]) == ("c1", "c1")
        # Far longer than anything it was trained on: no plan, and the loop answers.
        assert (await ask("Word. " * 3000, request_id())).policy_version != "c1"
        counters = await executor.stub.GetPolicyCounters(executor_pb2.GetPolicyCountersRequest(), timeout=60)
    counted = {entry.policy_version: (entry.requests, entry.failures) for entry in counters.policies}
    assert counted["c1"] == (2, 1)
