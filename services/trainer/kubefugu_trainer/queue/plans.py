"""Plans of a Conductor run as tasks: evaluators execute them against the live pool, the learner goes on with the rewards."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import DataError
from kubefugu_core.pool import WorkerPool
from kubefugu_trainer.grpo.config import ConductorConfig
from kubefugu_trainer.grpo.items import Item, build_items, offered
from kubefugu_trainer.grpo.rollouts import PlanRunner, Rollout
from kubefugu_trainer.queue.tasks import TaskQueue
from kubefugu_trainer.runs.progress import Reporter
from kubefugu_trainer.runs.replies import DiskReplyCache, writable

FORMAT = "kubefugu-plans/1"
_PLANS = 6
"""Plans of a task; an evaluator runs them at the same time."""


@dataclass(frozen=True)
class PlanProblem:
    """What every plan of a run needs. Evaluators build the questions themselves, from configuration and files."""

    config: ConductorConfig
    pool: Mapping[str, Any]
    """The WorkerPool manifest, by value."""
    workers: tuple[str, ...]
    """Workers that are offered."""
    replies: str
    """File that keeps replies; evaluators of other machines have one of their own, there or in their temporary folder."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts of the question files that the configuration names, by value: evaluators can't read the driver's disk."""

    def to_bytes(self) -> bytes:
        """JSON."""
        document = {**asdict(self), "config": self.config.model_dump(mode="json"), "format": FORMAT}
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_bytes(cls, raw: bytes) -> PlanProblem:
        """Read `to_bytes` back. Raises DataError for anything else."""
        try:
            document = orjson.loads(raw)
            if document.pop("format") != FORMAT:
                raise DataError(f"The problem's format is not {FORMAT}.")
            document["config"] = ConductorConfig.model_validate(document["config"])
            document["workers"] = tuple(document["workers"])
            return cls(**document)
        except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"The problem can't be read: {error}.") from error

    def items(self, split: str) -> list[Item]:
        """The items of a split, as the driver has them."""
        count = self.config.held_out if split == "test" else self.config.questions
        workers = offered(WorkerPool.model_validate(dict(self.pool)), self.workers)
        return build_items(self.config, workers, split=split, n=count, files=self.files)


class CeleryRollouts:
    """Executes plans by evaluator processes."""

    def __init__(self, broker: str, *, run_id: str, problem: PlanProblem, stop: threading.Event, reporter: Reporter) -> None:
        """See TaskQueue."""
        self._round = 0
        self._queue = TaskQueue(
            broker,
            run_id=run_id,
            problem=problem.to_bytes(),
            decode=_rollouts,
            stop=stop,
            reporter=reporter,
            task="batch",
        )

    def __call__(self, items: Sequence[Item], texts: Sequence[str]) -> list[Rollout]:
        """One rollout for each text, in order; equal plans of an item run once. Raises what TaskQueue.run raises."""
        owners = {(item.split, item.number, text): item for item, text in zip(items, texts, strict=True)}
        plans = [[split, number, _digest(item), text] for (split, number, text), item in owners.items()]
        parts = [orjson.dumps(plans[start : start + _PLANS]) for start in range(0, len(plans), _PLANS)]
        done = self._queue.run(self._round, parts)
        self._round += 1
        found = dict(zip(owners, (rollout for part in done for rollout in part), strict=True))
        return [found[item.split, item.number, text] for item, text in zip(items, texts, strict=True)]

    def close(self) -> None:
        """Close connections."""
        self._queue.close()


class PlanSolver:
    """The evaluator process' side: owns an event loop and the connections to the pool's workers."""

    def __init__(self, raw: bytes, *, keys: KeySource | None = None) -> None:
        """`keys`: of the workers, where this process runs; they never travel. None: those that the pool's manifest names."""
        self._problem = PlanProblem.from_bytes(raw)
        self._keys = keys
        self._items = cache(self._problem.items)
        self._loop = asyncio.Runner()
        self._replies = DiskReplyCache(writable(Path(self._problem.replies)))
        self._runner = self._loop.run(self._open())

    async def _open(self) -> PlanRunner:
        config = self._problem.config
        pool = WorkerPool.model_validate(dict(self._problem.pool))
        return PlanRunner(
            pool, cache=self._replies, keys=self._keys, answer_tokens=config.answer_tokens, failover=config.failover
        )

    def solve(self, part: bytes, shared: bytes) -> list[dict[str, Any]]:
        """Rollouts of a batch of plans. Raises DataError where this machine draws other questions, UnavailableError."""
        items, texts = [], []
        for split, number, digest, text in orjson.loads(part):
            item = self._items(split)[number]
            if _digest(item) != digest:
                raise DataError("The task sets give other questions here than where the run was begun.", field="tasks")
            items.append(item)
            texts.append(text)
        return [asdict(rollout) for rollout in self._loop.run(self._runner.run_all(items, texts))]

    def close(self) -> None:
        """Close connections and files."""
        self._loop.run(self._runner.close())
        self._loop.close()
        self._replies.close()


def _digest(item: Item) -> str:
    """What an item asks, and of whom."""
    asked = (item.question.messages, item.names, item.max_steps)
    return hashlib.sha256(repr(asked).encode()).hexdigest()


def _rollouts(value: Any) -> list[Rollout]:
    """Read a batch's result. Raises DataError for anything else."""
    try:
        return [Rollout(**{**row, "codes": tuple(row["codes"])}) for row in value]
    except (TypeError, KeyError) as error:
        raise DataError(f"not the rollouts of a batch: {error!r}") from error
