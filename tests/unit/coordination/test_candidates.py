"""The order in which workers are asked."""

from __future__ import annotations

from support.pools import pool_of, worker
from support.routers import decide

from kubefugu_coordination.loop.candidates import affordable, candidates, offers, without_router
from kubefugu_core.pool import Role, WorkerSpec

POOL = pool_of(
    worker("a", "http://h/v1"),
    worker("b", "http://h/v1", roles=["verifier"]),
    worker("c", "http://h/v1", fallback=True),
    worker("d", "http://h/v1", prices={"inputPerMillionTokens": "1000000"}),
).spec.workers


def names(specs: list[WorkerSpec]) -> list[str]:
    return [spec.name for spec in specs]


def test_the_decisions_order_with_fallbacks_last() -> None:
    assert names(candidates(decide("d", order=("c", "a")), Role.SOLVER, POOL)) == ["d", "a", "c"]


def test_a_fallback_worker_that_is_chosen_comes_first() -> None:
    assert names(candidates(decide("c", order=("a", "d")), Role.SOLVER, POOL)) == ["c", "a", "d"]


def test_only_workers_that_may_take_the_role() -> None:
    assert names(candidates(decide("b", order=("a", "c")), Role.SOLVER, POOL)) == ["a", "c"]
    assert names(candidates(decide("b", order=("a", "c")), Role.VERIFIER, POOL)) == ["b", "a", "c"]


def test_a_decision_that_names_nobody_of_use_leaves_the_pools_order() -> None:
    assert names(candidates(decide("b"), Role.SOLVER, POOL)) == ["a", "c", "d"]


def test_offers_mask_workers_and_roles_together() -> None:
    assert [(offer.name, offer.roles) for offer in offers(POOL[:2], (Role.SOLVER,))] == [("a", (Role.SOLVER,))]
    assert [offer.roles for offer in offers(POOL[1:2], tuple(Role))] == [(Role.VERIFIER,)]


def test_without_a_router_the_declared_fallbacks_or_the_only_worker() -> None:
    assert names(without_router(POOL)) == ["c"]
    assert names(without_router(POOL[:1])) == ["a"]
    assert names(without_router([POOL[0], POOL[3]])) == []


def test_what_cannot_be_paid_is_left_out() -> None:
    everyone = list(POOL)
    assert names(affordable(everyone, left_usd=None, prompt_tokens=10, completion_tokens=0)) == ["a", "b", "c", "d"]
    assert names(affordable(everyone, left_usd=5.0, prompt_tokens=10, completion_tokens=0)) == ["a", "b", "c"]
