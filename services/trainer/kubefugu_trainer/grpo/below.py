"""Recursion in rollouts: a step that a plan gives to the Conductor itself is planned by the model in training."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from kubefugu_coordination.workers import TokenUsage
from kubefugu_coordination.workflow.planner_prompt import planner_messages
from kubefugu_coordination.workflow.planning import Planning, PlanningRequest
from kubefugu_coordination.workflow.validate import read_plan
from kubefugu_core.errors import InvalidPlanError
from kubefugu_routing.causal.generate import Sampling, generate
from kubefugu_routing.causal.load import CausalModel
from kubefugu_trainer.grpo.config import ConductorConfig


class PlansBelow:
    """Samples one plan for a subtask, in a thread, one at a time; the learner waits for its rollouts meanwhile.

    The same subtask gives the same draw at the same weights. What is sampled here earns nothing of its own: the plan above it
    is what learns.
    """

    def __init__(self, base: CausalModel, model: Any, config: ConductorConfig) -> None:
        self._base = base
        self._model = model
        self._config = config
        self._turn = asyncio.Semaphore(1)

    async def __call__(self, request: PlanningRequest) -> Planning:
        """See `rollouts.Below`."""
        steps = min(request.max_steps, self._config.max_steps)
        messages = planner_messages(
            request.messages, workers=request.workers, max_steps=steps, style=self._config.style, max_task_chars=2_000
        )
        prompt = self._base.encode_chat(messages)
        async with self._turn:
            text = await asyncio.to_thread(self._write, prompt)
        names = [worker.name for worker in request.workers]
        narrow = {worker.name for worker in request.workers if worker.narrow}
        reading = read_plan(text, workers=names, max_steps=steps, narrow=narrow)
        if reading.plan is None:
            raise InvalidPlanError("The model in training wrote no valid plan for a subtask.")
        return Planning(plan=reading.plan, notes=reading.diagnoses, planner="below", usage=TokenUsage(len(prompt), 0))

    def _write(self, prompt: list[int]) -> str:
        seed = zlib.crc32(str(prompt).encode()) ^ self._config.seed
        sampling = Sampling(max_tokens=self._config.max_tokens, temperature=self._config.temperature, seed=seed)
        samples = generate(self._model, [prompt], end_tokens=self._base.end_tokens, sampling=sampling)
        return self._base.decode(samples[0][0].tokens)
