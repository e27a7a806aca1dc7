"""The graph: what runs when, what each step sees, what a failure, a wait and a cancellation mean."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import plans
from support.waiting import until

from kubefugu_coordination.workflow.graph import StepOutcome, StepResult, run_graph
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.step_prompt import StepPrompt, VisibleStep
from kubefugu_core.errors import NoWorkerAvailableError

DIAMOND = Plan((Step("a", "s"), Step("b", "l", (0,)), Step("c", "r", (0,)), Step("d", "j", (1, 2))))
FAN_IN = Plan((Step("a", "s0"), Step("b", "s1"), Step("c", "s2"), Step("d", "join", (0, 1, 2))))


class Hand:
    """Does steps by hand: each one waits until the test ends it."""

    def __init__(self, plan: Plan) -> None:
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.visible: dict[int, tuple[VisibleStep, ...]] = {}
        self.ends: dict[int, asyncio.Future[StepResult]] = {}

    async def __call__(self, index: int, visible: tuple[VisibleStep, ...]) -> StepResult:
        self.started.append(index)
        self.visible[index] = visible
        self.ends[index] = asyncio.get_running_loop().create_future()
        try:
            return await self.ends[index]
        except asyncio.CancelledError:
            self.cancelled.append(index)
            raise

    def end(self, index: int, outcome: StepOutcome = StepOutcome.OK) -> None:
        self.ends[index].set_result(StepResult(outcome, f"out {index}"))

    def fail(self, index: int) -> None:
        self.ends[index].set_exception(NoWorkerAvailableError(f"step {index} failed"))

    async def running(self, *indices: int) -> None:
        await until(lambda: sorted(self.started) == sorted(indices), what=f"steps {indices} run, not {self.started}")


async def test_bug_steps_ran_one_after_the_other() -> None:
    """Independent steps run at the same time (published executors run them in sequence)."""
    hand = Hand(FAN_IN)
    run = asyncio.create_task(run_graph(FAN_IN, hand))
    await hand.running(0, 1, 2)
    for index in (2, 0, 1):
        hand.end(index)
    await hand.running(0, 1, 2, 3)
    hand.end(3)
    assert [result.output for _, result in sorted((await run).items())] == ["out 0", "out 1", "out 2", "out 3"]
    assert [step.output for step in hand.visible[3]] == ["out 0", "out 1", "out 2"]


async def test_a_step_waits_for_its_own_inputs_only() -> None:
    plan = Plan((Step("a", "slow"), Step("b", "fast"), Step("c", "after fast", (1,)), Step("d", "join", (0, 2))))
    hand = Hand(plan)
    run = asyncio.create_task(run_graph(plan, hand))
    await hand.running(0, 1)
    hand.end(1)
    await hand.running(0, 1, 2)
    hand.end(2)
    hand.end(0)
    await hand.running(0, 1, 2, 3)
    hand.end(3)
    await run


async def test_a_failed_step_is_told_as_unavailable_and_the_answer_still_comes() -> None:
    hand = Hand(DIAMOND)
    run = asyncio.create_task(run_graph(DIAMOND, hand))
    await hand.running(0)
    hand.end(0)
    await hand.running(0, 1, 2)
    hand.fail(1)
    hand.end(2)
    await hand.running(0, 1, 2, 3)
    assert hand.visible[3] == (VisibleStep("l", None), VisibleStep("r", "out 2"))
    prompt = StepPrompt([{"role": "user", "content": "q"}], hand.visible[3], "j")
    for narrow, position in ((False, -1), (True, -2)):
        told = prompt.messages(narrow=narrow)[position]["content"]
        assert "- l\n(this step failed; its result is not available)\n- r\nout 2" in told
    hand.end(3)
    results = await run
    assert results[1].outcome is StepOutcome.FAILED
    assert isinstance(results[1].error, NoWorkerAvailableError)


async def test_without_its_last_step_a_workflow_has_no_answer() -> None:
    hand = Hand(DIAMOND)
    run = asyncio.create_task(run_graph(DIAMOND, hand, known={i: StepResult(StepOutcome.OK, "x") for i in range(3)}))
    await hand.running(3)
    hand.fail(3)
    with pytest.raises(NoWorkerAvailableError, match="step 3"):
        await run


async def test_a_waiting_step_holds_up_only_what_sees_it() -> None:
    plan = Plan((Step("a", "asks"), Step("b", "goes on"), Step("c", "too", (1,)), Step("d", "join", (0, 2))))
    hand = Hand(plan)
    run = asyncio.create_task(run_graph(plan, hand))
    await hand.running(0, 1)
    hand.end(0, StepOutcome.WAITING)
    hand.end(1)
    await hand.running(0, 1, 2)
    hand.end(2)
    results = await run
    assert {index: result.outcome.value for index, result in results.items()} == {0: "waiting", 1: "ok", 2: "ok"}


async def test_a_resumed_run_does_not_repeat_what_is_known() -> None:
    hand = Hand(DIAMOND)
    known = {0: StepResult(StepOutcome.OK, "zero"), 1: StepResult(StepOutcome.FAILED)}
    run = asyncio.create_task(run_graph(DIAMOND, hand, known=known))
    await hand.running(2)
    assert hand.visible[2] == (VisibleStep("s", "zero"),)
    hand.end(2)
    await hand.running(2, 3)
    hand.end(3)
    await run


async def test_cancelling_the_run_cancels_every_step_under_way() -> None:
    hand = Hand(FAN_IN)
    run = asyncio.create_task(run_graph(FAN_IN, hand))
    await hand.running(0, 1, 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(hand.cancelled) == [0, 1, 2]


async def test_a_defect_is_raised_as_itself_and_stops_the_others() -> None:
    hand = Hand(FAN_IN)
    run = asyncio.create_task(run_graph(FAN_IN, hand))
    await hand.running(0, 1, 2)
    hand.ends[1].set_exception(ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError):
        await run
    assert sorted(hand.cancelled) == [0, 2]


def words(messages: Sequence[dict[str, object]]) -> set[str]:
    return set(" ".join(str(message["content"]) for message in messages).split())


@settings(max_examples=200, deadline=None)
@given(plans(max_steps=7), st.booleans())
def test_a_steps_prompt_contains_nothing_outside_its_access_list(plan: Plan, narrow: bool) -> None:
    """Each step has a secret subtask and a secret output; which secrets a prompt holds is exactly what the access list says."""
    secret = Plan(tuple(Step(s.worker, f"SUB-{i}-SUB", s.access) for i, s in enumerate(plan.steps)))
    conversation = [{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": "QUESTION"}]
    prompts: dict[int, set[str]] = {}

    async def execute(index: int, visible: tuple[VisibleStep, ...]) -> StepResult:
        prompt = StepPrompt(conversation, visible, secret.steps[index].subtask)
        prompts[index] = words(prompt.messages(narrow=narrow))
        return StepResult(StepOutcome.OK, f"OUT-{index}-OUT")

    asyncio.run(run_graph(secret, execute))
    everything = {f"SUB-{i}-SUB" for i in range(len(plan.steps))} | {f"OUT-{i}-OUT" for i in range(len(plan.steps))}
    for index, step in enumerate(plan.steps):
        may = {f"SUB-{index}-SUB"} | {f"{kind}-{seen}-{kind}" for seen in step.access for kind in ("SUB", "OUT")}
        assert prompts[index] & everything == may
        assert {"SYSTEM", "QUESTION"} <= prompts[index]


def test_bug_workers_never_saw_the_question() -> None:
    """The client's conversation is sent whole, images included, whoever the worker is."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
    ]
    prompt = StepPrompt(conversation, [], "Name the animal.")
    model = prompt.messages()
    assert model[0] == conversation[0]
    assert model[1]["content"][:2] == conversation[1]["content"]
    assert model[1]["content"][2] == {"type": "text", "text": "Do only this part now: Name the animal."}
    engine = prompt.messages(narrow=True)
    assert engine[:2] == conversation
    assert engine[-1] == {"role": "user", "content": "Name the animal."}
    assert len(conversation[1]["content"]) == 2, "the client's messages are not changed"


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("last", ["user", "assistant", "tool"])
def test_user_and_assistant_take_turns(narrow: bool, last: str) -> None:
    """Some chat templates refuse two messages of one role in a row."""
    conversation = [{"role": "user", "content": "q"}]
    if last != "user":
        conversation.append({"role": "assistant", "content": "a"})
    if last == "tool":
        conversation.append({"role": "tool", "tool_call_id": "x", "content": "r"})
    prompt = StepPrompt(conversation, [VisibleStep("find", "found")], "go on", "Tools: none.")
    messages = prompt.messages(narrow=narrow)
    roles = [message["role"] for message in messages]
    assert all(one != two for one, two in itertools.pairwise(roles))
    assert roles[-1] == "user"
    if not narrow:
        assert str(messages[-1]["content"]).endswith(
            "Tools: none.\nKnown so far:\n- find\nfound\n\nDo only this part now: go on"
        )
