"""The loop's state machine: each rule of ALGORITHMS.md section 2 that needs no worker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kubefugu_coordination.events import RoleSource, StopReason
from kubefugu_coordination.loop.state import ALL_ROLES, LoopRules, LoopState
from kubefugu_core.pool import Role

S, T, V = Role.SOLVER, Role.THINKER, Role.VERIFIER
ADVICE = "<suggestion>do this</suggestion><suggested_role>{}</suggested_role>"


def begun(*, turns: int = 5, training: bool = False) -> LoopState:
    state = LoopState(LoopRules(max_turns=turns, verifier_without_response_ends=training))
    state.begin_turn()
    return state


def test_every_role_is_offered_in_an_open_turn() -> None:
    assert begun().offered_roles() == ALL_ROLES


def test_a_verifier_picked_before_any_response_becomes_a_solver_turn() -> None:
    assert begun().role_for(V) == (S, RoleSource.NO_RESPONSE_YET)


def test_in_training_a_verifier_picked_before_any_response_ends_the_episode() -> None:
    state = begun(training=True)
    assert state.role_for(V) is None
    assert state.ended_without_response


def test_the_suggested_role_overrides_the_next_role_once() -> None:
    state = begun()
    state.solved("an answer")
    state.begin_turn()
    assert state.advised(ADVICE.format("verifier")) is not None
    state.begin_turn()
    assert state.offered_roles() == (V,)
    assert state.role_for(S) == (V, RoleSource.THINKER)
    assert not state.judged("REJECT")
    state.begin_turn()
    assert state.offered_roles() == ALL_ROLES
    assert state.role_for(T) == (T, RoleSource.POLICY)


def test_a_suggested_verifier_before_any_response_becomes_a_solver_turn() -> None:
    state = begun()
    state.advised(ADVICE.format("verifier"))
    state.begin_turn()
    assert state.offered_roles() == (S,)
    assert state.role_for(S) == (S, RoleSource.NO_RESPONSE_YET)


def test_a_suggestion_lasts_one_turn() -> None:
    state = begun()
    state.advised(ADVICE.format("solver"))
    state.begin_turn()
    assert state.suggestion is not None
    state.solved("x")
    assert state.suggestion is None


def test_a_verifier_that_accepts_stops_the_loop() -> None:
    state = begun()
    state.solved("x")
    state.begin_turn()
    assert state.judged("**ACCEPT**")
    assert state.stop is StopReason.ACCEPTED


def test_after_k_turns_the_latest_solver_response_is_the_answer() -> None:
    state = begun(turns=3)
    state.solved("first")
    state.begin_turn()
    state.judged("REJECT")
    state.begin_turn()
    state.solved("second")
    assert state.stop is StopReason.MAX_TURNS
    assert state.response == "second"


def test_a_rejection_in_the_last_turn_stops_too() -> None:
    state = begun(turns=2)
    state.solved("first")
    state.begin_turn()
    assert not state.judged("REJECT")
    assert (state.stop, state.response) == (StopReason.MAX_TURNS, "first")


def test_a_thinkers_analysis_is_never_the_answer() -> None:
    state = begun(turns=2)
    state.advised("My analysis is the answer: 42.")
    assert state.response is None
    assert state.thoughts == []
    state.begin_turn()
    assert state.offered_roles() == (S,)
    assert state.role_for(T) == (S, RoleSource.ONLY_TURN)


def test_a_thinker_is_not_offered_in_the_last_turn() -> None:
    state = begun(turns=2)
    state.solved("x")
    state.begin_turn()
    assert state.offered_roles() == (S, V)


def test_the_only_turn_solves() -> None:
    state = begun(turns=1)
    assert state.offered_roles() == (S,)
    assert state.role_for(S) == (S, RoleSource.ONLY_TURN)
    state.solved("x")
    assert state.stop is StopReason.SINGLE_TURN


def test_a_policy_without_roles_takes_one_turn() -> None:
    state = begun()
    state.policy_has_no_roles()
    assert state.is_last_turn
    state.solved("x")
    assert state.stop is StopReason.SINGLE_TURN


def test_tool_calls_of_a_solver_stop_the_loop() -> None:
    state = begun()
    state.solved("", calls_tools=True)
    assert state.stop is StopReason.TOOL_CALLS


def test_thoughts_are_collected_in_order() -> None:
    state = begun()
    state.solved("<idea>one</idea> answer")
    state.begin_turn()
    state.solved("two")
    assert state.thoughts == ["one", "two"]
    assert state.response == "two"


REPLIES = st.sampled_from(
    ["ACCEPT", "REJECT", "hm", "", "<idea>i</idea>", ADVICE.format("solver"), ADVICE.format("verifier"), "<suggestion>x"]
)


@given(turns=st.integers(1, 6), routed=st.lists(st.tuples(st.sampled_from(ALL_ROLES), REPLIES), min_size=6, max_size=6))
def test_any_router_and_any_replies_end_with_a_solver_response(turns: int, routed: list[tuple[Role, str]]) -> None:
    state = LoopState(LoopRules(max_turns=turns))
    responses = []
    for choice, reply in routed:
        if state.stop is not None:
            break
        state.begin_turn()
        offered = state.offered_roles()
        decided = state.role_for(choice if choice in offered else offered[0])
        assert decided is not None
        role, _ = decided
        if role is S:
            state.solved(reply)
            responses.append(reply)
        elif role is T:
            state.advised(reply)
        else:
            assert state.response is not None, "a verifier had nothing to verify"
            state.judged(reply)
    assert state.stop is not None
    assert state.turn <= turns
    assert responses
    assert state.response == responses[-1]
