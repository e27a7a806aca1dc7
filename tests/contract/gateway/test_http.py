"""HTTP around the chat endpoint: unknown URLs and methods, bodies that are no JSON document, limits, models, OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from support.bodies import body
from support.executor import Response, done, say_hello, scripted_executor
from support.gateway import running_gateway
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


def check_shape(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/completions", "/v1/chat/completions/", "/v1/decisions/", "/%ff%00"])
async def test_an_unknown_url_is_404(rig: Any, path: str) -> None:
    check_shape(await rig.client.post(path, json=body()), 404, "unknown_url")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_405(rig: Any, method: str) -> None:
    response = await rig.client.request(method, PATH)
    check_shape(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    check_shape(await rig.client.post("/v1/models", json={}), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        JSON | {"content-encoding": "gzip"},
    ],
)
async def test_a_body_that_is_not_declared_as_json_is_415(rig: Any, headers: dict[str, str]) -> None:
    check_shape(await rig.client.post(PATH, content=orjson.dumps(body()), headers=headers), 415, "unsupported_media_type")


async def test_a_body_that_is_too_large_is_413_declared_or_not() -> None:
    async with (
        scripted_executor(say_hello) as (executor, target),
        running_gateway(target, max_body_bytes=10_000) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        big = orjson.dumps(body({"role": "user", "content": "x" * 20_000}))

        async def in_pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(big), 1000):
                yield big[start : start + 1000]

        check_shape(await client.post(PATH, content=big, headers=JSON), 413, "request_too_large")
        check_shape(await client.post(PATH, content=in_pieces(), headers=JSON), 413, "request_too_large")
        assert executor.requests == []
        fits = orjson.dumps(body({"role": "user", "content": "x" * 9_900}))
        assert (await client.post(PATH, content=fits, headers=JSON)).status_code == 200


async def test_a_body_in_pieces_is_put_together(rig: Any) -> None:
    raw = orjson.dumps(body({"role": "user", "content": "x" * 300_000}))

    async def in_pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), 50_000):
            yield raw[start : start + 50_000]
            await asyncio.sleep(0)

    assert (await rig.client.post(PATH, content=in_pieces(), headers=JSON)).status_code == 200
    assert rig.executor.requests[0].chat_request_json == raw


async def test_a_body_that_does_not_come_is_408() -> None:
    async with scripted_executor(say_hello) as (_, target), running_gateway(target, body_timeout_seconds=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{{".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 60)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"request_timeout"' in answer
        writer.close()


async def test_more_requests_than_allowed_in_flight_get_503_and_a_hint() -> None:
    release = asyncio.Event()

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        await release.wait()
        yield done(request, "ok")

    async with (
        scripted_executor(script) as (executor, target),
        running_gateway(target, max_in_flight=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        first = asyncio.create_task(client.post(PATH, json=body()))
        await until(executor.started.is_set, what="the first is in flight")
        second = await client.post(PATH, json=body())
        assert second.status_code == 503
        assert second.json()["error"]["code"] == "overloaded"
        assert second.headers["retry-after"] == "1"
        release.set()
        assert (await first).status_code == 200
        assert (await client.post(PATH, json=body())).status_code == 200


async def test_models_are_the_executors(rig: Any) -> None:
    rig.executor.models = [
        executor_pb2.Model(id="fugu", owned_by="kubefugu", context_tokens=4096),
        executor_pb2.Model(id="pool/fugu", owned_by="kubefugu", capabilities=["tools"]),
    ]
    listed = (await rig.client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["fugu", "pool/fugu"]
    one = (await rig.client.get("/v1/models/pool/fugu")).json()
    assert one == {
        "id": "pool/fugu",
        "object": "model",
        "created": 0,
        "owned_by": "kubefugu",
        "kubefugu": {"context_tokens": 0, "capabilities": ["tools"]},
    }
    assert (await rig.client.get("/v1/models/pool%2Ffugu")).json() == one
    missing = await rig.client.get("/v1/models/none")
    check_shape(missing, 404, "model_not_found")
    assert missing.json()["error"]["param"] == "model"


async def test_ready_follows_the_executors_health() -> None:
    async with (
        scripted_executor(serving=False) as (_, target),
        running_gateway(target) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    async with (
        scripted_executor(serving=True) as (_, target),
        running_gateway(target) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
    ):
        assert (await client.get("/readyz")).status_code == 200


async def test_openapi_names_the_chat_endpoint_and_every_reference_resolves(rig: Any) -> None:
    document = (await rig.client.get("/openapi.json")).json()
    assert {PATH, "/v1/models", "/v1/decisions/{request_id}", "/readyz"} <= set(document["paths"])
    schemas = document["components"]["schemas"]
    assert {"model", "messages", "kubefugu", "reasoning_effort"} <= set(schemas["ChatRequest"]["properties"])

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return found.union(*(references(child) for child in value.values()))
        return set().union(*(references(child) for child in value)) if isinstance(value, list) else set()

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert (await rig.client.get("/docs")).status_code == 200
