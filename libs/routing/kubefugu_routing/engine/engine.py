"""The engine's public face: batches of token ids to features and logits, with several policies resident."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone import Backbone
from kubefugu_routing.engine import partial
from kubefugu_routing.engine.graphs import GraphCache
from kubefugu_routing.engine.packing import pack_layers, release
from kubefugu_routing.engine.params import decoder_params
from kubefugu_routing.engine.prefix_cache import PrefixCache
from kubefugu_routing.engine.rotary import RotaryTable
from kubefugu_routing.engine.sequence import Sequence, make_sequence
from kubefugu_routing.engine.step import Part, Stepper
from kubefugu_routing.engine.variants import BASE_KEY, Variant, build_variant
from kubefugu_routing.policy.artifact import PolicyArtifact
from kubefugu_routing.policy.binding import Policy
from kubefugu_routing.svf import SvfOffsets
from kubefugu_routing.svf.factors import FactorBundle, make_bundle

FloatArray = NDArray[np.float32]
_CHECK_TOKENS = 12


@dataclass(slots=True)
class EngineStats:
    """Counters since the engine was made."""

    steps: int = 0
    sequences: int = 0
    computed_tokens: int = 0
    cached_tokens: int = 0


class Engine:
    """Decides on one backbone. Thread-safe by one lock: a step runs at a time, as one device wants it.

    `kv_cache_bytes` bounds the prefix cache (0: none); `max_step_tokens` bounds the tokens of one step, so that a long
    transcript is computed in pieces between which short ones pass. `pack` (on a CPU) keeps the matrices in the kernels' own
    layout, 1.3 times as fast in float32, and releases the backbone's copies: only this engine can use it afterwards, and only
    to decide. Raises ArtifactRefusedError for a backbone whose forward
    pass this engine would not reproduce (it compares itself with transformers on a few tokens).
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        kv_cache_bytes: int = 0,
        max_step_tokens: int = 2048,
        pack: bool = False,
        self_check: bool = True,
        graphs: GraphCache | None = None,
    ) -> None:
        self.backbone = backbone
        self.stats = EngineStats()
        self.max_step_tokens = max_step_tokens
        self._params = decoder_params(backbone.model)
        self._rotary = RotaryTable(self._params)
        self._stepper = Stepper(self._params, self._rotary)
        self._packed = False
        self._cache = PrefixCache(kv_cache_bytes)
        self._lock = threading.RLock()
        self._base = build_variant(backbone, None, None)
        self._bundles: dict[tuple[int, bool], FactorBundle] = {}
        if self_check:
            self._check_forward()
        if pack:
            self._pack()
        # Recorded passes pay where starting kernels costs more than running them.
        self.graphs = graphs or (GraphCache(self._params, self._rotary) if backbone.info.device.startswith("cuda") else None)

    # --- features and logits -------------------------------------------------------------------------------------------------

    def features(self, batch: SequenceOf[SequenceOf[int]], offsets: SvfOffsets | None = None) -> FloatArray:
        """Hidden states after the final norm at position -2, shape (n, d) float32, for n token sequences of two or more tokens.

        Factors for offsets come from this machine's cache, decomposed where absent; a served artifact's come from its bundle
        (`variant` with `factors`). Offsets used again and again are cheaper through `variant` and `features_of`.
        """
        return self.features_of(batch, self.variant(offsets))

    def features_of(self, batch: SequenceOf[SequenceOf[int]], variant: Variant) -> FloatArray:
        """As `features`, for a variant that was built before."""
        sequences = [self.open(tokens, [variant]) for tokens in batch]
        self.run(sequences)
        if not sequences:
            return np.zeros((0, self.backbone.info.hidden_size), dtype=np.float32)
        return torch.stack([sequence.features[variant.key] for sequence in sequences]).cpu().numpy()

    def decide(self, batch: SequenceOf[SequenceOf[int]], policy: Policy | PolicyArtifact) -> FloatArray:
        """Row logits, shape (n, rows) float32. Offsets are applied for this call; keep a `variant` to decide often."""
        artifact = policy.artifact if isinstance(policy, Policy) else policy
        features = self.features_of(batch, self.variant(artifact.offsets))
        return head_logits(features, artifact.head)

    def entering_states(self, batch: SequenceOf[SequenceOf[int]], layer: int) -> list[torch.Tensor]:
        """Hidden states entering a layer, one tensor (tokens - 1, d) a sequence, to be reused by `features_from`."""
        return partial.entering_states(self._params, self._rotary, batch, layer)

    def features_from(
        self,
        states: SequenceOf[torch.Tensor],
        layer: int,
        matrices: Mapping[str, torch.Tensor],
        *,
        factored: Mapping[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """Features (n, d) float32 from states entering `layer` with its matrices replaced; differentiable in `matrices`.

        `svf.apply.layer_matrices` makes them from deltas; embedding offsets can't be applied here. `factored`: matrices given
        as (right (r, columns), left (rows, r)) with W' = left @ right, which is cheaper for few tokens.
        """
        if self._packed:
            raise ValueError("a packed engine only decides; open one without `pack` to train")
        return partial.features_from(self._params, self._rotary, states, layer, matrices, factored)

    # --- variants ------------------------------------------------------------------------------------------------------------

    def variant(self, offsets: SvfOffsets | None, factors: FactorBundle | Callable[[], FactorBundle] | None = None) -> Variant:
        """Apply offsets once, to be used in many calls.

        `factors`: the bundle that the offsets belong to; None: this machine's.
        """
        if offsets is None:
            return self._base
        return build_variant(self.backbone, offsets, factors or (lambda: self.local_factors(offsets)), packed=self._packed)

    def local_factors(self, offsets: SvfOffsets) -> FactorBundle:
        """The bundle of this machine's cache that these offsets need, decomposed where absent."""
        embedding = bool(offsets.embedding_blocks(tied=self.backbone.info.tied))
        key = (offsets.layer, embedding)
        if key not in self._bundles:
            self._bundles[key] = make_bundle(self.backbone, layer=offsets.layer, embedding=embedding)
        return self._bundles[key]

    def forget(self, variant: Variant) -> None:
        """Drop the cached prefixes of a variant that is no longer resident."""
        if variant.key != BASE_KEY:
            with self._lock:
                self._cache.forget(variant.key)
                if self.graphs is not None:
                    self.graphs.forget(variant.key)

    # --- sequences, for a host that schedules -------------------------------------------------------------------------

    def open(self, token_ids: SequenceOf[int], variants: SequenceOf[Variant]) -> Sequence:
        """Begin a sequence that several variants decide; takes what the prefix cache holds.

        Raises ValueError below two tokens.
        """
        sequence = make_sequence(token_ids, variants, self._stepper.num_layers)
        with self._lock:
            self._adopt_prefix(sequence)
        return sequence

    def step(self, parts: SequenceOf[tuple[Sequence, int]]) -> None:
        """Compute the next `count` tokens of each sequence. Finished sequences are put into the prefix cache."""
        with self._lock:
            if not (len(parts) == 1 and self._replayed(*parts[0])):
                self._stepper.advance([Part(sequence, count) for sequence, count in parts])
            self.stats.steps += 1
            for sequence, count in parts:
                self.stats.computed_tokens += count
                if sequence.finished:
                    self._retire(sequence)

    def _replayed(self, sequence: Sequence, count: int) -> bool:
        """Compute a fresh sequence that one variant decides by a recorded pass, where there is one; whether it was."""
        if self.graphs is None or sequence.done or count < len(sequence.tokens) or len(sequence.variants) > 1:
            return False
        variant = sequence.variants[0]

        def ordinary() -> torch.Tensor:
            fresh = make_sequence((*sequence.tokens, 0), [variant], self._stepper.num_layers)
            self._stepper.advance([Part(fresh, count)])
            return fresh.features[variant.key]

        with torch.inference_mode():
            made = self.graphs.run(sequence.tokens, variant, ordinary)
        if made is None:
            return False
        feature, pairs = made
        # The base lane holds the layers below the one where the variant forks.
        sequence.lanes = {BASE_KEY: pairs[: sequence.base_depth]} if sequence.base_depth else {}
        if variant.key != BASE_KEY:
            sequence.lanes[variant.key] = pairs[sequence.base_depth :]
        sequence.features[variant.key] = feature
        sequence.done += count
        return True

    def run(self, sequences: SequenceOf[Sequence]) -> None:
        """Compute sequences to their end, shortest first, in steps of at most `max_step_tokens` tokens."""
        waiting = sorted((s for s in sequences if not s.finished), key=lambda s: s.remaining)
        while waiting:
            self.step(plan_step(waiting, self.max_step_tokens))
            waiting = [sequence for sequence in waiting if not sequence.finished]

    @property
    def cache_bytes(self) -> int:
        """Bytes held by the prefix cache."""
        return self._cache.size_bytes

    @property
    def cache_bound_bytes(self) -> int:
        """Bound of the prefix cache; 0: there is none."""
        return self._cache.max_bytes

    def clear_cache(self) -> None:
        """Empty the prefix cache."""
        with self._lock:
            self._cache.clear()

    def _adopt_prefix(self, sequence: Sequence) -> None:
        """Take the longest prefix that every lane of the sequence has; the last token is always computed."""
        lanes = [(v.key, 1) for v in sequence.variants if v.key != BASE_KEY]
        if sequence.base_depth:
            lanes.append((BASE_KEY, sequence.base_depth))
        limit, entries = len(sequence.tokens) - 1, []
        for key, depth in lanes:
            length, entry = self._cache.match(key, sequence.tokens, depth)
            limit = min(limit, length)
            if entry is None or limit <= 0:
                return
            entries.append((key, depth, entry))
        for key, depth, entry in entries:
            layers = entry.pairs if key != BASE_KEY else entry.pairs[:depth]
            sequence.lanes[key] = [(k[:, :limit], v[:, :limit]) for k, v in layers]
        sequence.done = sequence.cached = limit

    def _retire(self, sequence: Sequence) -> None:
        self.stats.sequences += 1
        self.stats.cached_tokens += sequence.cached
        for key, pairs in sequence.lanes.items():
            self._cache.put(key, sequence.tokens, pairs)
        sequence.lanes = {}

    def _pack(self) -> None:
        layers = pack_layers(self._params.layers)
        if layers is not self._params.layers:
            self._packed = True
            self._params = replace(self._params, layers=layers)
            self._stepper = Stepper(self._params, self._rotary)
            release(self.backbone.model)

    def _check_forward(self) -> None:
        """Compare with transformers' own forward pass, so that an unknown architecture is refused and not decided wrongly."""
        info = self.backbone.info
        ids = np.random.default_rng(0).integers(0, info.vocab_size, size=_CHECK_TOKENS)
        with torch.inference_mode():
            tokens = torch.from_numpy(ids[None, :]).to(info.device)
            expected = self.backbone.model(input_ids=tokens, use_cache=False).last_hidden_state[0, -2].float().cpu().numpy()
        sequence = make_sequence([int(i) for i in ids], [self._base], info.num_layers)
        self._stepper.advance([Part(sequence, sequence.remaining)])
        got = sequence.features[BASE_KEY].cpu().numpy()
        bound = (1e-3 if info.dtype == "float32" else 0.1) * max(1.0, float(np.abs(expected).max()))
        if not np.isfinite(got).all() or float(np.abs(got - expected).max()) > bound:
            raise ArtifactRefusedError(
                f"The engine does not reproduce the forward pass of model type {info.model_type!r}.", field="backbone"
            )


def plan_step(waiting: Iterable[Sequence], budget_tokens: int) -> list[tuple[Sequence, int]]:
    """What the next step computes: sequences in the given order while the budget lasts, the last one perhaps in part."""
    parts, left = [], budget_tokens
    for sequence in waiting:
        if left <= 0:
            break
        count = min(sequence.remaining, left)
        parts.append((sequence, count))
        left -= count
    return parts


def head_logits(features: FloatArray, head: FloatArray) -> FloatArray:
    """Row logits (n, rows) in float32 from features (n, d) and a head (rows, d); infinite where a head is absurdly large."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(features @ head.T, dtype=np.float32)
