"""Drift, quantities, ownership: what decides whether the operator writes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from support.fakeapi import FakeApi

from kubefugu_operators.cluster.drift import contains, differs, stamped
from kubefugu_operators.cluster.objects import ApiError, Body, Ref
from kubefugu_operators.plan import Plan
from kubefugu_operators.pods import canonical_quantity, merged_env
from kubefugu_operators.runtime.carrier import Carrier, status_differs


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("0.5", "500m"), ("500m", "500m"), ("2000m", "2"), ("2", "2"), ("1.5", "1500m"), ("0", "0"), ("1024Mi", "1Gi"),
        ("1Gi", "1Gi"), ("1536Mi", "1536Mi"), ("1.5Gi", "1536Mi"), ("512Ki", "512Ki"), ("1000M", "1G"), ("1500M", "1500M"),
        ("1000", "1k"),
    ],
)  # fmt: skip
def test_quantities_as_the_api_server_writes_them(given: str, canonical: str) -> None:
    assert canonical_quantity(given) == canonical


@pytest.mark.parametrize(
    ("observed", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"l": [{"name": "x", "v": 1, "defaulted": 2}]}, {"l": [{"name": "x", "v": 1}]}, True),
        ({"l": [{"name": "y"}, {"name": "x", "v": 1}]}, {"l": [{"name": "x", "v": 1}]}, True),
        ({"l": [1, 2]}, {"l": [2, 1]}, False),
        ({"l": [1, 2, 3]}, {"l": [1, 2]}, False),
        ({}, {"e": {}, "n": None, "s": "", "l": []}, True),
        ({"e": {"k": 1}}, {"e": {}}, True),
    ],
)
def test_contains(observed: Any, wanted: Any, same: bool) -> None:
    assert contains(observed, wanted) is same


def _map(**data: str) -> Body:
    owner = {"apiVersion": "v1", "kind": "X", "name": "o", "uid": "u1"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "ns", "ownerReferences": [owner]},
        "data": data,
    }


def test_a_dropped_field_is_drift_too() -> None:
    before = stamped(_map(a="1", b="2"))
    assert not differs(before, before)
    assert differs(stamped(_map(a="1")), before)
    edited = {**before, "data": {"a": "changed by hand", "b": "2"}}
    assert differs(before, edited)


def _carrier() -> tuple[FakeApi, Carrier]:
    api = FakeApi(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    async def release(address: str) -> None:
        raise AssertionError("nothing is released here")

    return api, Carrier(api, release=release)


async def test_second_pass_writes_nothing_and_drift_is_corrected() -> None:
    api, carrier = _carrier()
    plan = Plan(apply=(_map(a="1"),))
    await carrier.carry_out(plan, {})
    assert len(api.writes) == 1
    await carrier.carry_out(plan, {})
    assert len(api.writes) == 1
    stored = api.objects[Ref("ConfigMap", "ns", "c")]
    stored["data"]["a"] = "edited by hand"
    await carrier.carry_out(plan, {})
    assert api.objects[Ref("ConfigMap", "ns", "c")]["data"] == {"a": "1"}


async def test_objects_of_others_are_never_taken_over() -> None:
    api, carrier = _carrier()
    foreign = _map(mine="yes")
    foreign["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "u9"}]
    api.put(foreign)
    refusals = await carrier.carry_out(Plan(apply=(_map(a="1"),)), {})
    assert refusals == {Ref("ConfigMap", "ns", "c"): "ConfigMap ns/c exists and belongs to Other x"}
    assert api.objects[Ref("ConfigMap", "ns", "c")]["data"] == {"mine": "yes"}


async def test_nothing_is_created_on_top_of_what_belongs_to_others() -> None:
    api, carrier = _carrier()
    api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ns"}, "data": {}})
    second = _map(b="2")
    second["metadata"] = {**second["metadata"], "name": "d"}
    refusals = await carrier.carry_out(Plan(create=(_map(a="1"), second)), {})
    assert list(refusals) == [Ref("ConfigMap", "ns", "c")]
    assert api.writes == []


@pytest.mark.parametrize("status", [400, 403, 413, 422])
async def test_what_will_never_be_accepted_is_a_refusal(status: int) -> None:
    api, carrier = _carrier()
    ref = Ref("ConfigMap", "ns", "c")
    api.refuse[ref] = ApiError(status, "X", "exceeded quota")
    assert "exceeded quota" in (await carrier.carry_out(Plan(apply=(_map(a="1"),)), {}))[ref]


@pytest.mark.parametrize("status", [0, 409, 429, 500, 503])
async def test_what_may_pass_later_is_raised(status: int) -> None:
    api, carrier = _carrier()
    api.refuse[Ref("ConfigMap", "ns", "c")] = ApiError(status, "X", "later")
    with pytest.raises(ApiError, match="later"):
        await carrier.carry_out(Plan(apply=(_map(a="1"),)), {})


def test_conditions_of_others_are_not_drift() -> None:
    ours = {"type": "Ready", "status": "True"}
    foreign = {"type": "example.com/Approved", "status": "True"}
    wanted = {"active": "v1", "conditions": [ours]}
    assert not status_differs({"active": "v1", "conditions": [ours, foreign]}, wanted)
    assert status_differs({"active": "v1", "gone": 1, "conditions": [ours]}, wanted)
    assert status_differs({}, wanted)


def test_later_environment_wins() -> None:
    merged = merged_env(
        [{"name": "HOME", "value": "/tmp"}], [{"name": "HOME", "value": "/models"}, {"name": "X", "value": "1"}]
    )
    assert merged == [{"name": "HOME", "value": "/models"}, {"name": "X", "value": "1"}]
