from __future__ import annotations

import numpy as np
import pytest

from kubefugu_core.errors import InternalError, InvalidRequestError
from kubefugu_core.pool import Role
from kubefugu_routing.selection import Offer, Sampling, masked_because, select

ROWS = [("a", "ma"), ("b", "mb"), ("c", "mc")]
ALL = [Offer(n, m) for n, m in ROWS]
WORKERS_ONLY = np.array([1.0, 3.0, 2.0])
WITH_ROLES = np.array([1.0, 3.0, 2.0, 0.5, -1.0, 4.0])


def names(selection: object) -> list[str]:
    return [w.name for w in selection.workers]  # type: ignore[attr-defined]


def test_argmax_and_failover_order() -> None:
    got = select(WORKERS_ONLY, ROWS, has_roles=False, offers=ALL)
    assert (got.worker, got.role, names(got)) == ("b", Role.SOLVER, ["b", "c", "a"])
    assert got.roles == ()
    assert sum(w.probability for w in got.workers) == pytest.approx(1)


def test_roles_are_an_independent_softmax() -> None:
    got = select(WITH_ROLES, ROWS, has_roles=True, offers=ALL)
    assert (got.worker, got.role) == ("b", Role.VERIFIER)
    exp = np.exp(WITH_ROLES[3:])
    assert [r.role for r in got.roles] == [Role.VERIFIER, Role.SOLVER, Role.THINKER]
    assert got.roles[0].probability == pytest.approx(exp[2] / exp.sum())


def test_offers_may_come_in_any_order_rows_go_by_name() -> None:
    assert select(WORKERS_ONLY, ROWS, has_roles=False, offers=ALL[::-1]).worker == "b"


def test_a_worker_that_is_not_offered_is_never_chosen() -> None:
    got = select(WORKERS_ONLY, ROWS, has_roles=False, offers=[ALL[0], ALL[2]])
    assert (got.worker, names(got)) == ("c", ["c", "a"])
    assert sum(w.probability for w in got.workers) == pytest.approx(1)


def test_more_offers_than_rows_are_never_wrapped_around() -> None:
    offers = [*ALL, Offer("d", "md"), Offer("e", "me")]
    got = select(WORKERS_ONLY, ROWS, has_roles=False, offers=offers)
    assert names(got) == ["b", "c", "a", "d", "e"]
    assert [w.trained for w in got.workers] == [True, True, True, False, False]
    assert got.workers[3].logit is None
    assert got.workers[3].probability == 0


def test_a_row_trained_for_another_model_is_not_used() -> None:
    got = select(WORKERS_ONLY, ROWS, has_roles=False, offers=[Offer("b", "other"), ALL[0]])
    assert (got.worker, names(got)) == ("a", ["a", "b"])
    assert masked_because(ROWS, [Offer("b", "other"), ALL[0]]) == {"b": "trained for mb, now other", "c": "not offered"}


def test_without_any_trained_worker_the_first_offered_is_taken() -> None:
    got = select(WORKERS_ONLY, ROWS, has_roles=False, offers=[Offer("x", "1"), Offer("y", "2")])
    assert (got.worker, names(got)) == ("x", ["x", "y"])
    assert got.workers[0].probability == 1


def test_roles_are_masked_jointly_with_workers() -> None:
    # b is best and verifier is best, but b may not verify: the best allowed pair is (c, verifier), not (b, anything).
    offers = [ALL[0], Offer("b", "mb", frozenset({Role.SOLVER, Role.THINKER})), ALL[2]]
    got = select(WITH_ROLES, ROWS, has_roles=True, offers=offers)
    assert (got.worker, got.role) == ("c", Role.VERIFIER)
    assert names(got) == ["c", "a", "b"], "who may take the role comes before who may not"


def test_the_joint_choice_is_the_best_allowed_pair() -> None:
    rng = np.random.default_rng(0)
    roles = list(Role)
    for _ in range(300):
        logits = rng.normal(size=6)
        offers = [Offer(n, m, frozenset(r for r in roles if rng.random() < 0.5) or frozenset({roles[0]})) for n, m in ROWS]
        got = select(logits, ROWS, has_roles=True, offers=offers)
        pairs = {(o.name, r): logits[i] + logits[3 + j] for i, o in enumerate(offers) for j, r in enumerate(roles) if o.may(r)}
        assert pairs[(got.worker, got.role)] == max(pairs.values())


def test_without_role_rows_only_solvers_are_candidates() -> None:
    offers = [Offer("b", "mb", frozenset({Role.VERIFIER})), ALL[0]]
    assert select(WORKERS_ONLY, ROWS, has_roles=False, offers=offers).worker == "a"
    with pytest.raises(InvalidRequestError, match="role"):
        select(WORKERS_ONLY, ROWS, has_roles=False, offers=offers[:1])


def test_sampling_is_the_request_s_own() -> None:
    draws = [select(WITH_ROLES, ROWS, has_roles=True, offers=ALL, sampling=Sampling(1.0, seed)) for seed in range(4000)]
    again = [select(WITH_ROLES, ROWS, has_roles=True, offers=ALL, sampling=Sampling(1.0, seed)) for seed in range(4000)]
    assert draws == again
    expected = np.exp(WITH_ROLES[:3]) / np.exp(WITH_ROLES[:3]).sum()
    for i, (name, _) in enumerate(ROWS):
        assert np.mean([d.worker == name for d in draws]) == pytest.approx(expected[i], abs=0.03)
    joint = np.mean([d.worker == "b" and d.role is Role.VERIFIER for d in draws])
    independent = np.mean([d.worker == "b" for d in draws]) * np.mean([d.role is Role.VERIFIER for d in draws])
    assert joint == pytest.approx(independent, abs=0.02)


def test_sampling_does_not_touch_the_shared_generator() -> None:
    np.random.seed(7)
    before = np.random.get_state()[1].tolist()
    select(WITH_ROLES, ROWS, has_roles=True, offers=ALL, sampling=Sampling(1.0, 1))
    assert np.random.get_state()[1].tolist() == before


def test_sampling_never_leaves_the_mask() -> None:
    offers = [ALL[0], Offer("b", "mb", frozenset({Role.SOLVER}))]
    for seed in range(200):
        got = select(WITH_ROLES, ROWS, has_roles=True, offers=offers, sampling=Sampling(5.0, seed))
        assert got.worker in ("a", "b")
        assert got.worker != "b" or got.role is Role.SOLVER
        assert names(got)[0] == got.worker


def test_bad_inputs() -> None:
    with pytest.raises(InvalidRequestError, match="At least one"):
        select(WORKERS_ONLY, ROWS, has_roles=False, offers=[])
    with pytest.raises(InvalidRequestError, match="twice"):
        select(WORKERS_ONLY, ROWS, has_roles=False, offers=[ALL[0], ALL[0]])
    with pytest.raises(InternalError, match="finite"):
        select(np.array([1.0, np.nan, 2.0]), ROWS, has_roles=False, offers=ALL)
    with pytest.raises(InternalError, match="Expected 6"):
        select(WORKERS_ONLY, ROWS, has_roles=True, offers=ALL)
