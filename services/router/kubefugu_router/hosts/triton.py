"""The engine behind a Triton server in the same pod: policies are staged in a shared folder, every request is pinned by sha256.

The server's model repository is services/router/model_repository. Triton's gRPC API: https://github.com/triton-inference-server/server/blob/
main/docs/protocol; queue overflow and queue timeout both come back as UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import structlog

from kubefugu_core.errors import (
    ArtifactRefusedError,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    KubefuguError,
    OverloadedError,
    PolicyNotFoundError,
    UnavailableError,
)
from kubefugu_router.domain.ports import Answer, HostObserver, InstanceAnswer, Question, StagedPolicy
from kubefugu_router.domain.schedule import CPU_STEP_TOKENS, GPU_STEP_TOKENS
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.staged import (
    BUNDLES,
    INSTANCES,
    POLICIES,
    InstanceReport,
    instance_number,
    read_reports,
    stage_bundle,
    write_aside,
)
from kubefugu_routing.svf.bundles import find_bundle

_log = structlog.get_logger()
MODEL = "router"
POLL_S = 0.02
PULSE_TOKENS = (0, 1)
_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # gRPC's own backoff grows to two minutes: a server that restarts would be missed for that long.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(eq=False)
class TritonHost:
    """EngineHost over a Triton server at `target`. `stage_dir` is shared with it."""

    target: str
    stage_dir: Path
    observer: HostObserver
    allowed_uri_prefixes: tuple[str, ...] = ()
    max_queue_requests: int = 512
    """Requests of this client that wait or are computed; further ones are refused before Triton has to."""
    load_timeout_s: float = 120.0
    start_timeout_s: float = 300.0
    max_step_tokens: int = 0
    """A longer transcript is sent in pieces of this many tokens; 0: 512 where the server computes on a CPU, 8192 on a GPU."""
    _client: Any = None
    _instances: int = 0
    _reports: list[InstanceReport] = field(default_factory=list)
    _sha256_of: dict[str, str] = field(default_factory=dict)
    _rows_of: dict[str, int] = field(default_factory=dict)
    _in_flight: int = 0
    _cache_bytes: int = 0

    @property
    def info(self) -> BackboneInfo:
        """The backbone as the server's instances report it; known after `start`."""
        if not self._reports:
            raise UnavailableError("No Triton instance has reported its backbone yet.")
        return self._reports[0].backbone

    async def start(self) -> None:
        """Wait until the model is ready on every instance. Raises UnavailableError after `start_timeout_s`."""
        import tritonclient.grpc.aio as triton

        for folder in (POLICIES, BUNDLES, INSTANCES):
            (self.stage_dir / folder).mkdir(parents=True, exist_ok=True)
        # What an earlier run staged and this one declares is staged again at once; the rest would stay for ever.
        for path in (self.stage_dir / POLICIES).glob("*.safetensors"):
            path.unlink(missing_ok=True)
        self._client = triton.InferenceServerClient(self.target, channel_args=_CHANNEL)
        deadline = time.monotonic() + self.start_timeout_s
        while not await self._ready():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"Triton's model {MODEL!r} at {self.target} was not ready in {self.start_timeout_s:g} s."
                )
            await asyncio.sleep(0.2)

    async def _ready(self) -> bool:
        try:
            if not await self._client.is_model_ready(MODEL, client_timeout=2):
                return False
            config = (await self._client.get_model_config(MODEL, client_timeout=2)).config
        except Exception as error:
            _log.debug("triton_not_ready", error=type(error).__name__)
            return False
        self._instances = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
        self._reports = read_reports(self.stage_dir)
        return len(self._reports) >= self._instances

    async def close(self) -> None:
        """Close the channel; Triton itself is ended by its pod."""
        if self._client is not None:
            await self._client.close()

    async def load(self, staged: StagedPolicy) -> None:
        """Stage the file and its factor bundle, and wait until every instance has it. A refusal takes the file away again."""
        factors = staged.policy.artifact.factors
        if factors is not None and staged.policy.artifact.has_offsets:
            # Fetched here, within the allowed prefixes; the server itself reads nothing but the shared folder.
            await asyncio.to_thread(find_bundle, factors, beside=staged.path, allowed_prefixes=self.allowed_uri_prefixes)
            await asyncio.to_thread(stage_bundle, self.stage_dir, factors.sha256, beside=staged.path)
        path = self.stage_dir / POLICIES / f"{staged.sha256}.safetensors"
        if not path.exists():
            await asyncio.to_thread(write_aside, path, staged.path.read_bytes())
        try:
            await self._wait_until_ready(staged)
        except KubefuguError:
            if staged.sha256 not in self._sha256_of.values():
                path.unlink(missing_ok=True)
            raise
        self._rows_of[staged.version] = len(staged.policy.artifact.row_names)
        self._sha256_of[staged.version] = staged.sha256

    async def _wait_until_ready(self, staged: StagedPolicy) -> None:
        deadline = time.monotonic() + self.load_timeout_s
        while time.monotonic() < deadline:
            reports = await asyncio.to_thread(read_reports, self.stage_dir)
            for report in reports:
                refusal = report.refused.get(staged.sha256)
                if refusal:
                    raise ArtifactRefusedError(f"{report.instance}: {refusal['message']}", field="artifact")
            if len(reports) >= self._instances and all(staged.sha256 in report.ready for report in reports):
                self._reports = reports
                return
            await asyncio.sleep(POLL_S)
        raise UnavailableError(f"Version {staged.version!r} was not ready on every instance in {self.load_timeout_s:g} s.")

    async def unload(self, version: str) -> None:
        """Take the file away; the instances keep it for their grace, so that queued requests finish."""
        sha256 = self._sha256_of.pop(version, None)
        self._rows_of.pop(version, None)
        if sha256 is not None and sha256 not in self._sha256_of.values():
            (self.stage_dir / POLICIES / f"{sha256}.safetensors").unlink(missing_ok=True)

    async def probe(self, version: str, token_ids: Sequence[int], *, timeout_s: float) -> Sequence[InstanceAnswer]:
        """Ask until every instance has decided once; which one takes a request is Triton's choice."""
        names = {instance_number(report.instance): report.instance for report in self._reports}
        question = Question(token_ids=token_ids, versions=(version,), deadline_s=time.monotonic() + timeout_s)
        seen: dict[int, InstanceAnswer] = {}
        while len(seen) < max(1, self._instances):
            answers = await asyncio.gather(*(self._infer(question) for _ in range(max(1, self._instances) * 2)))
            for answer, number in answers:
                name = f"triton/{names.get(number, str(number))}"
                seen[number] = InstanceAnswer(name, answer.logits[version], self._sha256_of[version])
        return [seen[number] for number in sorted(seen)]

    async def decide(self, question: Question) -> Answer:
        """Decide with one or several versions in one pass.

        A long transcript is asked for in pieces: each leaves its prefix in the instance's cache, and short requests pass in
        between. Should the cache lose a piece, the next one computes it again.
        """
        if self._in_flight >= self.max_queue_requests:
            raise OverloadedError(f"{self._in_flight} requests wait for Triton.")
        total = len(question.token_ids)
        step = self._piece_tokens(question)
        ends = [*(range(step, total, step) if step else ()), total]
        reused, own, queue_ms, engine_ms = 0, 0, 0.0, 0.0
        for end in ends:
            part = question if end == total else replace(question, token_ids=question.token_ids[:end])
            answer, _ = await self._infer(part)
            # Beyond what the last piece left there, it was there before.
            if answer.cached_tokens > own:
                reused = answer.cached_tokens
            own = end - 1
            queue_ms, engine_ms = queue_ms + answer.queue_ms, engine_ms + answer.engine_ms
        self.observer.finished(computed_tokens=total - 1 - reused, cached_tokens=reused, cache_bytes=self._cache_bytes)
        return Answer(answer.logits, reused, queue_ms=queue_ms, engine_ms=engine_ms)

    def _piece_tokens(self, question: Question) -> int:
        """Tokens of one piece; 0: no pieces, because another instance, or a cache that is too small, would begin anew."""
        info = self.info
        width = 4 if info.dtype == "float32" else 2
        token_bytes = 2 * width * info.shapes["k_proj"][0] * info.num_layers
        needed = len(question.token_ids) * token_bytes * (1 + len(question.versions))
        if self._instances != 1 or any(report.kv_cache_bytes < needed for report in self._reports):
            return 0
        return self.max_step_tokens or (CPU_STEP_TOKENS if info.device == "cpu" else GPU_STEP_TOKENS)

    async def pulse(self, *, timeout_s: float) -> None:
        """A forward pass of two tokens through Triton's queue. A full queue is an answer: a busy server is not a dead one."""
        question = Question(token_ids=PULSE_TOKENS, versions=(), deadline_s=time.monotonic() + timeout_s)
        try:
            await self._infer(question)
        except OverloadedError:
            return
        except KubefuguError as error:
            raise UnavailableError(f"Triton gave no answer: {error.message}") from error

    async def _infer(self, question: Question) -> tuple[Answer, int]:
        import tritonclient.grpc.aio as triton
        from tritonclient.utils import InferenceServerException

        shas = [self._pinned(version) for version in question.versions]
        remaining_s = question.deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceededError("The engine did not decide within the deadline.")
        tokens = np.asarray([question.token_ids], dtype=np.int32)
        tensor = triton.InferInput("input_ids", list(tokens.shape), "INT32")
        tensor.set_data_from_numpy(tokens)
        begun = time.monotonic()
        self._count(1)
        try:
            result = await self._client.infer(
                MODEL,
                [tensor],
                timeout=int(remaining_s * 1e6),
                client_timeout=remaining_s,
                parameters={"policies": ",".join(shas)} if shas else None,
            )
        except InferenceServerException as error:
            raise _translate(error) from error
        finally:
            self._count(-1)
        cached, engine_ms, number, sequences, tokens, cache_mib = result.as_numpy("meta").reshape(-1).tolist()
        if sequences:
            self.observer.step(sequences=int(sequences), tokens=int(tokens), seconds=engine_ms / 1000)
        self._cache_bytes = int(cache_mib * (1 << 20))
        wall_ms = 1000 * (time.monotonic() - begun)
        logits = self._split(result.as_numpy("logits").reshape(-1), question.versions)
        return Answer(logits, int(cached), queue_ms=max(0.0, wall_ms - engine_ms), engine_ms=engine_ms), int(number)

    def _split(self, rows: np.ndarray[Any, Any], versions: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
        logits, at = {}, 0
        for version in versions:
            logits[version] = rows[at : at + self._rows_of[version]].astype(np.float32)
            at += self._rows_of[version]
        return logits

    def _pinned(self, version: str) -> str:
        sha256 = self._sha256_of.get(version)
        if sha256 is None:
            raise PolicyNotFoundError(f"Policy version {version!r} is not resident.", field="policy_version")
        return sha256

    def _count(self, change: int) -> None:
        self._in_flight += change
        self.observer.queue(requests=self._in_flight)


_AWAY = {grpc.StatusCode.UNAVAILABLE.name, grpc.StatusCode.CANCELLED.name, grpc.StatusCode.NOT_FOUND.name}


def _translate(error: Any) -> KubefuguError:
    """Triton's status as an error of the tree (its text names our own reasons where model.py answered)."""
    status, message = str(error.status() or ""), str(error.message() or "")
    code = status.rsplit(".", 1)[-1]
    if code == grpc.StatusCode.DEADLINE_EXCEEDED.name:
        return DeadlineExceededError("The engine did not decide within the deadline.")
    if code == grpc.StatusCode.NOT_FOUND.name and "unknown model" not in message:
        return PolicyNotFoundError(message, field="policy_version")
    if code == grpc.StatusCode.INVALID_ARGUMENT.name:
        return InvalidRequestError(message)
    if "queue" in message.lower():
        return OverloadedError(f"Triton's queue refused the request: {message}")
    if code in _AWAY or "not healthy" in message:
        return UnavailableError(f"Triton cannot decide now: {message}")
    return InternalError(f"Triton failed: {message}")
