"""A planner in the Conductor's own process: a trained artifact serves fugu-ultra through executor, gRPC and real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.executors import execute_request, executor_stand, request_id
from support.pools import CLOCK, pool_of, within, worker
from support.tiny_conductor import TASK, teach, tiny_backbone
from support.upstream import Script

from kubefugu.conductor.v1 import conductor_pb2_grpc
from kubefugu_conductor.local import LocalWriter, load_model, load_writer
from kubefugu_conductor.main import SERVICE
from kubefugu_conductor.planner import PoolPlanner
from kubefugu_conductor.planner_call import PlannerOptions
from kubefugu_conductor.service import ConductorServicer
from kubefugu_conductor.settings import ConductorSettings
from kubefugu_conductor.writers import Writing
from kubefugu_coordination.workers import WorkerSet
from kubefugu_core.errors import ArtifactRefusedError, DataError, DeadlineExceededError, InvalidPlanError
from kubefugu_core.rpc import RpcServer
from kubefugu_routing.causal.artifact import load_conductor, save_conductor
from kubefugu_routing.causal.load import CausalModel

MESSAGES = [{"role": "user", "content": "Plan."}]


def settings(**members: object) -> ConductorSettings:
    return ConductorSettings(pool_file=Path("unused.yaml"), threads=1, **members)


def loaded(**members: object) -> LocalWriter:
    """The planner that these settings give."""
    given = settings(**members)
    model = load_model(given)
    assert model is not None
    return load_writer(model, given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return teach(tmp_path_factory.mktemp("conductor"))


@asynccontextmanager
async def serving(local: LocalWriter) -> AsyncIterator[str]:
    """A Conductor service with this planner; the pool has nobody else who could plan."""
    workers = WorkerSet(pool_of(worker("alpha", "http://127.0.0.1:9/v1", specialist=True)))
    server = RpcServer("127.0.0.1:0", services=[SERVICE])
    planner = PoolPlanner(workers.snapshot, PlannerOptions(max_output_tokens=120), local=lambda _: local)
    conductor_pb2_grpc.add_ConductorServiceServicer_to_server(ConductorServicer(planner, CLOCK), server.grpc)
    await server.start()
    await server.set_serving(True)
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)
        await workers.close()


async def test_a_trained_conductor_by_url_plans_what_the_executor_runs(trained: tuple[Path, Path], tmp_path: Path) -> None:
    backbone, artifact = trained
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    local = loaded(
        model=str(backbone),
        artifact_url=artifact.as_uri(),
        artifact_sha256=digest,
        allowed_uri_prefixes=(artifact.parent.as_uri(),),
    )
    answers = {"alpha-model": "A is 1.", "beta-model": "B is 2."}
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(serving(local))
        options = {"conductor_target": target, "state_url": f"sqlite:///{tmp_path}/state.db"}
        stand = executor_stand(tmp_path, "alpha", "beta", respond=lambda body: Script(text=answers[body["model"]]), **options)
        executor = await stack.enter_async_context(stand)
        identity = request_id()
        messages = [{"role": "user", "content": TASK}]
        answer = await executor.ask(
            execute_request(model="fugu-ultra", identity=identity, messages=messages, kubefugu={"max_steps": 3})
        )
        assert answer.text == "A is 1.\n\nB is 2."
        record = await executor.decision(identity)
    plan = record["workflow"]["plans"][0]
    assert (plan["planner"], plan["repaired"]) == ("@local", False)
    assert [step["worker"] for step in plan["steps"]] == ["alpha", "beta", "@join"]
    assert plan["usage"]["completion_tokens"] > 10


async def test_what_does_not_belong_together_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    backbone, artifact = trained
    other = tiny_backbone(tmp_path / "other")
    (other / "kubefugu-backbone.json").write_text('{"id": "other", "revision": "r2"}')
    with pytest.raises(ArtifactRefusedError, match="trained on"):
        loaded(model=str(other), artifact_url=str(artifact))
    altered = tmp_path / "altered.safetensors"
    raw = bytearray(artifact.read_bytes())
    raw[-1] ^= 1
    altered.write_bytes(raw)
    with pytest.raises(ArtifactRefusedError, match="altered"):
        loaded(model=str(backbone), artifact_url=str(altered))
    older = tmp_path / "older.safetensors"
    save_conductor(older, replace(load_conductor(artifact), prompt_style="sonnets"))
    with pytest.raises(ArtifactRefusedError, match="sonnets"):
        loaded(model=str(backbone), artifact_url=str(older))
    with pytest.raises(DataError, match="sha256"):
        loaded(model=str(backbone), artifact_url=artifact.as_uri())
    with pytest.raises(ArtifactRefusedError, match="prefix"):
        loaded(model=str(backbone), artifact_url="file:///etc/hosts", artifact_sha256="0" * 64)
    with pytest.raises(DataError, match="base model"):
        load_model(settings(artifact_url=str(artifact)))


async def test_sampling_follows_the_seed_and_greedy_needs_none(trained: tuple[Path, Path]) -> None:
    local = loaded(model=str(trained[0]))

    async def write(temperature: float, seed: int | None) -> str:
        writing = Writing(messages=MESSAGES, max_tokens=12, temperature=temperature, seed=seed)
        return (await local.write(writing, deadline=within(30))).text

    assert await write(1.0, 1) == await write(1.0, 1)
    assert await write(1.0, 1) != await write(1.0, 2)
    assert await write(1.0, None) == await write(1.0, None)
    assert await write(0.0, 1) == await write(0.0, 2)


async def test_a_late_or_cancelled_plan_stops_and_frees_the_planner(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = loaded(model=str(trained[0]))
    # No token ends the text, whatever is drawn.
    monkeypatch.setattr(CausalModel, "end_tokens", (-1,))
    endless = Writing(messages=MESSAGES, max_tokens=3500, temperature=1.0, seed=3)
    with pytest.raises(DeadlineExceededError):
        await local.write(endless, deadline=within(0.3))
    task = asyncio.create_task(local.write(endless, deadline=within(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    short = Writing(messages=MESSAGES, max_tokens=2, temperature=0.0, seed=None)
    assert (await local.write(short, deadline=within(30))).usage.completion_tokens <= 2


async def test_a_task_far_longer_than_those_it_was_trained_on_gets_no_plan(trained: tuple[Path, Path]) -> None:
    whole = loaded(model=str(trained[0]), artifact_url=str(trained[1]))
    model = whole._model
    length = len(model.base.encode_chat(MESSAGES))
    trained_for = LocalWriter(model, style=whole.style, longest_prompt_tokens=length, longest_plan_tokens=3)
    writing = Writing(messages=MESSAGES, max_tokens=50, temperature=0.0, seed=None)
    written = await trained_for.write(writing, deadline=within(30))
    assert written.usage.completion_tokens == 6, "twice the length that it was trained for"
    longer = Writing(messages=[{"role": "user", "content": "Plan. " * 3 * length}], max_tokens=50, temperature=0.0, seed=None)
    with pytest.raises(InvalidPlanError, match="trained for at most"):
        await trained_for.write(longer, deadline=within(30))
