"""A small client of the gateway's OpenAI API; keeps the response headers that tell who answered.

Errors are those of the core's tree, rebuilt from OpenAI's error object (its `code` is the reason in lower case).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from kubefugu_core.errors import InternalError, KubefuguError, UnavailableError, WorkerStreamCutError, from_reason

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Answered:
    """Who answered, from the headers of a response."""

    decision_id: str
    worker: str
    role: str
    policy_version: str
    turns: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Answered:
        """Read the x-kubefugu-* headers; what is absent is empty."""
        names = ("decision-id", "worker", "role", "policy-version", "turns")
        return cls(*(headers.get(f"x-kubefugu-{name}", "") for name in names))


@dataclass(frozen=True)
class Completion:
    """A whole answer."""

    body: dict[str, Any]
    by: Answered

    @property
    def text(self) -> str:
        """The answer's text."""
        message = self.body["choices"][0]["message"]
        return message.get("content") or message.get("refusal") or ""


class ChatStream:
    """An answer that is under way: `by` is known at once, the text comes by iterating, usage at the end."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.by = Answered.of(response.headers)
        self.usage: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        """Pieces of text. Raises the error that the stream ends with, or WorkerStreamCutError where it just ends."""
        try:
            for line in self._response.iter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                chunk = json.loads(data)
                if "error" in chunk:
                    raise _from_openai(chunk)
                self.usage = chunk.get("usage") or self.usage
                for choice in chunk.get("choices", ()):
                    delta = choice.get("delta", {})
                    yield delta.get("content") or delta.get("refusal") or ""
        except httpx.HTTPError as error:
            raise WorkerStreamCutError(f"The answer broke off: {error}") from error
        raise WorkerStreamCutError("The answer broke off.")


class GatewayClient:
    """Talks to one gateway."""

    def __init__(self, url: str, *, api_key: str = "", timeout_s: float = 600.0) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            # A proxy of the environment is for other machines.
            trust_env=httpx.URL(url).host not in ("127.0.0.1", "localhost", "::1"),
        )

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def complete(self, messages: list[dict[str, str]], *, model: str, **options: Any) -> Completion:
        """One answer, whole."""
        body = {"model": model, "messages": messages, **options}
        with self._sent(body) as response:
            response.read()
            return Completion(body=response.json(), by=Answered.of(response.headers))

    @contextmanager
    def stream(self, messages: list[dict[str, str]], *, model: str, **options: Any) -> Iterator[ChatStream]:
        """One answer as it comes. Leaving the block early closes the connection, which cancels the answer."""
        options = {"stream": True, "stream_options": {"include_usage": True}, **options}
        with self._sent({"model": model, "messages": messages, **options}) as response:
            yield ChatStream(response)

    @contextmanager
    def _sent(self, body: dict[str, Any]) -> Iterator[httpx.Response]:
        try:
            with self._http.stream("POST", f"{self.url}/v1/chat/completions", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _from_response(response)
                yield response
        except httpx.ConnectError as error:
            raise UnavailableError(
                f"No gateway answers at {self.url}. Start one with `kubefugu up`, or name it: --url."
            ) from error
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self.url}: {error or type(error).__name__}") from error


def _from_response(response: httpx.Response) -> KubefuguError:
    try:
        return _from_openai(response.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return InternalError(f"{response.request.url} answered {response.status_code} and no error object.")


def _from_openai(body: dict[str, Any]) -> KubefuguError:
    error = body["error"]
    return from_reason(str(error.get("code") or "").upper(), str(error["message"]), field=error.get("param"))
