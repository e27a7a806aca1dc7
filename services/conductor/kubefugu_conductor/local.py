"""Planners in this process: a Hugging Face checkpoint, or a base model with trained Conductors' weights in its place.

Torch is imported when such a planner is configured, and only then: it comes with the extra `kubefugu-conductor[local]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
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
    from kubefugu_routing.causal.artifact import ConductorArtifact
    from kubefugu_routing.causal.generate import Generated
    from kubefugu_routing.causal.load import CausalModel
    from kubefugu_routing.causal.variants import Weights

_MAX_ARTIFACT_BYTES = 64 << 30
_BEYOND_TRAINING = 2
"""A trained planner is asked for so many times the lengths that it was trained on; a plan repeats its task, so that it would
take long over a long text and fail."""
_log = structlog.get_logger()


class LocalModel:
    """A base model that writes one text at a time, with the weights of whoever is asked."""

    def __init__(self, base: CausalModel) -> None:
        from kubefugu_routing.causal.variants import Variants

        self.base = base
        self.variants = Variants(base)
        self.turn = asyncio.Semaphore(1)


class LocalWriter:
    """Generates in a thread, one plan at a time. Implements `PlanWriter`."""

    schemas = False

    def __init__(
        self,
        model: LocalModel,
        *,
        style: PromptStyle,
        weights: Weights | None = None,
        version: str = "",
        max_steps: int = 0,
        longest_prompt_tokens: int = 0,
        longest_plan_tokens: int = 0,
    ) -> None:
        """`weights`: of a trained Conductor; `longest_*`: what it was trained for; 0: anything that fits its context."""
        self.name = LOCAL_PLANNER
        self.version = version
        self.style = style
        self.max_steps = max_steps
        self.context_tokens = model.base.context_tokens
        self._longest_prompt = longest_prompt_tokens * _BEYOND_TRAINING or self.context_tokens
        self._longest_plan = longest_plan_tokens * _BEYOND_TRAINING or self.context_tokens
        self._model = model
        self._weights = weights or {}

    @property
    def identity(self) -> int:
        """This process has one."""
        return id(self._model)

    async def write(self, writing: Writing, *, deadline: Deadline) -> Written:
        """See PlanWriter. A cancelled or late call stops before its next token."""
        prompt = self._model.base.encode_chat([dict(message) for message in writing.messages])
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
            async with asyncio.timeout(max(0.0, deadline.remaining_s())), self._model.turn:
                return await self._generate(prompt, writing, longest)
        except TimeoutError as error:
            raise DeadlineExceededError("The local planner did not finish in time.", metadata={"worker": self.name}) from error

    async def probe(self, messages: Sequence[Mapping[str, str]], *, max_tokens: int) -> list[float]:
        """Log-probabilities (natural logarithm) of a few tokens that it writes; waits for its turn."""
        prompt = self._model.base.encode_chat([dict(message) for message in messages])
        async with self._model.turn:
            return (await self._sample(prompt, max_tokens=max_tokens, temperature=0.0, seed=0)).logprobs

    async def _generate(self, prompt: list[int], writing: Writing, longest: int) -> Written:
        seed = _seed(prompt, writing.seed)
        sample = await self._sample(prompt, max_tokens=longest, temperature=writing.temperature, seed=seed)
        return Written(self._model.base.decode(sample.tokens), TokenUsage(len(prompt), len(sample.tokens)), 0.0)

    async def _sample(self, prompt: list[int], *, max_tokens: int, temperature: float, seed: int) -> Generated:
        """One text. It is this writer's turn."""
        from kubefugu_routing.causal.generate import Sampling, generate

        stop = threading.Event()
        base = self._model.base
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, seed=seed)
        self._model.variants.use(self._weights)
        work = asyncio.get_running_loop().run_in_executor(
            None,
            lambda: generate(base.model, [prompt], end_tokens=base.end_tokens, sampling=sampling, stop=stop.is_set),
        )
        try:
            groups = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread is left at its next token; the model is free for the next call only then.
            stop.set()
            await asyncio.wait({work})
            raise
        return groups[0][0]


def trained_writer(model: LocalModel, artifact: ConductorArtifact, *, version: str = "") -> LocalWriter:
    """A writer with an artifact's weights. Raises ArtifactRefusedError where they are not for this base model."""
    return LocalWriter(
        model,
        weights=model.variants.weights_of(artifact),
        version=version,
        style=_style(artifact.prompt_style),
        max_steps=artifact.max_steps,
        longest_prompt_tokens=int(artifact.training.get("longest_prompt_tokens", 0)),
        longest_plan_tokens=int(artifact.training.get("max_tokens", 0)),
    )


def _seed(prompt: list[int], seed: int | None) -> int:
    """The request's seed; without one the same prompt gives the same plan."""
    if seed is not None:
        return seed & 0x7FFF_FFFF_FFFF_FFFF
    return int.from_bytes(hashlib.sha256(str(prompt).encode()).digest()[:7], "big")


def load_model(settings: ConductorSettings) -> LocalModel | None:
    """The base model that the settings ask for; None where they ask for none. Blocks while it loads.

    Raises DataError (settings) or ArtifactRefusedError.
    """
    if not settings.model:
        if settings.artifact_url or settings.policy_set_file:
            raise DataError("A trained Conductor needs the base model that it was trained on.", field="model")
        return None
    if settings.artifact_url and settings.policy_set_file:
        raise DataError("Name one artifact, or a line of them: not both.", field="policy_set_file")
    if find_spec("torch") is None or find_spec("kubefugu_routing") is None:
        raise DataError(
            "A planner in this process needs torch: pip install 'kubefugu-conductor[local]'.",
            field="model",
        )
    from kubefugu_routing.causal.load import load_causal

    base = load_causal(settings.model, device=settings.device, dtype=settings.dtype, threads=settings.threads or None)
    _log.info("planner_loaded", backbone=base.id, revision=base.revision)
    return LocalModel(base)


def load_writer(model: LocalModel, settings: ConductorSettings) -> LocalWriter:
    """The planner that the settings name: an artifact, or the base model as it is. Blocks.

    Raises DataError (settings), ArtifactRefusedError (not this base model's, altered) or UnavailableError (cannot be fetched).
    """
    if not settings.artifact_url:
        return LocalWriter(model, style=PromptStyle.FULL)
    from kubefugu_routing.causal.artifact import load_conductor

    writer = trained_writer(model, load_conductor(_fetched(settings)))
    _log.info("conductor_loaded", artifact=settings.artifact_sha256 or "file")
    return writer


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
    return fetched(url, settings.artifact_sha256, allowed_prefixes=settings.allowed_uri_prefixes)


def fetched(url: str, sha256: str, *, allowed_prefixes: Sequence[str]) -> Path:
    """An artifact in this machine's cache. Raises ArtifactRefusedError (prefix, checksum) or UnavailableError."""
    from kubefugu_routing.fetch import fetch

    target = cache_home() / "conductors" / f"{sha256}.safetensors"
    return fetch(url, sha256, target, allowed_prefixes=allowed_prefixes, max_bytes=_MAX_ARTIFACT_BYTES)
