"""Queue, observations, freshness, engine: the parts with time in them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.fakeapi import FakeApi

from kubefugu_operators.cluster.objects import ApiError, Body, Ref
from kubefugu_operators.main import pod_defaults
from kubefugu_operators.names import owner_label
from kubefugu_operators.plan import Plan, Refusals
from kubefugu_operators.runtime.engine import Engine
from kubefugu_operators.runtime.freshness import Freshness
from kubefugu_operators.runtime.metrics import Metrics
from kubefugu_operators.runtime.observations import Observations
from kubefugu_operators.runtime.queue import WorkQueue
from kubefugu_operators.runtime.watching import owners
from kubefugu_operators.settings import OperatorSettings

A, B = Ref("WorkerPool", "ns", "a"), Ref("WorkerPool", "ns", "b")


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_queue_folds_duplicates_and_works_a_key_once_at_a_time() -> None:
    queue = WorkQueue(clock=Clock())
    for _ in range(3):
        queue.add(A)
    assert len(queue) == 1
    assert await queue.get() == A
    queue.add(A)
    queue.add(B)
    assert await queue.get() == B
    assert len(queue) == 0
    queue.done(A)
    assert await queue.get() == A


async def test_queue_takes_what_somebody_waits_for_first_but_not_always() -> None:
    queue = WorkQueue(clock=Clock())
    waiting = [Ref("WorkerPool", "ns", f"w{number}") for number in range(3)]
    edited = [Ref("WorkerPool", "ns", f"e{number}") for number in range(8)]
    for key in (*waiting, *edited):
        queue.add(key)
    for key in edited:
        queue.add(key, hasty=True)
        queue.add(key)
    assert len(queue) == 11
    order = [(await queue.get()).name for _ in range(11)]
    assert order == ["e0", "e1", "e2", "w0", "e3", "e4", "e5", "w1", "e6", "e7", "w2"]
    queue.add(waiting[0])
    queue.add(edited[0])
    queue.add(edited[0], hasty=True)
    for key in (waiting[0], edited[0], *edited[1:]):
        queue.done(key)
    assert await queue.get() == edited[0], "an edit during a pass keeps its haste"
    assert await queue.get() == waiting[0]


async def test_queue_delays_and_backs_off() -> None:
    clock = Clock()
    queue = WorkQueue(clock=clock)
    assert [queue.failed(A) for _ in range(4)] == [0.5, 1.0, 2.0, 4.0]
    queue.forget(A)
    assert queue.failed(A) == 0.5
    queue.add_after(B, 10)
    queue.add_after(B, 100)
    clock.now = 0.6
    assert await queue.get() == A
    clock.now = 10.0
    assert await queue.get() == B
    assert queue.delayed == 0


async def test_queue_wakes_for_an_earlier_time() -> None:
    queue = WorkQueue(clock=asyncio.get_running_loop().time)
    queue.add_after(A, 60)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after(B, 0.01)
    async with asyncio.timeout(5):
        assert await waiting == B


class Seen:
    """What a reconciler of a test observed."""

    children: Mapping[Ref, Body] = {}


class Failing:
    """Fails for one object, and is slow with another one."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        self.gate = asyncio.Event()

    async def observe(self, body: Body) -> Seen:
        name = body["metadata"]["name"]
        self.visits.append(name)
        if name == "broken":
            raise ApiError(500, "X", "always")
        if name == "slow":
            await self.gate.wait()
        return Seen()

    def decide(self, observed: Seen, refusals: Refusals) -> Plan:
        return Plan(requeue_after_s=None)

    def forget(self, ref: Ref) -> None:
        self.visits.append(f"forgotten {ref.name}")


def _engine(reconciler: Any, queue: WorkQueue, metrics: Metrics) -> tuple[FakeApi, Engine]:
    api = FakeApi(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    async def release(address: str) -> None:
        raise AssertionError

    return api, Engine(api=api, queue=queue, reconcilers={"WorkerPool": reconciler}, metrics=metrics, release=release)


def _pool(name: str) -> Body:
    return {
        "apiVersion": "kubefugu.dev/v1alpha1",
        "kind": "WorkerPool",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {},
    }


async def test_a_broken_and_a_slow_object_delay_no_other() -> None:
    queue, metrics, reconciler = WorkQueue(clock=asyncio.get_running_loop().time), Metrics(), Failing()
    api, engine = _engine(reconciler, queue, metrics)
    names = ["broken", "slow", *(f"good-{number}" for number in range(50))]
    for name in names:
        api.put(_pool(name))
        queue.add(Ref("WorkerPool", "ns", name))
    queue.add(Ref("WorkerPool", "ns", "deleted"))
    running = asyncio.create_task(engine.run(workers=2))
    async with asyncio.timeout(5):
        while not {*names[2:], "forgotten deleted"} <= set(reconciler.visits):
            await asyncio.sleep(0.005)
    reconciler.gate.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    text = metrics.render().decode()
    assert 'kubefugu_operator_reconcile_total{kind="WorkerPool",outcome="ok"}' in text
    assert 'kubefugu_operator_reconcile_total{kind="WorkerPool",outcome="api_error"}' in text


async def test_a_fault_of_the_operator_itself_is_told_in_the_summary() -> None:
    class Crashing(Failing):
        def decide(self, observed: Seen, refusals: Refusals) -> Plan:
            raise TypeError("no such thing")

    queue, reconciler = WorkQueue(clock=asyncio.get_running_loop().time), Crashing()
    api, engine = _engine(reconciler, queue, Metrics())
    kept = {"type": "Configured", "status": "True", "reason": "Configured"}
    api.put({**_pool("good"), "status": {"readyWorkers": "1/1", "conditions": [kept]}})
    queue.add(Ref("WorkerPool", "ns", "good"))
    running = asyncio.create_task(engine.run(workers=1))
    async with asyncio.timeout(5):
        while len(reconciler.visits) < 2:
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    status = api.objects[Ref("WorkerPool", "ns", "good")]["status"]
    assert status["readyWorkers"] == "1/1"
    first, summary = status["conditions"]
    assert first == kept
    assert (summary["type"], summary["status"], summary["reason"]) == ("Ready", "Unknown", "InternalError")
    assert "no such thing" in summary["message"]


async def test_observations_tell_changes_once() -> None:
    answers = {"t1": 1, "t2": 1}
    told: list[Ref] = []
    asked: list[str] = []

    async def ask(target: str) -> int:
        asked.append(target)
        return answers[target]

    seen: Observations[str, int] = Observations(ask, interval_s=0.01, on_change=told.append, changed=lambda a, b: a != b)
    seen.watch(A, {"x": "t1", "y": "t2"})
    async with asyncio.timeout(5):
        while len(asked) < 8:
            await asyncio.sleep(0.005)
    assert seen.answers(A) == {"x": 1, "y": 1}
    assert told == [A]
    answers["t1"] = 2
    async with asyncio.timeout(5):
        while len(told) < 2:
            await asyncio.sleep(0.005)
    assert seen.answers(A)["x"] == 2
    seen.watch(A, {"x": "t1"})
    assert set(seen.answers(A)) == {"x"}
    seen.forget(A)
    assert seen.answers(A) == {}
    await seen.close()


async def test_observations_are_bounded_and_a_hanging_target_delays_no_other_owner() -> None:
    running, most = 0, 0
    hang = asyncio.Event()

    async def ask(target: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if target == "hangs":
            await hang.wait()
        running -= 1
        return target

    seen: Observations[str, str] = Observations(
        ask, interval_s=60, on_change=lambda ref: None, changed=lambda a, b: a != b, max_in_flight=2
    )
    seen.watch(A, {"x": "hangs"})
    seen.watch(B, {str(number): f"fine-{number}" for number in range(20)})
    async with asyncio.timeout(5):
        while len(seen.answers(B)) < 20:
            await asyncio.sleep(0.005)
    assert most <= 2
    await seen.close()


def _freshness(clock: Clock) -> Freshness:
    return Freshness(clock=clock, wall=lambda: 1000.0 + clock.now, grace_s=60, metrics=Metrics())


def _listed(version: str) -> Body:
    return {**_pool("a"), "metadata": {"name": "a", "namespace": "ns", "resourceVersion": version}}


def test_watch_that_misses_an_object_is_dead_after_the_grace() -> None:
    clock = Clock()
    freshness = _freshness(clock)
    freshness.seen(A, "5")
    clock.now = 10
    freshness.listed("WorkerPool", [_listed("5")], began=10)
    assert freshness.dead() == ""
    freshness.listed("WorkerPool", [_listed("9")], began=10)
    clock.now = 69
    assert freshness.dead() == ""
    clock.now = 71
    assert "no event for WorkerPool ns/a" in freshness.dead()
    freshness.seen(A, "9")
    assert freshness.dead() == ""


def test_event_that_overtook_the_listing_proves_the_watch() -> None:
    clock = Clock()
    freshness = _freshness(clock)
    clock.now = 20
    freshness.seen(A, "12")
    freshness.listed("WorkerPool", [_listed("11")], began=19)
    clock.now = 500
    assert freshness.dead() == ""


def test_deleted_objects_are_not_missed() -> None:
    clock = Clock()
    freshness = _freshness(clock)
    freshness.listed("WorkerPool", [_listed("1")], began=0)
    freshness.listed("WorkerPool", [], began=50)
    clock.now = 500
    assert freshness.dead() == ""


def test_owners_of_an_event() -> None:
    reference = {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "TrainingRun", "name": "r", "uid": "u"}
    foreign = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "u"}
    labels = {owner_label("RoutingPolicy"): "main"}
    found = set(owners("ns", {"ownerReferences": [reference, foreign], "labels": labels}))
    assert found == {Ref("TrainingRun", "ns", "r"), Ref("RoutingPolicy", "ns", "main")}


def test_additions_to_the_pods_of_runs_may_be_left_empty(tmp_path: Path) -> None:
    """What the chart's template renders where its values are empty."""
    file = tmp_path / "pod.yaml"
    file.write_text("user: 7\ninitContainers:\nvolumes: [{name: models, emptyDir: {}}]\npod:\n")
    found = pod_defaults(OperatorSettings(trainer_pod_file=file))
    assert (found.user, found.init_containers, found.pod) == (7, (), {})
    assert found.volumes == ({"name": "models", "emptyDir": {}},)


async def test_first_answers_are_awaited_after_a_start() -> None:
    release = asyncio.Event()

    async def ask(target: str) -> int:
        await release.wait()
        return 1

    seen: Observations[str, int] = Observations(ask, interval_s=60, on_change=lambda _: None, changed=lambda a, b: a != b)
    assert not seen.unanswered(A), "nothing is asked: there is nothing to wait for"
    seen.watch(A, {"x": "t"})
    assert seen.unanswered(A)
    release.set()
    async with asyncio.timeout(5):
        while seen.unanswered(A):
            await asyncio.sleep(0.005)
    assert seen.answers(A) == {"x": 1}
    await seen.close()
