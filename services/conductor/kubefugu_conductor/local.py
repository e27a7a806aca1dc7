"""A planner in this process: a Hugging Face checkpoint, or a base model with a trained Conductor's weights in it.

Torch is imported when such a planner is configured, and only then: it comes with the extra `kubefugu-conductor[local]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from kubefugu_conductor.settings import ConductorSettings
from kubefugu_conductor.writers import LOCAL_PLANNER, Writing, Written
from kubefugu_coordination.clock import Deadline
from kubefugu_coordination.workers import TokenUsage
from kubefugu_coordination.workflow.planner_prompt import PromptStyle
from kubefugu_core.errors import ArtifactRefusedError, ContextTooLongError, DataError, DeadlineExceededError, InvalidPlanError
from kubefugu_core.settings import cache_home

if TYPE_CHECKING:
    from kubefugu_routing.causal.load import CausalModel

_MAX_ARTIFACT_BYTES = 64 << 30
_BEYOND_TRAINING = 2
"""A trained planner is asked for so many times the lengths that it was trained on; a plan repeats its task, so that it would
take long over a long text and fail."""
_log = structlog.get_logger()


class LocalWriter:
    """Generates in a thread, one plan at a time. Implements `PlanWriter`."""

    schemas = False

    def __init__(
        self,
        model: CausalModel,
        *,
        style: PromptStyle,
        max_steps: int = 0,
        longest_prompt_tokens: int = 0,
        longest_plan_tokens: int = 0,
    ) -> None:
        """`longest_*`: what it was trained for; 0: anything that fits its context."""
        self.name = LOCAL_PLANNER
        self.style = style
        self.max_steps = max_steps
        self.context_tokens = model.context_tokens
        self._longest_prompt = longest_prompt_tokens * _BEYOND_TRAINING or model.context_tokens
        self._longest_plan = longest_plan_tokens * _BEYOND_TRAINING or model.context_tokens
        self._model = model
        self._turn = asyncio.Semaphore(1)

    @property
    def identity(self) -> int:
        """This process has one."""
        return id(self._model)

    async def write(self, writing: Writing, *, deadline: Deadline) -> Written:
        """See PlanWriter. A cancelled or late call stops before its next token."""
        prompt = self._model.encode_chat([dict(message) for message in writing.messages])
        longest = min(writing.max_tokens, self._longest_plan)
        if len(prompt) > self._longest_prompt:
            # No plan, and so the loop's turn: the request itself is fine.
            raise InvalidPlanError(
                f"The planner's prompt has {len(prompt)} tokens; it was trained for at most {self._longest_prompt}."
            )
        if len(prompt) + longest > self.context_tokens:
            raise ContextTooLongError(
                f"The planner's prompt has {len(prompt)} tokens; with {longest} of output it does not fit into "
                f"{self.context_tokens}.",
                field="messages",
            )
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s())), self._turn:
                return await self._generate(prompt, writing, longest)
        except TimeoutError as error:
            raise DeadlineExceededError("The local planner did not finish in time.", metadata={"worker": self.name}) from error

    async def _generate(self, prompt: list[int], writing: Writing, longest: int) -> Written:
        from kubefugu_routing.causal.generate import Sampling, generate

        stop = threading.Event()
        sampling = Sampling(max_tokens=longest, temperature=writing.temperature, seed=_seed(prompt, writing.seed))
        work = asyncio.get_running_loop().run_in_executor(
            None,
            lambda: generate(
                self._model.model, [prompt], end_tokens=self._model.end_tokens, sampling=sampling, stop=stop.is_set
            ),
        )
        try:
            groups = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread is left at its next token; the model is free for the next call only then.
            stop.set()
            await asyncio.wait({work})
            raise
        sample = groups[0][0]
        return Written(self._model.decode(sample.tokens), TokenUsage(len(prompt), len(sample.tokens)), 0.0)


def _seed(prompt: list[int], seed: int | None) -> int:
    """The request's seed; without one the same prompt gives the same plan."""
    if seed is not None:
        return seed & 0x7FFF_FFFF_FFFF_FFFF
    return int.from_bytes(hashlib.sha256(str(prompt).encode()).digest()[:7], "big")


def load_writer(settings: ConductorSettings) -> LocalWriter | None:
    """The planner that the settings ask for; None where they ask for none. Blocks while it loads.

    Raises DataError (settings), ArtifactRefusedError (not this base model's, altered) or UnavailableError (cannot be fetched).
    """
    if not settings.model:
        if settings.artifact_url:
            raise DataError("A trained Conductor needs the base model that it was trained on.", field="model")
        return None
    if find_spec("torch") is None or find_spec("kubefugu_routing") is None:
        raise DataError(
            "A planner in this process needs torch: pip install 'kubefugu-conductor[local]'.",
            field="model",
        )
    from kubefugu_routing.causal.artifact import apply_conductor, load_conductor
    from kubefugu_routing.causal.load import load_causal

    base = load_causal(settings.model, device=settings.device, dtype=settings.dtype, threads=settings.threads or None)
    if not settings.artifact_url:
        _log.info("planner_loaded", backbone=base.id, revision=base.revision)
        return LocalWriter(base, style=PromptStyle.FULL)
    artifact = load_conductor(_fetched(settings))
    apply_conductor(base, artifact)
    _log.info("planner_loaded", backbone=base.id, revision=base.revision, artifact=settings.artifact_sha256 or "file")
    return LocalWriter(
        base,
        style=_style(artifact.prompt_style),
        max_steps=artifact.max_steps,
        longest_prompt_tokens=int(artifact.training.get("longest_prompt_tokens", 0)),
        longest_plan_tokens=int(artifact.training.get("max_tokens", 0)),
    )


def _style(name: str) -> PromptStyle:
    try:
        return PromptStyle(name)
    except ValueError as error:
        raise ArtifactRefusedError(
            f"The Conductor was trained on prompts of the style {name!r}, which this version does not have.",
            field="artifact_url",
        ) from error


def _fetched(settings: ConductorSettings) -> Path:
    """The artifact's file: a plain path on this machine, or a URL below an allowed prefix with its sha256."""
    url = settings.artifact_url
    if "://" not in url:
        return Path(url)
    if not settings.artifact_sha256:
        raise DataError("A trained Conductor that is fetched by URL needs its sha256.", field="artifact_sha256")
    from kubefugu_routing.fetch import fetch

    target = cache_home() / "conductors" / f"{settings.artifact_sha256}.safetensors"
    prefixes = settings.allowed_uri_prefixes
    return fetch(url, settings.artifact_sha256, target, allowed_prefixes=prefixes, max_bytes=_MAX_ARTIFACT_BYTES)
