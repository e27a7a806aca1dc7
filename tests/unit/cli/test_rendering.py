"""Tables and sentences made from the services' messages."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table

from kubefugu.common.v1 import common_pb2
from kubefugu.conductor.v1 import conductor_pb2
from kubefugu.router.v1 import router_pb2
from kubefugu_cli import explaining, planning, policies, statuses
from kubefugu_cli.stack.refused import refusal


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What was printed, on a wide terminal without colours."""
    sink = io.StringIO()
    console = Console(file=sink, width=200, highlight=False, no_color=True)
    for module in (explaining, planning, policies, statuses):
        monkeypatch.setattr(module, "out", lambda: console)
    return sink.getvalue


def cells(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]  # type: ignore[arg-type]


def explained() -> router_pb2.ExplainResponse:
    decision = router_pb2.Decision(
        policy_version="v2", worker="algebra", role=common_pb2.ROLE_SOLVER, input_tokens=9, engine_ms=12.34
    )
    decision.workers.add(name="algebra", logit=2.0, probability=0.8, trained=True)
    decision.workers.add(name="units", logit=0.5, probability=0.2, trained=True)
    decision.workers.add(name="fresh", probability=0.0, trained=False)
    decision.roles.add(role=common_pb2.ROLE_SOLVER, logit=1.0, probability=0.7)
    reply = router_pb2.ExplainResponse(decision=decision, input_text="user: 2 [+] 2?", input_format="raw", token_ids=range(50))
    reply.rows.add(name="units", logit=0.5)
    reply.rows.add(name="absent", logit=9.0, masked_because="the request does not offer it")
    reply.rows.add(name="algebra", logit=2.0)
    reply.rows.add(name="solver", logit=1.0, role=True)
    reply.others.add(policy_version="v1", worker="units", role=common_pb2.ROLE_SOLVER).workers.add(
        name="units", probability=0.6
    )
    return reply


def test_rows_are_sorted_by_logit_and_say_why_one_cannot_be_chosen() -> None:
    assert cells(explaining.rows_table(explained())) == [
        ["absent", "+9.000", "", "the request does not offer it"],
        ["algebra", "+2.000", "0.8000", ""],
        ["units", "+0.500", "0.2000", ""],
        ["role solver", "+1.000", "0.7000", ""],
        ["fresh", "", "", "no trained row: asked after those that have one"],
    ]


def test_an_explanation_shows_input_tokens_and_other_policies(said: Callable[[], str]) -> None:
    explaining.show(explained())
    text = said()
    assert "algebra (solver, policy v2)" in text
    assert "9 tokens as raw, engine 12.3 ms" in text
    assert "user: 2 [+] 2?" in text
    assert "... and 10 more" in text
    assert "v1" in text


def test_a_decision_without_a_policy_says_so(said: Callable[[], str]) -> None:
    explaining.show(router_pb2.ExplainResponse(decision=router_pb2.Decision(worker="smollm2")))
    assert "smollm2 (no policy)" in said()
    assert "no trained head" in said()


def test_policies_are_listed_with_state_and_reason(said: Callable[[], str]) -> None:
    reply = router_pb2.GetPoliciesResponse(serving_generation=4)
    reply.backbone.id = "SmolLM2"
    reply.policies.add(version="good", state=router_pb2.POLICY_STATE_ACTIVE, workers=["a", "b"], decisions=7)
    reply.policies.add(version="bad", state=router_pb2.POLICY_STATE_REFUSED, reason="ARTIFACT_REFUSED", message="[wrong]")
    policies.show(reply, json_output=False)
    text = said()
    assert "generation 4" in text
    assert "active" in text
    assert "ARTIFACT_REFUSED [wrong]" in text
    assert statuses.policy_line(reply) == "policies: good active, bad refused ([wrong])"
    assert "no trained head" in statuses.policy_line(router_pb2.GetPoliciesResponse())


def test_a_refusal_counts_only_where_nothing_serves() -> None:
    reply = router_pb2.GetPoliciesResponse()
    reply.policies.add(version="bad", state=router_pb2.POLICY_STATE_REFUSED, message="The head has 3 columns.")
    assert refusal(reply) == "The router refuses the policy bad: The head has 3 columns."
    reply.serving_generation = 1
    assert refusal(reply) == ""
    assert refusal(router_pb2.GetPoliciesResponse()) == ""


def test_a_plan_shows_what_each_step_sees(said: Callable[[], str]) -> None:
    reply = conductor_pb2.PlanResponse(planner="big", repaired=True)
    reply.workflow.steps.add(worker="a", subtask="find it")
    reply.workflow.steps.add(worker="b", subtask="check it", access=[0])
    reply.diagnoses.add(code="ID_OUT_OF_RANGE", message="was 9", step=1)
    planning.show(reply, explain=True, json_output=False)
    text = said()
    assert "check it" in text
    assert "planned by big after a repair" in text
    assert "ID_OUT_OF_RANGE: step 1: was 9" in text
