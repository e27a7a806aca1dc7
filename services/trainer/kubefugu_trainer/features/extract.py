"""Backbone features of conversations through the engine that serves, by way of the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kubefugu_core.errors import InvalidRequestError
from kubefugu_routing.backbone import Backbone, load_backbone
from kubefugu_routing.engine import Engine, Variant
from kubefugu_routing.formats import RouterFormat, encode, render
from kubefugu_trainer.features.store import FeatureStore, text_key
from kubefugu_trainer.outcomes.table import Messages
from kubefugu_trainer.runs.progress import Reporter

AUTO = "auto"
"""dtype: bfloat16 where the processor multiplies it in hardware (twice as fast as float32 or more), else float32."""
MAX_TOKENS = 2048
"""Length limit of a transcript in features: the router's default (max_input_tokens)."""
_STEP_TOKENS = 1024
_SAVE_EVERY = 64
"""Texts between two writes."""
_PREFIX_CACHE_BYTES = 256 << 20
"""Enough to keep what all texts of a format begin with (the dispatcher prompt): it is computed once."""
FloatArray = NDArray[np.float32]


def feature_dtype(wanted: str = AUTO) -> str:
    """The dtype that features are computed in. Raises InvalidRequestError for an unknown one."""
    if wanted not in (AUTO, "float32", "bfloat16"):
        raise InvalidRequestError(f"--dtype takes auto, float32 or bfloat16, not {wanted!r}.", field="dtype")
    if wanted != AUTO:
        return wanted
    flags = torch.backends.cpu.get_cpu_capability()
    hardware = any(getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in ("avx512_bf16", "amx_tile"))
    return "bfloat16" if hardware and flags != "DEFAULT" else "float32"


class FeatureSource:
    """Hidden states at position -2 for conversations. The engine is made when something is not cached."""

    def __init__(
        self,
        ref: str,
        *,
        root: Path,
        reporter: Reporter,
        threads: int | None = None,
        dtype: str = "float32",
        load: Callable[..., Backbone] = load_backbone,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        """`ref`: hub id, directory, GGUF file or catalogue name. `root`: folder of feature caches."""
        self.backbone = load(ref, threads=threads, dtype=feature_dtype(dtype))
        self._engine: Engine | None = None
        self._root = root
        self._reporter = reporter
        self._max_tokens = max_tokens

    @property
    def engine(self) -> Engine:
        """The engine, made when first needed."""
        if self._engine is None:
            self._engine = Engine(self.backbone, max_step_tokens=_STEP_TOKENS, kv_cache_bytes=_PREFIX_CACHE_BYTES)
        return self._engine

    @property
    def formats(self) -> tuple[RouterFormat, ...]:
        """Formats that this backbone can read: chat needs a chat template."""
        has_template = bool(getattr(self.backbone.tokenizer, "chat_template", None))
        return (RouterFormat.CHAT, RouterFormat.RAW) if has_template else (RouterFormat.RAW,)

    def features(
        self, conversations: Sequence[Messages], fmt: RouterFormat, *, num_agents: int, variant: Variant | None = None
    ) -> FloatArray:
        """Features (n, d) float32; every distinct text is computed once and cached. `variant`: with offsets applied."""
        texts = [render(messages, fmt, tokenizer=self.backbone.tokenizer, num_agents=num_agents) for messages in conversations]
        keys = [text_key(text) for text in texts]
        with self._store(fmt, variant) as store:
            missing = {key: i for i, key in reversed(list(enumerate(keys))) if key not in store}
            if missing:
                self._compute(store, missing, conversations, fmt, num_agents, variant)
            return store.get(keys)

    def tokens(self, messages: Messages, fmt: RouterFormat, *, num_agents: int) -> list[int]:
        """Token ids as they are served."""
        encoded = encode(messages, fmt, self.backbone.tokenizer, num_agents=num_agents, max_tokens=self._max_tokens)
        return encoded.token_ids

    def _store(self, fmt: RouterFormat, variant: Variant | None) -> FeatureStore:
        info = self.backbone.info
        return FeatureStore(
            self._root,
            backbone_revision=info.revision,
            dtype=info.dtype,
            fmt=fmt.value,
            max_tokens=self._max_tokens,
            width=info.hidden_size,
            variant="" if variant is None else variant.key,
        )

    def _compute(
        self,
        store: FeatureStore,
        missing: dict[bytes, int],
        conversations: Sequence[Messages],
        fmt: RouterFormat,
        num_agents: int,
        variant: Variant | None,
    ) -> None:
        """Compute what the cache lacks, shortest first, saving as it goes."""
        work: list[tuple[bytes, list[int]]] = []
        for key, row in missing.items():
            try:
                work.append((key, self.tokens(conversations[row], fmt, num_agents=num_agents)))
            except InvalidRequestError:  # below two tokens: the router refuses it too; a zero row decides nothing
                work.append((key, []))
        work.sort(key=lambda item: len(item[1]))
        self._reporter.start(f"features {fmt.value}, tokens", total=sum(len(ids) for _, ids in work))
        try:
            for begin, end in _batches(len(work)):
                part = work[begin:end]
                rows = np.zeros((len(part), self.backbone.info.hidden_size), dtype=np.float32)
                readable = [i for i, (_, ids) in enumerate(part) if ids]
                if readable:
                    chosen = variant or self.engine.variant(None)
                    rows[readable] = self.engine.features_of([part[i][1] for i in readable], chosen)
                store.add([key for key, _ in part], rows)
                self._reporter.advance(sum(len(ids) for _, ids in part))
        finally:
            self._reporter.finish()


def _batches(count: int) -> list[tuple[int, int]]:
    """One text first, so that what all begin with is cached; then batches."""
    edges = [0, *range(1, count, _SAVE_EVERY), count]
    return [(begin, end) for begin, end in pairwise(edges) if begin < end]
