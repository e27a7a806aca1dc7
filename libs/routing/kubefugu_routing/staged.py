"""An engine whose resident policies are the files of a folder: the half of a host that runs inside a model server.

A client (the router service) writes `policies/<sha256>.safetensors` and, for policies with offsets,
`bundles/<sha256>.safetensors` into a folder that both share. Every engine instance watches it, loads what is new beside its
requests, drops what is gone, and tells in `instances/<name>.json` what is ready or why it was refused. So a swap reaches every
instance without depending on which of them the server happens to hand a request to, and a restarted instance is ready only
with everything that is staged.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from kubefugu_core.errors import InternalError, InvalidRequestError, KubefuguError, PolicyNotFoundError, spec_of
from kubefugu_routing.backbone import load_backbone
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.engine import Engine, Variant
from kubefugu_routing.engine.engine import head_logits
from kubefugu_routing.policy import bind, load_artifact
from kubefugu_routing.svf.bundles import bundle_path, find_bundle

_log = structlog.get_logger()
POLICIES, BUNDLES, INSTANCES = "policies", "bundles", "instances"
READY, REFUSED = "ready", "refused"
WATCH_S = 0.05
HEARTBEAT_S = 1.0
"""A report that was not touched for several of these belongs to an instance that is gone."""
GRACE_S = 2.0
"""A policy whose file is gone is kept this long. The client takes a file away only when no request of its own waits for it, so
what is left are requests that nobody waits for. Each second costs the memory of the policies swapped out within it."""


def write_aside(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees all of it or none."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    aside.write_bytes(content)
    aside.replace(path)


def instance_number(name: str) -> int:
    """A number below 2**24 (exact in float32) that stands for an instance's name in a response."""
    return zlib.crc32(name.encode()) & 0xFFFFFF


def open_engine(backbone: str, *, device: str, dtype: str, threads: int, kv_cache_bytes: int, max_step_tokens: int) -> Engine:
    """Load a backbone and make its engine."""
    loaded = load_backbone(backbone, device=device, dtype=dtype, threads=threads)
    return Engine(loaded, kv_cache_bytes=kv_cache_bytes, max_step_tokens=max_step_tokens)


@dataclass(frozen=True, slots=True)
class Decided:
    """Logits of one sequence: the rows of each asked policy, one after the other, shape (rows,)."""

    logits: NDArray[np.float32]
    cached_tokens: int
    engine_ms: float
    batch_sequences: int = 0
    """Sequences of the batch, told by its first response alone, so that a client counts a batch once."""
    batch_tokens: int = 0
    """Tokens that the batch computed; as `batch_sequences`."""


@dataclass(slots=True)
class _Resident:
    variant: Variant
    head: NDArray[np.float32]
    gone_since_s: float | None = None


@dataclass
class StagedEngine:
    """One engine instance over a stage folder."""

    engine: Engine
    stage_dir: Path
    instance: str
    clock: Callable[[], float] = time.monotonic
    _residents: dict[str, _Resident] = field(default_factory=dict)
    _refused: dict[str, dict[str, str]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def number(self) -> int:
        """This instance in a response's `meta`."""
        return instance_number(self.instance)

    def start(self) -> None:
        """Load what is staged, report, and go on watching."""
        for folder in (POLICIES, BUNDLES, INSTANCES):
            (self.stage_dir / folder).mkdir(parents=True, exist_ok=True)
        self.refresh()
        self._report()
        self._thread = threading.Thread(target=self._watch, name="stage-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and take the report away."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._report_path.unlink(missing_ok=True)

    def decide(self, batch: Sequence[tuple[Sequence[int], Sequence[str]]]) -> list[Decided | KubefuguError]:
        """Decide (token ids, sha256 of each policy) in one pass. Errors stand in the place of their request."""
        begun = time.monotonic()
        results: list[Decided | KubefuguError] = [InternalError("not decided")] * len(batch)
        open_: list[tuple[int, Any, list[_Resident]]] = []
        for index, (token_ids, policies) in enumerate(batch):
            try:
                residents = [self._resident(sha256) for sha256 in policies]
                variants = [resident.variant for resident in residents] or [self.engine.variant(None)]
                open_.append((index, self._open(token_ids, variants), residents))
            except KubefuguError as error:
                results[index] = error
        try:
            self.engine.run([sequence for _, sequence, _ in open_])
        except Exception as error:
            _log.error("engine_failed", exc_info=error)
            for index, _, _ in open_:
                results[index] = InternalError("The engine failed.")
            return results
        engine_ms = 1000 * (time.monotonic() - begun)
        tokens = sum(len(sequence.tokens) - sequence.cached for _, sequence, _ in open_)
        for place, (index, sequence, residents) in enumerate(open_):
            rows = [
                head_logits(sequence.features[resident.variant.key].cpu().numpy()[None, :], resident.head)[0]
                for resident in residents
            ]
            logits = np.concatenate(rows) if rows else np.zeros(1, np.float32)
            told = (len(open_), tokens) if place == 0 else (0, 0)
            results[index] = Decided(logits.astype(np.float32), sequence.cached, engine_ms, *told)
        return results

    def _open(self, token_ids: Sequence[int], variants: Sequence[Variant]) -> Any:
        vocabulary = self.engine.backbone.info.vocab_size
        if len(token_ids) < 2 or any(not 0 <= token < vocabulary for token in token_ids):
            raise InvalidRequestError(f"input_ids needs two or more ids below {vocabulary}.", field="input_ids")
        return self.engine.open(token_ids, variants)

    def _resident(self, sha256: str) -> _Resident:
        resident = self._residents.get(sha256)
        if resident is None:
            raise PolicyNotFoundError(f"Policy {sha256[:12]} is not resident.", field="policies")
        return resident

    # --- the folder ----------------------------------------------------------------------------------------------------------

    @property
    def _report_path(self) -> Path:
        return self.stage_dir / INSTANCES / f"{self.instance}.json"

    def _watch(self) -> None:
        beaten = self.clock()
        while not self._stop.wait(WATCH_S):
            try:
                if self.refresh():
                    self._report()
                if self.clock() - beaten >= HEARTBEAT_S:
                    beaten = self.clock()
                    self._report_path.touch()
            except OSError as error:
                # A full or vanished folder must not end the watch; the missing heartbeat tells.
                _log.warning("stage_unreadable", error=str(error))

    def refresh(self) -> bool:
        """Bring the residents in line with the folder; True if anything changed."""
        staged = {path.stem: path for path in (self.stage_dir / POLICIES).glob("*.safetensors")}
        changed = False
        for sha256, path in staged.items():
            resident = self._residents.get(sha256)
            if resident is not None:
                resident.gone_since_s = None
            elif sha256 not in self._refused:
                self._load(sha256, path)
                changed = True
        for sha256 in [known for known in self._refused if known not in staged]:
            del self._refused[sha256]
            changed = True
        now = self.clock()
        for sha256, resident in list(self._residents.items()):
            if sha256 in staged:
                continue
            if resident.gone_since_s is None:
                resident.gone_since_s = now
            elif now - resident.gone_since_s >= GRACE_S:
                self._drop(sha256)
                changed = True
        return changed

    def _load(self, sha256: str, path: Path) -> None:
        try:
            policy = bind(load_artifact(path, sha256=sha256), self.engine.backbone.info)
            factors = policy.artifact.factors
            beside = self.stage_dir / BUNDLES / path.name
            loader = (lambda: find_bundle(factors, beside=beside)) if factors is not None else None
            variant = self.engine.variant(policy.artifact.offsets, loader)
            head = policy.artifact.head
            # Warm it up beside the requests, so that the first decision pays nothing more.
            self.engine.features_of([(0, 1, 2)], variant)
            self._residents[sha256] = _Resident(variant, head)
        except KubefuguError as error:
            self._refused[sha256] = {"reason": spec_of(error).reason, "message": error.message}
        except Exception as error:
            _log.error("policy_load_failed", sha256=sha256, exc_info=error)
            self._refused[sha256] = {"reason": "INTERNAL", "message": "The policy could not be loaded."}

    def _drop(self, sha256: str) -> None:
        gone = self._residents.pop(sha256)
        if all(kept.variant.key != gone.variant.key for kept in self._residents.values()):
            self.engine.forget(gone.variant)

    def _report(self) -> None:
        info = asdict(self.engine.backbone.info)
        document = {
            "instance": self.instance,
            "kv_cache_bytes": self.engine.cache_bound_bytes,
            "backbone": {**info, "shapes": {name: list(shape) for name, shape in info["shapes"].items()}},
            READY: sorted(self._residents),
            REFUSED: self._refused,
        }
        write_aside(self._report_path, json.dumps(document).encode())


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """What an instance told of itself."""

    instance: str
    backbone: BackboneInfo
    ready: frozenset[str]
    refused: Mapping[str, Mapping[str, str]]
    kv_cache_bytes: int
    """Bound of its prefix cache."""


def read_reports(stage_dir: Path, *, max_age_s: float = 5 * HEARTBEAT_S) -> list[InstanceReport]:
    """Reports of the instances that are alive, by name. A report that is being replaced is read at the next call."""
    reports = []
    for path in sorted((stage_dir / INSTANCES).glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime > max_age_s:
                continue
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        backbone = document["backbone"]
        backbone["shapes"] = {name: (shape[0], shape[1]) for name, shape in backbone["shapes"].items()}
        reports.append(
            InstanceReport(
                instance=document["instance"],
                backbone=BackboneInfo(**backbone),
                ready=frozenset(document[READY]),
                refused=document[REFUSED],
                kv_cache_bytes=int(document["kv_cache_bytes"]),
            )
        )
    return reports


def stage_bundle(stage_dir: Path, sha256: str, *, beside: Path) -> None:
    """Put a factor bundle of this machine (cache, or the artifact's folder) where the instances find it."""
    target = stage_dir / BUNDLES / f"{sha256}.safetensors"
    sources = [path for path in (bundle_path(sha256), beside.parent / target.name) if path.is_file()]
    if target.exists() or not sources:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(sources[0], target)
    except OSError:
        write_aside(target, sources[0].read_bytes())
