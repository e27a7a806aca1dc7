"""Calls one worker: any server that speaks the OpenAI chat API, described by a WorkerSpec.

Every failure becomes a class of the error tree. A call is tried again only while nothing of an answer was seen. Times come
from the spec and from the caller's deadline, whichever ends first. Cancelling a call closes the worker's socket at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from kubefugu_coordination.clock import Clock, Deadline, SystemClock
from kubefugu_coordination.workers.admission import Admission, CallObserver, Lease
from kubefugu_coordination.workers.cache import ReplyCache, request_key
from kubefugu_coordination.workers.classify import asked_pause_s, content_type_error, may_retry, name_worker, status_error
from kubefugu_coordination.workers.endpoint import KeySource, base_url
from kubefugu_coordination.workers.reply import TokenUsage, WorkerReply, estimate_tokens, parse_completion, read_usage
from kubefugu_coordination.workers.stream import StreamLimits, WorkerStream
from kubefugu_coordination.workers.transport import HttpResponse, HttpTransport
from kubefugu_core.errors import DeadlineExceededError, KubefuguError, WorkerProtocolError, WorkerStreamCutError
from kubefugu_core.pool import WorkerSpec

_JSON, _SSE = "application/json", "text/event-stream"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_OURS = ("kubefugu", "model", "stream", "stream_options")
_Result = TypeVar("_Result")
_Once = Callable[[bytes, Deadline, str], Awaitable[_Result]]
"""One call: body, deadline, whose deadline it is."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently the same worker is asked again. Serving fails over soon; training waits."""

    attempts: int = 2
    """Calls altogether, the first included."""
    first_wait_s: float = 0.1
    """Pause before the second try; doubled for each further one."""
    max_wait_s: float = 2.0
    """Longest pause, Retry-After included: a worker that asks for more is given up."""

    def wait_s(self, error: KubefuguError, *, attempt: int, deadline: Deadline) -> float | None:
        """Pause before trying again after the `attempt`-th call (from 1), None to give up."""
        if attempt >= self.attempts or not may_retry(error):
            return None
        pause_s = asked_pause_s(error)
        if pause_s is None:
            pause_s = min(self.first_wait_s * 2 ** (attempt - 1), self.max_wait_s)
        return pause_s if pause_s <= self.max_wait_s and pause_s < deadline.remaining_s() else None


DEFAULT_RETRY = RetryPolicy()


def _endpoint(url: str, *, pool: str, worker: str) -> str:
    """Whose replies a cache keeps. A server on this machine has another port each time it is started: its name tells it."""
    return f"local:{pool}/{worker}" if urlsplit(url).hostname in _LOOPBACK else url


def _estimate(body: Mapping[str, Any], reply: bytes) -> TokenUsage:
    """Usage of a worker that reports none: the same for a kept reply as for the first one."""
    return TokenUsage(estimate_tokens(len(orjson.dumps(body))), estimate_tokens(len(reply)), estimated=True)


class WorkerClient:
    """One worker. Made by a WorkerSet; safe for concurrent use inside one event loop."""

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        pool: str,
        transport: HttpTransport,
        keys: KeySource,
        clock: Clock | None = None,
        retry: RetryPolicy = DEFAULT_RETRY,
        cache: ReplyCache | None = None,
        observer: CallObserver | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.spec = spec
        self.url = base_url(spec, pool=pool)
        self._chat_url = f"{self.url}/chat/completions"
        self._endpoint = _endpoint(self._chat_url, pool=pool, worker=spec.name)
        self._transport = transport
        self._keys = keys
        self._clock: Clock = clock or SystemClock()
        self._retry = retry
        self._cache = cache
        prices = spec.prices
        self._usd_per_token = (float(prices.input_per_million_tokens) / 1e6, float(prices.output_per_million_tokens) / 1e6)
        self.admission = admission or Admission(spec, self._clock, observer=observer)

    def __repr__(self) -> str:
        return f"WorkerClient({self.spec.name!r}, {self.url!r})"

    @property
    def name(self) -> str:
        """The worker's name in its pool."""
        return self.spec.name

    def cost_usd(self, usage: TokenUsage) -> float:
        """What a call that used this much costs, by the pool's prices."""
        input_usd, output_usd = self._usd_per_token
        return usage.prompt_tokens * input_usd + usage.completion_tokens * output_usd

    async def complete(self, request: Mapping[str, Any], *, deadline: Deadline) -> WorkerReply:
        """Ask for a whole answer. `request` is a chat completion body; its model, stream and kubefugu members are replaced.

        Raises RateLimitedError, WorkerUnreachableError, WorkerProtocolError, WorkerStreamCutError, WorkerRejectedRequestError,
        WorkerMisconfiguredError, WorkerError, OverloadedError or DeadlineExceededError.
        """
        body = self._body(request)
        if self._cache is None:
            return await self._complete(body, deadline)
        key = request_key(self._endpoint, body)
        if (stored := await self._cache.get(key)) is not None:
            return self._reply(stored, _estimate(body, stored), latency_ms=0.0, cached=True)
        reply = await self._complete(body, deadline)
        await self._cache.put(key, orjson.dumps(reply.completion))
        # Read back, so that everybody who asked the same at the same time goes on with the same reply.
        kept = await self._cache.get(key) or orjson.dumps(reply.completion)
        return self._reply(kept, _estimate(body, kept), latency_ms=reply.latency_ms)

    @asynccontextmanager
    async def stream(self, request: Mapping[str, Any], *, deadline: Deadline) -> AsyncIterator[WorkerStream]:
        """Ask for a streamed answer; usage is always requested. Leaving the block closes it. Raises like `complete`."""
        body = self._body(request)
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        stream = await self._retried(self._open_stream, orjson.dumps(body), deadline)
        try:
            yield stream
        except BaseException as error:
            stream.close(error)
            raise
        stream.close()

    def _body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        body = {"model": self.spec.model}
        body.update(request)
        for member in _OURS:
            body.pop(member, None)
        body["model"] = self.spec.model
        return body

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        if key := self._keys.key(self.spec):
            headers["Authorization"] = f"Bearer {key}"
        return headers

    async def _complete(self, body: dict[str, Any], deadline: Deadline) -> WorkerReply:
        return await self._retried(self._complete_once, orjson.dumps(body), deadline)

    async def _retried(self, once: _Once[_Result], payload: bytes, deadline: Deadline) -> _Result:
        """`once` until it succeeds or what it raises is not worth another try."""
        deadline, limit = self._ends(deadline)
        attempt = 1
        while True:
            try:
                return await once(payload, deadline, limit)
            except KubefuguError as error:
                wait_s = self._retry.wait_s(error, attempt=attempt, deadline=deadline)
                if wait_s is None:
                    raise
            await self._clock.sleep(wait_s)
            attempt += 1

    async def _complete_once(self, payload: bytes, deadline: Deadline, limit: str) -> WorkerReply:
        prompt_tokens = estimate_tokens(len(payload))
        lease = await self.admission.admit(deadline, tokens=prompt_tokens)
        try:
            async with asyncio.timeout(max(0.0, deadline.remaining_s())):
                response = await self._post(payload, _JSON)
                try:
                    answer = await response.read_all()
                finally:
                    response.close()
            if problem := content_type_error(response.headers, expected=_JSON, worker=self.name):
                raise problem
            latency_ms = (self._clock.monotonic() - lease.started) * 1e3
            fallback = TokenUsage(prompt_tokens, estimate_tokens(len(answer)), estimated=True)
            reply = self._reply(answer, fallback, latency_ms=latency_ms)
        except TimeoutError as error:
            late = DeadlineExceededError(
                f"Worker {self.name} did not answer in time.", metadata={"worker": self.name, "limit": limit}
            )
            lease.failed(late)
            raise late from error
        except BaseException as error:
            lease.failed(name_worker(error, self.name))
            raise
        lease.succeeded(tokens=reply.usage.total_tokens)
        return reply

    async def _open_stream(self, payload: bytes, deadline: Deadline, limit: str) -> WorkerStream:
        times = self.spec.timeouts
        lease = await self.admission.admit(deadline, tokens=estimate_tokens(len(payload)))
        headers_s = min(float(times.connect_seconds + times.first_token_seconds), deadline.remaining_s())
        try:
            async with asyncio.timeout(max(0.0, headers_s)):
                response = await self._post(payload, _SSE)
            if problem := content_type_error(response.headers, expected=_SSE, worker=self.name):
                response.close()
                raise problem
        except TimeoutError as error:
            by = limit if deadline.remaining_s() <= 0 else "worker"
            late = DeadlineExceededError(
                f"Worker {self.name} sent no first byte within {headers_s:.3g} s.", metadata={"worker": self.name, "limit": by}
            )
            lease.failed(late)
            raise late from error
        except BaseException as error:
            lease.failed(name_worker(error, self.name))
            raise
        return self._begin_stream(response, lease, deadline, limit, len(payload))

    def _begin_stream(
        self, response: HttpResponse, lease: Lease, deadline: Deadline, limit: str, prompt_bytes: int
    ) -> WorkerStream:
        times = self.spec.timeouts
        waited_s = self._clock.monotonic() - lease.started
        first_token_s = max(0.001, times.connect_seconds + times.first_token_seconds - waited_s)
        stream = WorkerStream(
            response,
            worker=self.name,
            limits=StreamLimits(first_token_s=first_token_s, idle_s=float(times.idle_seconds)),
            ends_at=asyncio.get_running_loop().time() + deadline.remaining_s(),
            ends_by=limit,
            prompt_bytes=prompt_bytes,
        )

        def ended(error: BaseException | None) -> None:
            if error is None:
                lease.succeeded(tokens=stream.usage.total_tokens)
            else:
                lease.failed(error)

        stream.on_end = ended
        return stream

    async def _post(self, payload: bytes, accept: str) -> HttpResponse:
        response = await self._transport.post(
            self._chat_url,
            headers=self._headers(accept),
            body=payload,
            connect_timeout_s=float(self.spec.timeouts.connect_seconds),
        )
        if response.status == 200:
            return response
        try:
            said = await response.read_all()
        except (WorkerStreamCutError, WorkerProtocolError):
            said = b""
        finally:
            response.close()
        raise status_error(response.status, response.headers, said, worker=self.name, now=self._clock.time())

    def _ends(self, deadline: Deadline) -> tuple[Deadline, str]:
        """The call's own deadline, and whose it is."""
        total_s = float(self.spec.timeouts.total_seconds)
        return deadline.within(total_s), "worker" if total_s < deadline.remaining_s() else "caller"

    def _reply(self, payload: bytes, fallback: TokenUsage, *, latency_ms: float, cached: bool = False) -> WorkerReply:
        completion = parse_completion(payload, worker=self.name)
        usage = read_usage(completion.get("usage")) or fallback
        return WorkerReply(self.name, completion, usage, self.cost_usd(usage), latency_ms, cached)
