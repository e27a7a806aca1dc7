"""Random edits, crashes between any two writes, duplicated and reordered visits: always the same fixed point, then no write.

Two worlds get the same edits of their users. In one the operator is visited at random, repeatedly, out of order, and dies after
any number of writes; in the other it does its work in peace after every edit. At the end, both must look the same.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from support.fakeapi import CrashError
from support.manifests import routing_policy, training_run, worker_pool
from support.world import NAMESPACE, World, published

from kubefugu_operators.cluster.objects import Body, Ref

POOL, RUN, POLICY = (
    Ref("WorkerPool", NAMESPACE, "pool"),
    Ref("TrainingRun", NAMESPACE, "run"),
    Ref("RoutingPolicy", NAMESPACE, "main"),
)
SECRET = Ref("Secret", NAMESPACE, "keys-of-the-user")
BAD, REFUSED = frozenset({"v2", "v4"}), frozenset({"v5"})
VERSIONS = ("v1", "v2", "v3", "v4", "v5", "v6")


def pool_body(variant: int) -> Body:
    """One of several pools."""
    body = worker_pool()
    body["metadata"]["namespace"] = NAMESPACE
    workers = body["spec"]["workers"]
    if variant in (1, 3):
        workers.append({"name": "m", "model": "x", "managed": {"image": f"image:{variant}", "memory": "1024Mi"}})
    if variant in (2, 3):
        workers[0]["auth"] = {"secretKeyRef": {"name": SECRET.name, "key": "k"}}
    return body


class Pair:
    """The two worlds."""

    def __init__(self) -> None:
        self.tried = World(bad_versions=BAD, refused_versions=REFUSED)
        self.calm = World(bad_versions=BAD, refused_versions=REFUSED)

    def edit(self, change: Any) -> None:
        """The same edit in both; the calm operator works it off."""
        change(self.tried)
        change(self.calm)
        asyncio.run(self.calm.settle())


def edit_object(ref: Ref, change: Any) -> Any:
    """An edit of an object's spec."""

    def apply(world: World) -> None:
        body = copy.deepcopy(world.api.objects.get(ref))
        if body is not None:
            change(body["spec"])
            world.api.put(body)

    return apply


class OperatorMachine(RuleBasedStateMachine):
    """What users and fate do."""

    sequences: ClassVar[int] = 0
    """Sequences that came to their end, both worlds compared."""

    @initialize()
    def begin(self) -> None:
        self.pair = Pair()
        self.published: list[str] = []
        self.pinned = ""
        self.apply_pool(0)
        self.apply_policy()

    # --- users --------------------------------------------------------------------------------------------------------

    @rule(variant=st.integers(0, 3))
    def edit_pool(self, variant: int) -> None:
        self.apply_pool(variant)

    def apply_pool(self, variant: int) -> None:
        """kubectl apply."""
        self.pair.edit(lambda world: world.api.put(pool_body(variant)))

    @rule()
    def delete_pool(self) -> None:
        self.pair.edit(lambda world: world.api.remove(POOL))

    @rule(there=st.booleans(), value=st.sampled_from(["YQ==", "Yg=="]))
    def secret(self, there: bool, value: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET.name, "namespace": NAMESPACE},
            "data": {"k": value},
        }
        self.pair.edit((lambda world: world.api.put(body)) if there else (lambda world: world.api.remove(SECRET)))

    @rule()
    def apply_run(self) -> None:
        body = training_run()
        body["metadata"]["namespace"] = NAMESPACE
        body["spec"]["publish"]["policy"] = "of-runs"
        self.pair.edit(lambda world: world.api.put(body) if RUN not in world.api.objects else None)

    @rule(suspend=st.booleans())
    def suspend_run(self, suspend: bool) -> None:
        self.pair.edit(edit_object(RUN, lambda spec: spec.update(suspend=suspend)))

    @rule()
    def delete_run(self) -> None:
        self.pair.edit(lambda world: world.api.remove(RUN))

    def apply_policy(self) -> None:
        """kubectl apply."""
        body = routing_policy()
        body["metadata"] = {"name": "main", "namespace": NAMESPACE}
        self.pair.edit(lambda world: world.api.put(body) if POLICY not in world.api.objects else None)

    @precondition(lambda self: len(self.published) < len(VERSIONS) and POLICY in self.pair.tried.api.objects)
    @rule()
    def publish(self) -> None:
        version = VERSIONS[len(self.published)]
        if self.published:
            # Nothing could be compared with the first version; bad ones come when one serves, in both worlds. Where a bad one
            # is pinned and the pin goes, the next good one must have taken over in both: bad beside bad is no worse.
            asyncio.run(self.pair.tried.settle() if version in BAD else self.visit_in_peace(POLICY))
        self.published.append(version)
        self.pair.edit(lambda world: world.api.put(published(world.api.objects[POLICY], version)))

    @rule(version=st.sampled_from(["", *VERSIONS]))
    def pin(self, version: str) -> None:
        if version in ("", *self.published):
            # What a canary is compared with decides about it (bad beside bad is no worse): a bad version that a user pins is
            # lived through in both worlds, from the pin to its end.
            lived_through = version in BAD or self.pinned in BAD
            self.pair.edit(edit_object(POLICY, lambda spec: spec.update(pin=version)))
            self.pinned = version
            if lived_through:
                asyncio.run(self.pair.tried.settle())

    # --- fate ---------------------------------------------------------------------------------------------------------

    @rule(key=st.integers(0, 9), crash=st.integers(0, 4), again=st.booleans())
    def visit(self, key: int, crash: int, again: bool) -> None:
        keys = self.pair.tried.keys()
        if keys:
            asyncio.run(self._visit(keys[key % len(keys)], crash, again))

    async def _visit(self, ref: Ref, crash: int, again: bool) -> None:
        api = self.pair.tried.api
        api.crash_after = crash if crash < 4 else None
        try:
            await self.pair.tried.visit(ref)
        except CrashError:
            pass
        finally:
            api.crash_after = None
        if again:
            await self.pair.tried.visit(ref)

    async def visit_in_peace(self, ref: Ref) -> None:
        await self.pair.tried.visit(ref)

    @rule()
    def others_act(self) -> None:
        self.pair.tried.play()

    # --- the end ------------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        asyncio.run(self.pair.tried.settle())
        self.pair.tried.now = self.pair.calm.now = max(self.pair.tried.now, self.pair.calm.now)
        asyncio.run(self.pair.calm.settle())
        assert picture(self.pair.tried) == picture(self.pair.calm)
        OperatorMachine.sequences += 1


def picture(world: World) -> dict[str, Any]:
    """What must be equal: everything but identities, times, and the path that a rollout took."""
    result: dict[str, Any] = {}
    for ref, body in sorted(world.api.objects.items()):
        if ref.kind in ("ConfigMap", "Secret", "Deployment", "Service") and not _of_policy(body):
            if _of_run(body) or "of-runs" in ref.name:
                continue
            result[str(ref)] = {key: value for key, value in body.items() if key in ("data", "binaryData", "spec", "immutable")}
        elif ref == POOL:
            result[str(ref)] = _without_times(body.get("status"))
        elif ref == POLICY:
            status = body.get("status") or {}
            result[str(ref)] = {
                "active": status.get("active"),
                "rollout": status.get("rollout"),
                "routers": status.get("routers"),
            }
            result["conditions"] = {c["type"]: c["status"] for c in status.get("conditions", ())}
        elif ref == RUN and not body["spec"].get("suspend") and POOL in world.api.objects:
            conditions = (body.get("status") or {}).get("conditions", ())
            result[str(ref)] = {c["type"]: (c["status"], c["reason"]) for c in conditions}
    return result


def _of_policy(body: Body) -> bool:
    return "kubefugu.dev/routing-policy" in (body["metadata"].get("labels") or {})


def _of_run(body: Body) -> bool:
    return "kubefugu.dev/run" in (body["metadata"].get("labels") or {})


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_times(item) for key, item in value.items() if key not in ("lastTransitionTime", "observedGeneration")
        }
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _run(examples: int, steps: int) -> None:
    OperatorMachine.sequences = 0
    run_state_machine_as_test(
        OperatorMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    assert OperatorMachine.sequences >= examples


def test_fixed_point() -> None:
    _run(25, 25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fixed_point_of_500_sequences() -> None:
    _run(500, 40)
