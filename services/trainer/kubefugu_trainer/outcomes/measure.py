"""A whole collection: pool and plan in, table out. The composition of task sets, callers, journal and table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import BudgetExceededError, DataError, UnavailableError
from kubefugu_core.pool import WorkerPool
from kubefugu_trainer.outcomes.assemble import assemble
from kubefugu_trainer.outcomes.callers import PoolCaller
from kubefugu_trainer.outcomes.collect import CollectConfig, Collector, CollectResult
from kubefugu_trainer.outcomes.journal import Journal
from kubefugu_trainer.outcomes.writer import JSON_ENDINGS, write_table
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.runs.replies import DiskReplyCache
from kubefugu_trainer.tasks.sets import SplitQuestion, build


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    tasks: str
    n: int
    repeats: int
    split: str
    workers: tuple[str, ...] | None
    max_tokens: int
    temperature: float
    seed: int
    max_cost_usd: float | None = None


async def measure(
    pool: WorkerPool,
    plan: Plan,
    *,
    out: Path,
    reporter: Reporter,
    replies: Path | None = None,
    rows: list[SplitQuestion] | None = None,
    keys: KeySource | None = None,
) -> str:
    """Measure and write; returns a sentence. Complete rows are written even where some answers are missing.

    `replies`: the reply cache of episodes on the same pool, read and filled at temperature 0. `rows`: the questions, where they
    are not to be drawn as the plan says. `keys`: of the workers; None: those that the pool's manifest names.

    Raises DataError, UnavailableError (answers missing) or BudgetExceededError (cost cap) with what to do next.
    """
    if out.suffix not in (".parquet", *JSON_ENDINGS):
        raise DataError(f"{out}: an outcome table ends in .parquet or .jsonl", field="out")
    workers = _workers(pool, plan)
    rows = rows or build(plan.tasks, n=plan.n, seed=plan.seed, split=plan.split)
    models = {spec.name: spec.model for spec in pool.spec.workers if spec.name in workers}
    frozen = {name: value for name, value in asdict(plan).items() if name not in ("max_cost_usd", "workers")}
    journal = Journal(
        out.with_name(out.name + ".journal.jsonl"), config={**frozen, "pool": pool.metadata.name, "models": models}
    )
    cache = DiskReplyCache(replies) if replies is not None else None
    caller = PoolCaller(pool, max_tokens=plan.max_tokens, temperature=plan.temperature, cache=cache, keys=keys)
    try:
        config = CollectConfig(repeats=plan.repeats, seed=plan.seed, max_cost_usd=plan.max_cost_usd)
        collector = Collector(caller, journal, config=config, limits=caller.limits(workers), reporter=reporter)
        result = await collector.run(rows)
        return _finish(out, rows, journal, result, workers=workers, plan=plan, provenance=_provenance(pool, plan, rows, models))
    finally:
        journal.close()
        await caller.close()
        if cache is not None:
            cache.close()


def _workers(pool: WorkerPool, plan: Plan) -> tuple[str, ...]:
    known = [spec.name for spec in pool.spec.workers]
    wanted = plan.workers or tuple(known)
    for name in wanted:
        if name not in known:
            raise DataError(
                f"The pool {pool.metadata.name} has no worker {name!r}; it has: {', '.join(known)}.", field="workers"
            )
    return wanted


def _provenance(pool: WorkerPool, plan: Plan, rows: list[SplitQuestion], models: Mapping[str, str]) -> dict[str, Any]:
    """`kinds`: the worker that each field is meant for, by name, else the pool's fallback."""
    fallback = next((spec.name for spec in pool.spec.workers if spec.fallback), None)
    kinds = {field: field if field in models else fallback for field in sorted({row.question.field for row in rows})}
    return {
        "pool": pool.metadata.name,
        "models": dict(models),
        "kinds": {field: worker for field, worker in kinds.items() if worker is not None},
        "measured": datetime.now(UTC).date().isoformat(),
        **{name: value for name, value in asdict(plan).items() if name not in ("max_cost_usd", "workers")},
    }


def _finish(
    out: Path,
    rows: list[SplitQuestion],
    journal: Journal,
    result: CollectResult,
    *,
    workers: tuple[str, ...],
    plan: Plan,
    provenance: Mapping[str, Any],
) -> str:
    problems = "; ".join(f"{worker}: {problem}" for worker, problem in sorted((result.problems or {}).items()))
    if result.missing and not result.recorded:
        raise UnavailableError(f"No worker answered ({problems}); nothing was written.")
    table = assemble(rows, journal.measurements, workers=workers, repeats=plan.repeats, provenance=provenance)
    write_table(out, table)
    told = f"{out}: {len(table)} of {len(rows)} questions, {result.recorded} answers, {result.cost_usd:.4f} USD"
    if result.capped:
        raise BudgetExceededError(f"{told}; the cost cap left out {result.missing} answers: raise --max-cost to go on.")
    if result.missing:
        raise UnavailableError(
            f"{told}; {result.missing} answers are missing ({problems}): run the same command again to go on."
        )
    return told
