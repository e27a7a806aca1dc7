"""An answer as it streams: timed, checked for its end, and handed on as blocks of whole events.

Blocks are not parsed. Only where a marker says that an event is out of the ordinary (an error, a usage object, the final frame)
are its events looked at one by one. An unescaped `"usage"` cannot occur inside a JSON string, so the markers miss nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kubefugu_coordination.workers.classify import name_worker
from kubefugu_coordination.workers.reply import TokenUsage, error_text, estimate_tokens, read_usage
from kubefugu_coordination.workers.sse import DONE, SseSplitter, data_of, events
from kubefugu_coordination.workers.transport import HttpResponse
from kubefugu_core.errors import DeadlineExceededError, KubefuguError, WorkerError, WorkerProtocolError, WorkerStreamCutError

_USAGE, _NO_USAGE = b'"usage"', (b'"usage":null', b'"usage": null')
_ERROR, _NO_ERROR = b'"error"', (b'"error":null', b'"error": null')
_FINISH = (b'"finish_reason":"', b'"finish_reason": "')
_FRAMING_BYTES = 180
"""Bytes of a chunk around its text, for the estimate where a worker reports no usage."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Times of one streamed call, in seconds."""

    first_token_s: float
    idle_s: float


class _Watch:
    """Closes the response when nothing came for too long. Re-armed lazily: a block costs one assignment, no timer."""

    def __init__(self, response: HttpResponse, limits: StreamLimits, ends_at: float, ends_by: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._response = response
        self._limits = limits
        self._ends = (ends_at, ends_by)
        self._next = (self._loop.time() + limits.first_token_s, f"first byte within {limits.first_token_s:g} s")
        self.expired: tuple[str, str] | None = None
        self._timer = self._arm()

    def _arm(self) -> asyncio.TimerHandle:
        # Not later than one idle time from now: a first block may come soon and then nothing more.
        soonest = self._loop.time() + self._limits.idle_s
        return self._loop.call_at(min(self._next[0], self._ends[0], soonest), self._check)

    def progress(self) -> None:
        """Something came."""
        self._next = (self._loop.time() + self._limits.idle_s, "")

    def _check(self) -> None:
        now = self._loop.time()
        if now >= self._ends[0]:
            self.expired = (self._ends[1], "its whole answer in time")
        elif now >= self._next[0]:
            self.expired = ("worker", self._next[1] or f"further data within {self._limits.idle_s:g} s")
        if self.expired is None:
            self._timer = self._arm()
        else:
            self._response.close()

    def stop(self) -> None:
        """No more timing."""
        self._timer.cancel()


class WorkerStream:
    """Iterate over blocks: bytes of one or more complete events, without [DONE]. Ends only at a proper end of the answer.

    Raises WorkerStreamCutError (cut), WorkerProtocolError (nonsense), WorkerError (an error event) or DeadlineExceededError
    (idle, or out of time). Whoever iterates closes it; closing before the end closes the worker's socket.
    """

    def __init__(
        self, response: HttpResponse, *, worker: str, limits: StreamLimits, ends_at: float, ends_by: str, prompt_bytes: int
    ) -> None:
        self._response = response
        self._worker = worker
        self._splitter = SseSplitter()
        self._watch = _Watch(response, limits, ends_at, ends_by)
        self._prompt_bytes = prompt_bytes
        self._usage: TokenUsage | None = None
        self.usage_report: dict[str, Any] | None = None
        """The worker's last usage object as it sent it."""
        self._answer_bytes = 0
        self._finished = False
        self._done = False
        self.on_end: Callable[[BaseException | None], None] = lambda error: None

    @property
    def usage(self) -> TokenUsage:
        """The worker's last usage report, or an estimate from what passed by."""
        if self._usage is not None:
            return self._usage
        return TokenUsage(estimate_tokens(self._prompt_bytes), estimate_tokens(self._answer_bytes), estimated=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while not self._done:
                data = await self._response.read_some()
                self._watch.progress()
                block = self._splitter.feed(data) if data else self._at_eof()
                if block and (block := self._inspect(block)):
                    yield block
        except GeneratorExit:
            raise
        except WorkerStreamCutError as error:
            translated = self._translate_cut(error)
            self.close(translated)
            raise translated from error
        except KubefuguError as error:
            self.close(name_worker(error, self._worker))
            raise
        except BaseException as error:
            self.close(error)
            raise
        self.close(None)

    def close(self, error: BaseException | None = None) -> None:
        """End it: with None as a success where the answer was complete, else as cancelled. Idempotent."""
        self._watch.stop()
        if not self._done:
            error = error or asyncio.CancelledError()
        if error is None:
            self._response.finish()
        else:
            self._response.close()
        on_end, self.on_end = self.on_end, lambda error: None
        on_end(error)

    def _translate_cut(self, error: WorkerStreamCutError) -> KubefuguError:
        if self._watch.expired is None:
            return WorkerStreamCutError(f"Worker {self._worker}: {error.message}.", metadata={"worker": self._worker})
        limit, what = self._watch.expired
        return DeadlineExceededError(
            f"Worker {self._worker} did not send {what}.", metadata={"worker": self._worker, "limit": limit}
        )

    def _at_eof(self) -> bytes:
        """The connection ended. Some servers leave out the last empty line, or [DONE] after a finish_reason."""
        self._done = True
        rest = self._splitter.pending.strip()
        if data_of(rest) == DONE or (not rest and self._finished):
            return b""
        self._done = False
        raise WorkerStreamCutError("the stream ended before its final frame")

    def _inspect(self, block: bytes) -> bytes:
        self._answer_bytes += max(0, len(block) - _FRAMING_BYTES * block.count(b"\n\n"))
        if not self._finished and (_FINISH[0] in block or _FINISH[1] in block):
            self._finished = True
        if DONE in block:
            block = self._cut_at_done(block)
        if _ERROR in block and block.count(_ERROR) != sum(map(block.count, _NO_ERROR)):
            self._raise_error(block)
        if _USAGE in block and block.count(_USAGE) != sum(map(block.count, _NO_USAGE)):
            self._read_usage(block)
        return block

    def _cut_at_done(self, block: bytes) -> bytes:
        kept = []
        for event in events(block):
            if data_of(event) == DONE:
                self._done = True
                break
            kept.append(event + b"\n\n")
        return b"".join(kept)

    def _raise_error(self, block: bytes) -> None:
        for event in events(block):
            document = parse_chunk(event, worker=self._worker)
            if document.get("error"):
                raise WorkerError(
                    f"Worker {self._worker} answered an error: {error_text(document['error'])}", metadata={"status": "200"}
                )

    def _read_usage(self, block: bytes) -> None:
        for event in events(block):
            report = parse_chunk(event, worker=self._worker).get("usage")
            if (usage := read_usage(report)) is not None:
                self._usage, self.usage_report = usage, report


def parse_chunk(event: bytes, *, worker: str) -> dict[str, Any]:
    """The JSON object of one event, {} for an event without data. Raises WorkerProtocolError for a malformed chunk."""
    data = data_of(event)
    if not data:
        return {}
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WorkerProtocolError(f"Worker {worker} sent a malformed chunk.", metadata={"worker": worker}) from error
    if not isinstance(document, dict):
        raise WorkerProtocolError(f"Worker {worker} sent a chunk that is no object.", metadata={"worker": worker})
    return document


def choices_of(chunk: dict[str, Any], *, worker: str) -> list[dict[str, Any]]:
    """The choices of a chunk, [] where it has none. Raises WorkerProtocolError where they are not what they should be."""
    choices = chunk.get("choices") or []
    if isinstance(choices, list) and all(isinstance(c, dict) and isinstance(c.get("delta") or {}, dict) for c in choices):
        return choices
    raise WorkerProtocolError(f"Worker {worker} sent a malformed chunk.", metadata={"worker": worker})
