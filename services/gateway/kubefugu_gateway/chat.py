"""POST /v1/chat/completions, as a plain ASGI endpoint: FastAPI's request handling would cost more than all the rest."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from kubefugu.executor.v1 import executor_pb2
from kubefugu_core.chat import ChatLimits, parse_chat_request
from kubefugu_core.errors import DeadlineExceededError, OverloadedError, RequestCancelledError, UnavailableError
from kubefugu_gateway.auth import Authenticator
from kubefugu_gateway.body import Receive, read_json_bytes
from kubefugu_gateway.exchange import Exchange
from kubefugu_gateway.executor import Execution, Executor
from kubefugu_gateway.metrics import GatewayMetrics
from kubefugu_gateway.relay import Send, Watch, relay_stream, relay_whole

_UNREAD_S = 5.0
"""Beyond the request's deadline, which ends the executor's call: for a client that does not read what is written."""


class ChatCompletions:
    """The endpoint, and the set of requests that it has in flight."""

    def __init__(
        self,
        *,
        executor: Executor,
        authenticator: Authenticator,
        metrics: GatewayMetrics,
        limits: ChatLimits,
        request_timeout_s: float,
        body_timeout_s: float,
        max_in_flight: int,
    ) -> None:
        self._executor = executor
        self._authenticator = authenticator
        self.metrics = metrics
        self._limits = limits
        self._request_timeout_s = request_timeout_s
        self._body_timeout_s = body_timeout_s
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._running: set[Execution] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. Raises what the application's exception handlers translate."""
        exchange = Exchange()
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        try:
            await self._answer(exchange, scope, receive, send)
        except asyncio.CancelledError:
            exchange.fail(RequestCancelledError("The server gave the request up."))
            raise
        except HTTPException as error:
            exchange.status, exchange.outcome = error.status_code, "invalid_request"
            raise
        except BaseException as error:
            exchange.fail(error)
            raise
        finally:
            self._in_flight -= 1
            self.metrics.in_flight.set(self._in_flight)
            exchange.finish(self.metrics)

    def abort_all(self) -> None:
        """End what is still running, because the process ends: streams get an error event, the others 503."""
        for execution in tuple(self._running):
            execution.cancel(UnavailableError("The gateway is shutting down; try again."))

    async def _answer(self, exchange: Exchange, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        exchange.tenant = self._authenticator.tenant(scope["headers"])
        if self._in_flight > self._max_in_flight:
            raise OverloadedError("Too many requests in flight; try again.", metadata={"retry_after_s": "1"})
        raw = await read_json_bytes(
            receive, scope["headers"], max_bytes=self._limits.max_body_bytes, timeout_s=self._body_timeout_s
        )
        chat = parse_chat_request(raw, limits=self._limits)
        exchange.model, exchange.stream = chat.model, chat.stream
        request = executor_pb2.ExecuteRequest(
            chat_request_json=raw, tenant=exchange.tenant, request_id=exchange.request_id, created=exchange.created
        )
        scope["state"]["decision_id"] = exchange.request_id
        execution = self._executor.execute(request, timeout_s=self._request_timeout_s)
        self._running.add(execution)
        try:
            async with asyncio.timeout(self._request_timeout_s + _UNREAD_S), Watch(receive, execution):
                if chat.stream:
                    await relay_stream(execution, send, exchange, typed_progress=chat.options.progress)
                else:
                    await relay_whole(execution, send, exchange)
        except TimeoutError as error:
            # The server closes the connection of a response that does not end.
            raise DeadlineExceededError("The client did not read its answer in time.") from error
        finally:
            self._running.discard(execution)
