"""The whole comparison, method after method; every answer is on disk before it counts, so the same command goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kubefugu_core.pool import Role, WorkerPool
from kubefugu_trainer.equal_spend.answers import Answer, AnswerJournal
from kubefugu_trainer.equal_spend.methods import FUGU, ULTRA, Gateway, StaticPlans, static_plans
from kubefugu_trainer.equal_spend.report import compare
from kubefugu_trainer.runs.files import write_json
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.tasks import pairs, sets
from kubefugu_trainer.tasks.question import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared."""

    tasks: str = pairs.NAME
    n: int = 100
    baseline_n: int = 0
    """Self-consistency and static plans get so many of the questions, the first ones; 0: all."""
    seed: int = 7
    max_tokens: int = 64
    """Longest answer of one call."""
    max_samples: int = 16
    """Most samples of self-consistency."""
    timeout_s: int = 300
    """Of one request."""


def questions(comparison: Comparison) -> list[Question]:
    """Held-out questions."""
    if comparison.tasks == pairs.NAME:
        rows = pairs.build_pairs(n=comparison.n, seed=comparison.seed, split="test")
    else:
        rows = sets.build(comparison.tasks, n=comparison.n, seed=comparison.seed, split="test")
    return [row.question for row in rows]


class Evaluation:
    """Runs what is missing and reports."""

    def __init__(
        self,
        comparison: Comparison,
        pool: WorkerPool,
        *,
        url: str,
        out: Path,
        reporter: Reporter,
        workers: Sequence[str] | None = None,
        single_first: bool = False,
    ) -> None:
        """`single_first`: workers and `fugu` before `fugu-ultra`, for a planner that is not ready yet; nothing else differs."""
        known = [spec.name for spec in pool.spec.workers if Role.SOLVER in spec.roles]
        self._comparison = comparison
        self._workers = list(workers) if workers else known
        self._general = [spec.name for spec in pool.spec.workers if not spec.specialist]
        self._reporter = reporter
        self._out = out
        self._single_first = single_first
        tokens, seconds = comparison.max_tokens, comparison.timeout_s
        self._gateway = Gateway(url, [ULTRA, FUGU, *known], max_tokens=tokens, timeout_s=seconds)
        self._static = StaticPlans(pool, max_tokens=tokens, timeout_s=seconds)
        models = [[spec.name, spec.model] for spec in pool.spec.workers]
        # How many questions are asked changes no answer: a comparison with more of them goes on where a smaller one ended.
        same = {name: value for name, value in asdict(comparison).items() if name not in ("n", "baseline_n")}
        self._journal = AnswerJournal(out.with_name(out.name + ".journal.jsonl"), config={**same, "models": models})

    async def run(self) -> dict[str, Any]:
        """All methods; writes the report after each one, so that a comparison that is cut off says what it knows."""
        asked = questions(self._comparison)
        found: dict[str, list[Answer]] = {}
        try:
            singles = (FUGU, *self._workers)
            for model in (*singles, ULTRA) if self._single_first else (ULTRA, *singles):
                found[model] = await self._method(model, asked, partial(self._gateway.answer, model))
                self._report(found)
            order = sorted(self._workers, key=lambda name: -_accuracy(found[name]))
            asked = asked[: self._comparison.baseline_n or len(asked)]
            await self._at_equal_spend(found, asked, order[0])
            general = [name for name in order if name in self._general][:2]
            for name, plan in static_plans(general[0], general[-1]).items():
                found[name] = await self._method(name, asked, partial(self._static.answer, name, plan))
                self._report(found)
            return self._report(found)
        finally:
            await self._gateway.close()
            await self._static.close()
            self._journal.close()

    async def _at_equal_spend(self, found: dict[str, list[Answer]], asked: Sequence[Question], best: str) -> None:
        """Self-consistency of the best single worker, with the tokens that fugu-ultra took for the same question."""
        budgets = {question.prompt: answer.tokens for question, answer in zip(asked, found[ULTRA][: len(asked)], strict=True)}
        most = self._comparison.max_samples
        name = f"self-consistency {best}"
        found[name] = await self._method(
            name,
            asked,
            lambda q: self._gateway.self_consistency(best, q, budget_tokens=budgets[q.prompt], most=most),
        )
        self._report(found)

    async def _method(self, name: str, asked: Sequence[Question], ask: Callable[[Question], Awaitable[Answer]]) -> list[Answer]:
        answers = []
        missing = sum(self._journal.get(name, question.prompt) is None for question in asked)
        self._reporter.start(name, total=len(asked), done=len(asked) - missing)
        for question in asked:
            answer = self._journal.get(name, question.prompt)
            if answer is None:
                answer = await ask(question)
                self._journal.add(answer)
                self._reporter.advance(1, score=answer.score, tokens=answer.tokens)
            answers.append(answer)
        self._reporter.finish()
        return answers

    def _report(self, found: dict[str, list[Answer]]) -> dict[str, Any]:
        if ULTRA not in found:
            return {}
        result = compare(found, against=ULTRA)
        write_json(self._out, {"comparison": asdict(self._comparison), "methods": result})
        return result


def _accuracy(answers: Sequence[Answer]) -> float:
    return sum(answer.score for answer in answers) / len(answers)
