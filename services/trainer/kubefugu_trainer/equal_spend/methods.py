"""The methods that are compared. `fugu`, `fugu-ultra` and single workers answer through the gateway, as any client has them;
static plans are run by the serving executor code against the same workers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson

from kubefugu_coordination.clock import Deadline, SystemClock
from kubefugu_coordination.events import Done
from kubefugu_coordination.job import Job
from kubefugu_coordination.workers import KeySource, RetryPolicy, WorkerReply, WorkerSet
from kubefugu_coordination.workflow.plan import JOIN_WORKER, Plan, Step
from kubefugu_coordination.workflow.runner import WorkflowParts, WorkflowRun
from kubefugu_coordination.workflow.settings import WorkflowSettings
from kubefugu_core.chat import parse_chat_request
from kubefugu_core.errors import KubefuguError
from kubefugu_core.pool import WorkerPool, parse_pool
from kubefugu_trainer.equal_spend.answers import Answer
from kubefugu_trainer.equal_spend.vote import medoid
from kubefugu_trainer.grpo.rollouts import GivenPlan, NoRouter
from kubefugu_trainer.outcomes.journal import question_key
from kubefugu_trainer.tasks.question import Question

ULTRA, FUGU = "fugu-ultra", "fugu"
_PATIENT = RetryPolicy(attempts=3, first_wait_s=0.5, max_wait_s=10.0)


def _gateway_pool(url: str, models: Sequence[str], timeout_s: int) -> WorkerPool:
    """The gateway's models as workers, so that the client that serves also measures."""
    timeouts = {"totalSeconds": timeout_s, "firstTokenSeconds": timeout_s}
    workers = [{"name": f"m{number}", "model": model, "url": url, "timeouts": timeouts} for number, model in enumerate(models)]
    document = {"apiVersion": "kubefugu.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "gateway"}}
    return parse_pool({**document, "spec": {"workers": workers}}, source="gateway")


class Gateway:
    """Asks models of a gateway. `close` when done."""

    def __init__(
        self, url: str, models: Sequence[str], *, max_tokens: int, timeout_s: int, keys: KeySource | None = None
    ) -> None:
        self._names = {model: f"m{number}" for number, model in enumerate(models)}
        self._workers = WorkerSet(_gateway_pool(url, models, timeout_s), retry=_PATIENT, keys=keys)
        self._http = aiohttp.ClientSession()
        self._url = url.rstrip("/")
        self._clock = SystemClock()
        self._max_tokens = max_tokens
        self._timeout_s = timeout_s

    async def _ask(self, model: str, prompt: str, **members: Any) -> WorkerReply:
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": self._max_tokens, **members}
        deadline = Deadline.after(float(self._timeout_s), self._clock)
        return await self._workers.client(self._names[model]).complete(body, deadline=deadline)

    async def answer(self, model: str, question: Question) -> Answer:
        """One greedy answer. A specialist's refusal and a workflow without an answer are wrong; other failures are raised."""
        started = time.monotonic()
        reply = await self._ask(model, question.prompt, temperature=0)
        took_s = time.monotonic() - started
        workflow = await self._workflow(str(reply.completion.get("id"))) if model == ULTRA else None
        return Answer(
            method=model,
            question=question_key(question.prompt),
            score=0.0 if reply.refusal else question.score(reply.text),
            tokens=reply.usage.total_tokens,
            calls=_calls(workflow),
            cost_usd=reply.cost_usd,
            latency_s=took_s,
            text=reply.text,
            facts=_facts(workflow),
        )

    async def _workflow(self, decision: str) -> dict[str, Any] | None:
        """What the decision record tells of a request's workflow."""
        async with self._http.get(f"{self._url}/decisions/{decision}") as response:
            record = await response.json() if response.status == 200 else {}
        workflow: dict[str, Any] | None = record.get("workflow")
        return workflow

    async def self_consistency(self, model: str, question: Question, *, budget_tokens: int, most: int) -> Answer:
        """Samples of one worker until another one would exceed the budget; the one that agrees most with the others counts."""
        started, spent, cost_usd = time.monotonic(), 0, 0.0
        texts: list[str] = []
        while not texts or (len(texts) < most and spent + spent // len(texts) <= budget_tokens):
            reply = await self._ask(model, question.prompt, temperature=0.7, seed=1 + len(texts))
            texts.append(reply.text)
            spent += reply.usage.total_tokens
            cost_usd += reply.cost_usd
        text = texts[medoid(texts)]
        return Answer(
            method=f"self-consistency {model}",
            question=question_key(question.prompt),
            score=question.score(text),
            tokens=spent,
            calls=len(texts),
            cost_usd=cost_usd,
            latency_s=time.monotonic() - started,
            text=text,
            facts={"budget_tokens": budget_tokens},
        )

    async def close(self) -> None:
        """Close connections."""
        await self._http.close()
        await self._workers.close()


def _calls(workflow: dict[str, Any] | None) -> int:
    """Planner and worker calls; 1 where there was no workflow."""
    if not workflow:
        return 1
    planning: int = sum(1 + bool(plan.get("repaired")) for plan in workflow["plans"])
    return planning + len([call for call in workflow["calls"] if call["worker"] != JOIN_WORKER])


def _facts(workflow: dict[str, Any] | None) -> dict[str, Any]:
    if not workflow:
        return {}
    plan = next((plan for plan in workflow["plans"] if plan["path"] == "" and "steps" in plan), None)
    fallback = workflow.get("fallback")
    return {
        "fallback": fallback["error"]["reason"] if fallback else None,
        "repaired": plan["repaired"] if plan else None,
        "planner": plan["planner"] if plan else None,
        "codes": [found["code"] for found in plan["diagnoses"]] if plan else [],
        "steps": [[step["worker"], step["access"]] for step in plan["steps"]] if plan else [],
        "planning_tokens": sum(plan["usage"][kind] for kind in ("prompt_tokens", "completion_tokens")) if plan else 0,
    }


def static_plans(first: str, second: str) -> dict[str, Plan]:
    """Plans that know nothing of the question, of the two best workers: a chain, and two in parallel with a merge."""
    whole, check = "Answer every part of the task.", "Correct and complete the answer. Give the full answer to every part."
    merge = "Give one answer to every part of the task, from the best of both."
    return {
        f"chain {first}, {second}, {first}": Plan((Step(first, whole), Step(second, check, (0,)), Step(first, check, (0, 1)))),
        f"parallel {first} | {second}, merge {first}": Plan(
            (Step(first, whole), Step(second, whole), Step(first, merge, (0, 1)))
        ),
    }


class StaticPlans:
    """Runs the same plan for every question."""

    def __init__(self, pool: WorkerPool, *, max_tokens: int, timeout_s: int, keys: KeySource | None = None) -> None:
        self._workers = WorkerSet(pool, retry=_PATIENT, keys=keys)
        self._clock = SystemClock()
        self._max_tokens = max_tokens
        self._timeout_s = timeout_s

    async def answer(self, method: str, plan: Plan, question: Question) -> Answer:
        """One greedy answer; a workflow without one is wrong."""
        started = time.monotonic()
        body = {
            "model": ULTRA,
            "messages": [{"role": "user", "content": question.prompt}],
            "temperature": 0,
            "max_tokens": self._max_tokens,
        }
        raw = orjson.dumps(body)
        job = Job(parse_chat_request(raw), f"static-{hashlib.sha256(raw).hexdigest()[:24]}", "evaluation", 0)
        parts = WorkflowParts(planner=GivenPlan(plan), router=NoRouter(), settings=WorkflowSettings())
        run = WorkflowRun(
            job,
            pool=self._workers.snapshot(),
            parts=parts,
            deadline=Deadline.after(float(self._timeout_s), self._clock),
        )
        text = ""
        try:
            async with aclosing(run.events()) as events:
                async for event in events:
                    if isinstance(event, Done):
                        text = str(orjson.loads(event.completion_json)["choices"][0]["message"].get("content") or "")
        except KubefuguError as error:
            text = f"({type(error).__name__})"
        spent = run.ledger.spent(answer=None)
        return Answer(
            method=method,
            question=question_key(question.prompt),
            score=question.score(text),
            tokens=spent.prompt_tokens + spent.completion_tokens,
            calls=len(plan.steps),
            cost_usd=spent.cost_usd,
            latency_s=time.monotonic() - started,
            text=text,
        )

    async def close(self) -> None:
        """Close connections."""
        await self._workers.close()
