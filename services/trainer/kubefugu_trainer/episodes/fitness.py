"""A candidate's fitness from live episodes (TRINITY, section 3.3; ALGORITHMS 4.2).

Fitness = mean terminal reward + w_entropy * entropy (nats) of worker choice over all turns + w_turn * mean share of turns left
unused - w_cost * mean cost (US dollars). Questions, the workers that each may use and the seeds that each samples with come
with the draw: the same for all candidates of a generation where random numbers are common.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kubefugu_coordination.workers.endpoint import KeySource
from kubefugu_core.errors import ArtifactRefusedError, DataError
from kubefugu_core.pool import Role
from kubefugu_routing.formats import RouterFormat, encode
from kubefugu_trainer.episodes.features import FeatureBank, Transcript
from kubefugu_trainer.episodes.play import Episode, Player, Rules
from kubefugu_trainer.episodes.problem import EpisodeProblem
from kubefugu_trainer.episodes.router import HeadPolicy, PolicyRouter
from kubefugu_trainer.evolution.choice import Draw, Measured, entropy
from kubefugu_trainer.evolution.stopping import RunStoppedError
from kubefugu_trainer.evolution.vector import Vector
from kubefugu_trainer.features.extract import MAX_TOKENS
from kubefugu_trainer.runs.replies import DiskReplyCache

if TYPE_CHECKING:
    from kubefugu_routing.engine import Engine

_POLL_S = 0.2
_Result = TypeVar("_Result")


class EpisodeFitness:
    """Measures candidates of one problem by playing. Owns an event loop; one thread uses it."""

    def __init__(
        self,
        problem: EpisodeProblem,
        *,
        engine: Callable[[], Engine],
        stop: threading.Event | None = None,
        keys: KeySource | None = None,
    ) -> None:
        """`engine`: of the problem's backbone, called when a transcript is new. `stop`: ends an evaluation at once.

        `keys`: of the workers; None: those that the pool's manifest names.
        """
        self._keys = keys
        self.problem = problem
        self.set = problem.questions()
        self._stop = stop or threading.Event()
        self._runner = asyncio.Runner()
        self._cache = DiskReplyCache(problem.replies_file) if problem.episodes.worker_temperature == 0 else None
        self._player = self._runner.run(self._open())
        self._engine = engine
        self._format = RouterFormat(problem.input_format)
        self.bank = FeatureBank(
            problem.replies_file.with_suffix(".features.sqlite"),
            revision=problem.backbone_revision,
            tokens=self._tokens,
            compute=lambda ids: np.asarray(engine().features([ids])[0], dtype=np.float32),
        )

    async def _open(self) -> Player:
        return Player(self.problem.worker_pool(), cache=self._cache, keys=self._keys)

    def _tokens(self, transcript: Transcript, num_agents: int) -> list[int]:
        tokenizer = self._engine().backbone.tokenizer
        return encode(transcript, self._format, tokenizer, num_agents=num_agents, max_tokens=MAX_TOKENS).token_ids

    @property
    def training_rules(self) -> Rules:
        """How training episodes are played."""
        told = self.problem.episodes
        return Rules(
            turns=told.turns, max_tokens=told.max_tokens, worker_temperature=told.worker_temperature,
            policy_temperature=told.policy_temperature, early_verifier_ends=told.early_verifier_ends,
        )  # fmt: skip

    @property
    def serving_rules(self) -> Rules:
        """How they are served: argmax, and a verifier before any response solves."""
        told = self.problem.episodes
        return Rules(turns=told.turns, max_tokens=told.max_tokens, worker_temperature=told.worker_temperature)

    def policy(self, x: Vector) -> HeadPolicy:
        """The vector as a policy."""
        _, head = self.problem.layout.split(x)
        return HeadPolicy(head, self.problem.rows, roles=True, agents=self.problem.agents)

    def measure(self, x: Vector, draw: Draw) -> Measured:
        """The candidate's figures on the draw. Raises DataError for rows that the problem lacks, RunStoppedError on `stop`."""
        if draw.rows.size == 0 or int(draw.rows.max()) >= len(self.set.questions) or int(draw.rows.min()) < 0:
            raise DataError(f"The draw names rows outside the problem's {len(self.set.questions)}.")
        names = [row.name for row in self.problem.rows]
        allowed = [[names[i] for i in np.flatnonzero(mask)] if not mask.all() else None for mask in draw.allowed]
        seeds = draw.seeds.tolist() if draw.seeds.size else None
        episodes = self.play(self.policy(x), draw.rows, self.training_rules, seeds=seeds, allowed=allowed)
        return self._measured(episodes)

    def play(
        self,
        policy: HeadPolicy,
        rows: NDArray[np.int64],
        rules: Rules,
        *,
        seeds: Sequence[int] | None = None,
        allowed: Sequence[Sequence[str] | None] | None = None,
    ) -> list[Episode]:
        """Episodes of a policy on rows of the problem's questions. Raises UnavailableError, RunStoppedError."""
        router = PolicyRouter(policy, self.bank.of(policy.num_agents))
        questions = [self.set.questions[int(row)] for row in rows]
        return self._run(self._player.play_all(questions, router, rules, seeds=seeds, allowed=allowed))

    def close(self) -> None:
        """Close connections and files."""
        self._runner.run(self._player.close())
        self._runner.close()
        self.bank.close()
        if self._cache is not None:
            self._cache.close()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        async def watched() -> _Result:
            task = asyncio.ensure_future(work)
            try:
                while not (await asyncio.wait({task}, timeout=_POLL_S))[0]:
                    if self._stop.is_set():
                        raise RunStoppedError("The run was asked to end; the same command goes on from its last checkpoint.")
                return task.result()
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait({task})

        return self._runner.run(watched())

    def _measured(self, episodes: Sequence[Episode]) -> Measured:
        problem = self.problem
        index = {row.name: i for i, row in enumerate(problem.rows)}
        workers = np.zeros(problem.workers)
        roles = np.zeros(len(Role))
        order = {role: i for i, role in enumerate(Role)}
        for call in (call for episode in episodes for call in episode.calls):
            workers[index[call.worker]] += 1
            roles[order[call.role]] += 1
        shares = workers / max(1.0, workers.sum())
        score = float(np.mean([episode.reward for episode in episodes]))
        cost = float(np.mean([episode.cost_usd for episode in episodes]))
        turns = [max(1, len(episode.calls)) for episode in episodes]
        unused = float(np.mean([(problem.episodes.turns - n) / max(1, problem.episodes.turns - 1) for n in turns]))
        spread = entropy(shares)
        fitness = score + problem.entropy_weight * spread + problem.episodes.turn_weight * unused - problem.cost_weight * cost
        told = tuple((roles / max(1.0, roles.sum())).tolist())
        return Measured(fitness, score, spread, cost, tuple(shares.tolist()), float(np.mean(turns)), told)


def load_engine(problem: EpisodeProblem, *, device: str = "cpu") -> Engine:
    """The problem's backbone. Raises ArtifactRefusedError where the one found here is another."""
    from kubefugu_routing.backbone import load_backbone
    from kubefugu_routing.engine import Engine

    backbone = load_backbone(problem.backbone, device=device, threads=problem.threads or None)
    if backbone.info.revision != problem.backbone_revision:
        raise ArtifactRefusedError(
            f"The backbone {problem.backbone} is at revision {backbone.info.revision} here, the run needs "
            f"{problem.backbone_revision}.",
            field="backbone",
        )
    return Engine(backbone)
