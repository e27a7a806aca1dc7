"""One workflow of a request: its graph with a worker behind each step, and the workflows that its steps become (recursion)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.loop.calls import TurnResult
from kubefugu_coordination.workflow.context import FlowContext
from kubefugu_coordination.workflow.graph import StepOutcome, StepResult, run_graph
from kubefugu_coordination.workflow.join import join_results
from kubefugu_coordination.workflow.order import chains, share_s
from kubefugu_coordination.workflow.plan import JOIN_WORKER, SELF_WORKER, Plan
from kubefugu_coordination.workflow.state import GraphState, WaitingStep
from kubefugu_coordination.workflow.step import StepCalls, StepTask, Waits
from kubefugu_coordination.workflow.step_prompt import StepPrompt, VisibleStep
from kubefugu_core.errors import KubefuguError


class Flow:
    """Runs a plan over a conversation. `run` once; `answer` holds what the last step's worker replied.

    `answers` is True where the last step's reply is what the client gets: for the request's own workflow, and for one that its
    last step became.
    """

    def __init__(
        self,
        context: FlowContext,
        plan: Plan,
        conversation: Sequence[Mapping[str, Any]],
        *,
        depth: int = 0,
        path: str = "",
        answers: bool = True,
        deadline: Deadline | None = None,
        before: GraphState | None = None,
        tool_results: Mapping[int, Any] | None = None,
    ) -> None:
        self._context = context
        self._plan = plan
        self._conversation = conversation
        self._depth = depth
        self._path = path
        self._answers = answers
        self._deadline = deadline or context.deadline
        self._before = before or GraphState(plan)
        self._tool_results = tool_results or {}
        self._chains = chains([step.access for step in plan.steps])
        self._waiting: dict[int, WaitingStep] = {}
        self.answer: TurnResult | None = None
        self.waiting_message: dict[str, Any] | None = None
        """What the last step's worker said with its tool calls, where it was the one who called them."""

    async def run(self) -> GraphState:
        """Run what is not settled yet; the state says whether anything waits for tools. Raises the last step's error."""
        results = await run_graph(self._plan, self._step, known=self._before.results)
        settled = {index: result for index, result in results.items() if result.outcome is not StepOutcome.WAITING}
        return GraphState(self._plan, settled, self._waiting)

    def output(self, state: GraphState) -> str:
        """Text of the last step; only of a state in which nothing waits."""
        return state.results[self._plan.final].output

    async def _step(self, index: int, visible: tuple[VisibleStep, ...]) -> StepResult:
        context, waited = self._context, self._before.waiting.get(index)
        if waited is None:
            context.meter.admit_step()
        label = f"{self._path}{index}"
        context.running.add(label)
        try:
            failure = None
            if self._plan.steps[index].worker == JOIN_WORKER:
                return await self._join(index, visible)
            if self._plan.steps[index].worker == SELF_WORKER and (waited is None or waited.child is not None):
                try:
                    return await self._recurse(index, visible, waited)
                except KubefuguError as error:
                    if context.streamed:
                        raise
                    # A subtask that can't be planned is still one that a worker can try.
                    failure = error
            return await self._work(index, visible, waited, failure)
        finally:
            context.running.discard(label)

    async def _join(self, index: int, visible: tuple[VisibleStep, ...]) -> StepResult:
        result = await join_results(self._context, visible, step=index, path=self._path)
        if index == self._plan.final:
            self.answer = result
        return StepResult(StepOutcome.OK, result.text, JOIN_WORKER)

    async def _recurse(self, index: int, visible: tuple[VisibleStep, ...], waited: WaitingStep | None) -> StepResult:
        context, path = self._context, f"{self._path}{index}."
        conversation = self._prompt(index, visible).messages()
        before = waited.child if waited is not None else None
        deadline = self._share(index)
        if before is not None:
            plan = before.plan
        else:
            plan = await context.plan(conversation, depth=self._depth + 1, path=path, deadline=deadline)
        final = index == self._plan.final
        below = Flow(
            context,
            plan,
            conversation,
            depth=self._depth + 1,
            path=path,
            answers=self._answers and final,
            deadline=deadline,
            before=before,
            tool_results=self._tool_results,
        )
        state = await below.run()
        if final:
            self.answer, self.waiting_message = below.answer, below.waiting_message
        if state.waiting:
            self._waiting[index] = WaitingStep(SELF_WORKER, child=state)
            return StepResult(StepOutcome.WAITING, worker=SELF_WORKER)
        return StepResult(StepOutcome.OK, below.output(state), SELF_WORKER)

    async def _work(
        self, index: int, visible: tuple[VisibleStep, ...], waited: WaitingStep | None, failure: KubefuguError | None
    ) -> StepResult:
        context, final = self._context, index == self._plan.final
        is_answer = final and self._answers
        transcript = waited.answered(self._tool_results) if waited is not None else ()
        task = StepTask(
            index=index,
            path=self._path,
            planned=waited.worker if waited is not None else self._plan.steps[index].worker,
            prompt=self._prompt(index, visible),
            transcript=transcript,
            is_answer=is_answer,
            deadline=self._share(index),
        )
        calls = StepCalls(context, task)
        if failure is not None:
            calls.failed_before(SELF_WORKER, failure)
        outcome = await calls.run()
        if isinstance(outcome, Waits):
            step = WaitingStep(outcome.worker, (*transcript, outcome.message), outcome.calls)
            self._waiting[index] = step
            if is_answer:
                self.waiting_message, self.answer = outcome.message, outcome.result
            return StepResult(StepOutcome.WAITING, worker=outcome.worker)
        if final:
            self.answer = outcome
        return StepResult(StepOutcome.OK, outcome.text, outcome.worker)

    def _share(self, index: int) -> Deadline:
        """The step's own deadline: its share of the time that is left."""
        return self._deadline.within(share_s(self._deadline.remaining_s(), self._chains[index]))

    def _prompt(self, index: int, visible: tuple[VisibleStep, ...]) -> StepPrompt:
        return StepPrompt(self._conversation, visible, self._plan.steps[index].subtask, self._context.memory)
