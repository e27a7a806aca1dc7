"""What a planner is asked, the same in serving and in training (Conductor, arXiv 2512.04388, section 3).

Few-shot examples are turns of the conversation and bring their own small pools, so that no example favours a worker id of the
offered pool. They name no tools: a tool name in an example is an answer given away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kubefugu_coordination.workflow.diagnosis import Diagnosis, describe
from kubefugu_coordination.workflow.offer import JOIN, OfferedWorker, describe_briefly, describe_workers
from kubefugu_coordination.workflow.plan import DEFAULT_MAX_STEPS, JOIN_WORKER, Plan, Step, render_lists
from kubefugu_coordination.workflow.step_lines import render_step_lines
from kubefugu_coordination.workflow.transcript import task_text


class PlanFormat(StrEnum):
    """How the planner writes its three lists; the reader takes both."""

    LISTS = "lists"
    """Three labelled lines."""
    JSON = "json"
    """One object, for decoding under a schema."""


class PromptStyle(StrEnum):
    """How much a planner is told."""

    FULL = "full"
    """Rules, the workers with all that is known of them, solved examples: for a general language model."""
    STEPS = "steps"
    """One sentence, one short line a worker, the user's last message; answered with one line a step (`step_lines.py`): for a
    planner that was trained on this form."""


_RULES = """You plan how a team of workers answers a task. You do not answer the task yourself.
Split the task into subtasks and give each one to the worker that is best at it.
Write three lists of equal length, one entry for each step:
{lists}
Rules:
- Every worker also sees the whole task. It sees nothing else but the results in its access list.
- Only the result of the last step is shown to the user. If several steps find parts of it, one more step puts them together.
- A worker that reads nothing but its subtask cannot use results, so its access list is empty.
- Steps that do not need each other run at the same time.
- Use as few steps as possible, at most {max_steps}. One step is right for a task that one worker can do.
- {output}"""
_STEPS_RULES = 'Plan the task for the workers, in at most {max_steps} lines: "subtask" -> worker, and all where it sees them.'
_SUBTASKS = "- subtasks: what the worker is told to do, as text that can be understood without the plan."
_ACCESS = '- access_list: the numbers of the earlier steps whose results the step sees, or "all". The first step is number 0.'
_LISTS = {
    PlanFormat.LISTS: f"- model_id: the number of the worker that does the step.\n{_SUBTASKS}\n{_ACCESS}",
    PlanFormat.JSON: f"{_SUBTASKS}\n- workers: the name of the worker that does the step.\n{_ACCESS}",
}
_OUTPUT = {
    PlanFormat.LISTS: "Write the three lists, each on a line of its own after its name and a colon, and nothing else.",
    PlanFormat.JSON: "Write one JSON object with the keys subtasks, workers and access_list, and nothing else.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """A solved planning task."""

    workers: tuple[OfferedWorker, ...]
    task: str
    plan: Plan


EXAMPLES: tuple[Example, ...] = (
    Example(
        (
            OfferedWorker("translator", "Translates between languages."),
            OfferedWorker("chemist", "Answers questions about elements and reactions."),
            OfferedWorker("writer", "Writes and rewrites texts."),
            OfferedWorker("historian", "Knows dates and people of history."),
            OfferedWorker("cook", "Knows dishes and their ingredients."),
        ),
        "Who first isolated tungsten, and what is its symbol?",
        Plan(
            (
                Step("historian", "Who first isolated tungsten?"),
                Step("chemist", "What is the symbol of tungsten?"),
                Step("writer", "Answer both questions: who first isolated tungsten, and what is its symbol?", (0, 1)),
            )
        ),
    ),
    Example(
        (
            OfferedWorker("writer", "Writes and rewrites texts."),
            OfferedWorker("cook", "Knows dishes and their ingredients."),
            OfferedWorker("musician", "Knows instruments and composers."),
        ),
        "How many strings does a violin have?",
        Plan((Step("musician", "How many strings does a violin have?"),)),
    ),
)


_JOINING = (
    Example(
        (*EXAMPLES[0].workers[:2], *EXAMPLES[0].workers[3:], JOIN),
        EXAMPLES[0].task,
        Plan(
            (
                *EXAMPLES[0].plan.steps[:2],
                Step(JOIN_WORKER, "Give both results.", (0, 1)),
            )
        ),
    ),
    EXAMPLES[1],
)
"""The examples where `@join` is offered."""


def examples_for(workers: Sequence[OfferedWorker]) -> tuple[Example, ...]:
    """Solved tasks that use only such built-in workers as are offered."""
    return _JOINING if any(worker.name == JOIN_WORKER for worker in workers) else EXAMPLES


def planner_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    workers: Sequence[OfferedWorker],
    max_steps: int = DEFAULT_MAX_STEPS,
    output: PlanFormat = PlanFormat.LISTS,
    max_task_chars: int = 24_000,
    memory: str = "",
    style: PromptStyle = PromptStyle.FULL,
) -> list[dict[str, str]]:
    """The chat that asks for a plan. `messages` is the client's conversation, `memory` what earlier workflows left as text.

    Serving and training both call this: `style` and `output` travel in a trained Conductor's artifact.
    """
    if style is not PromptStyle.FULL:
        # Trained on single questions, a small planner would copy a transcript into its plan; its workers see the conversation.
        messages = [message for message in messages if message.get("role") == "user"][-1:] or messages
    task = task_text(messages, max_chars=max_task_chars)
    if memory:
        task = f"{task}\n\n{memory}"
    if style is not PromptStyle.FULL:
        return [
            {"role": "system", "content": _STEPS_RULES.format(max_steps=max_steps)},
            {"role": "user", "content": f"Workers:\n{describe_briefly(workers)}\nTask:\n{task}"},
        ]
    asked = [{"role": "system", "content": _RULES.format(lists=_LISTS[output], max_steps=max_steps, output=_OUTPUT[output])}]
    for example in examples_for(workers):
        if len(example.plan.steps) <= max_steps:
            asked.append({"role": "user", "content": _question(example.workers, example.task, output)})
            asked.append({"role": "assistant", "content": _answer(example, output)})
    asked.append({"role": "user", "content": _question(workers, task, output)})
    return asked


def plan_text(plan: Plan, workers: Sequence[OfferedWorker], *, style: PromptStyle) -> str:
    """A plan as a planner that is asked in this style shall write it."""
    if style is PromptStyle.STEPS:
        return render_step_lines(plan)
    return render_lists(plan, {worker.name: number for number, worker in enumerate(workers)})


def repair_messages(
    asked: Sequence[Mapping[str, str]], reply: str, diagnoses: Sequence[Diagnosis], *, max_reply_chars: int = 8_000
) -> list[dict[str, str]]:
    """The conversation of the one repair turn: what was asked, what came, what is wrong with it."""
    told = f"This plan cannot be used:\n{describe(diagnoses)}\nWrite the corrected plan in the same form, and nothing else."
    return [
        *(dict(message) for message in asked),
        {"role": "assistant", "content": reply[:max_reply_chars] or "(nothing)"},
        {"role": "user", "content": told},
    ]


def _question(workers: Sequence[OfferedWorker], task: str, output: PlanFormat) -> str:
    return f"Workers:\n{describe_workers(workers, numbered=output is PlanFormat.LISTS)}\n\nTask:\n{task}"


def _answer(example: Example, output: PlanFormat) -> str:
    if output is PlanFormat.LISTS:
        return render_lists(example.plan, {worker.name: number for number, worker in enumerate(example.workers)})
    steps = example.plan.steps
    lists = {
        "subtasks": [step.subtask for step in steps],
        "workers": [step.worker for step in steps],
        "access_list": [list(step.access) for step in steps],
    }
    return json.dumps(lists, ensure_ascii=False)
