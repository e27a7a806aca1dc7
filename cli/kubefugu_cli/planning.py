"""`kubefugu plan`: a workflow of the Conductor as a table."""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from kubefugu.conductor.v1 import conductor_pb2
from kubefugu_cli.clients.services import ConductorClient
from kubefugu_cli.console import new_table, out, print_json
from kubefugu_coordination.workflow.offer import JOIN
from kubefugu_coordination.workflow.plan import Plan, Step
from kubefugu_coordination.workflow.svg import plan_svg
from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool


def ask(target: str, question: str, *, pool: WorkerPool, planner: str) -> conductor_pb2.PlanResponse:
    """Let the Conductor plan. Raises what it raises, InvalidPlanError among it."""
    workers = [
        conductor_pb2.PlanWorker(
            name=worker.name,
            model=worker.model,
            description=worker.description,
            input_price=worker.prices.input_per_million_tokens,
            output_price=worker.prices.output_per_million_tokens,
            context_tokens=worker.context_tokens,
            narrow=worker.specialist,
        )
        for worker in pool.spec.workers
    ]
    if pool.spec.routing.max_steps > 1:
        workers.append(conductor_pb2.PlanWorker(name=JOIN.name, description=JOIN.description))
    messages = json.dumps([{"role": "user", "content": question}]).encode()
    return ConductorClient(target).plan(
        conductor_pb2.PlanRequest(
            messages_json=messages, workers=workers, planner=planner, max_steps=pool.spec.routing.max_steps
        )
    )


def draw(reply: conductor_pb2.PlanResponse, path: Path, *, title: str) -> None:
    """Write the workflow's picture to a file. Raises DataError where it cannot be written."""
    plan = Plan(tuple(Step(step.worker, step.subtask, tuple(step.access)) for step in reply.workflow.steps))
    try:
        path.write_text(plan_svg(plan, title=title), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", field="svg") from error


def show(reply: conductor_pb2.PlanResponse, *, explain: bool, json_output: bool) -> None:
    """Steps; with `explain` also diagnoses and cost."""
    if json_output:
        print_json(MessageToDict(reply, preserving_proto_field_name=True))
        return
    table = new_table("step", "worker", "sees", "subtask")
    for number, step in enumerate(reply.workflow.steps):
        table.add_row(str(number), step.worker, ", ".join(str(seen) for seen in step.access), step.subtask)
    out().print(table)
    if not explain:
        return
    usage = reply.usage
    out().print(
        f"planned by {reply.planner}{' after a repair' if reply.repaired else ''}: "
        f"{usage.prompt_tokens} + {usage.completion_tokens} tokens, {usage.cost_usd:.6f} USD",
        markup=False,
    )
    for diagnosis in reply.diagnoses:
        where = f"step {diagnosis.step}: " if diagnosis.HasField("step") else ""
        out().print(f"{diagnosis.code}: {where}{diagnosis.message}", markup=False)
