"""The gateway as a process: it says where it listens, drains on SIGTERM, and does not start where it would be open to all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
from support.bodies import body
from support.executor import Response, chunk, done, scripted_executor, sse
from support.processes import service
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2

PATH = "/v1/chat/completions"
MODULE = "kubefugu_gateway"


async def test_on_sigterm_streams_end_as_if_nothing_happened_and_the_exit_code_is_zero() -> None:
    release = asyncio.Event()

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield chunk(request, "before")
        await release.wait()
        yield chunk(request, "after")
        yield sse(b"data: [DONE]\n\n")
        yield done(request)

    async with (
        scripted_executor(script) as (_, target),
        service(MODULE, "--port", "0", "--executor-target", target, "--drain-seconds", "20") as gateway,
    ):
        port = (await gateway.wait_for("gateway_listening"))["port"]
        url = f"http://127.0.0.1:{port}"
        async with (
            httpx.AsyncClient(base_url=url, timeout=60) as client,
            client.stream("POST", PATH, json=body(stream=True)) as response,
        ):
            lines = (line async for line in response.aiter_lines() if line)
            assert "before" in await anext(lines)
            gateway.terminate()
            await gateway.wait_for("gateway_draining")
            await until_refused(port)
            assert gateway.returncode is None
            release.set()
            rest = [line async for line in lines]
        assert "after" in rest[0]
        assert rest[1] == "data: [DONE]"
        assert await gateway.ended() == 0
        assert gateway.event("gateway_stopped")
        logged = gateway.event("chat_request")
        assert logged is not None
        assert (logged["status"], logged["outcome"]) == (200, "ok")
        # The log holds nothing of what was said.
        assert not any("before" in line for line in gateway.lines)


async def test_after_sigterm_new_connections_are_answered_for_a_while_and_told_to_end() -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield sse(b'{"id": "x"}')
        yield done(request)

    async with (
        scripted_executor(script) as (_, target),
        service(MODULE, "--port", "0", "--executor-target", target, "--linger-seconds", "120") as gateway,
    ):
        port = (await gateway.wait_for("gateway_listening"))["port"]
        url = f"http://127.0.0.1:{port}/healthz"
        async with httpx.AsyncClient() as kept:
            assert "connection" not in (await kept.get(url)).headers
            gateway.terminate()
            await gateway.wait_for("gateway_leaving")
            assert (await kept.get(url)).headers["connection"] == "close"
            async with httpx.AsyncClient() as fresh:
                assert (await fresh.get(url)).headers["connection"] == "close"
        assert gateway.event("gateway_draining") is None
        gateway.terminate()
        assert await gateway.ended() == 0
        await until_refused(port)


async def test_what_outlives_the_grace_gets_an_error_event_and_503() -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        if orjson.loads(request.chat_request_json).get("stream"):
            yield chunk(request, "before")
        await asyncio.Event().wait()

    async with (
        scripted_executor(script) as (executor, target),
        service(MODULE, "--port", "0", "--executor-target", target, "--drain-seconds", "0.5") as gateway,
    ):
        port = (await gateway.wait_for("gateway_listening"))["port"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            plain = asyncio.create_task(client.post(PATH, json=body()))
            streamed = asyncio.create_task(client.post(PATH, json=body(stream=True)))
            await until(lambda: len(executor.requests) == 2, what="both are in flight")
            gateway.terminate()
            response = await streamed
            assert response.status_code == 200
            last = [event for event in response.text.split("\n\n") if event][-1]
            assert orjson.loads(last.removeprefix("data: "))["error"]["code"] == "unavailable"
            assert (await plain).status_code == 503
        assert await gateway.ended() == 0


async def test_it_refuses_to_listen_for_everyone_without_keys() -> None:
    async with service(MODULE, "--host", "0.0.0.0", "--port", "0") as gateway:
        assert await gateway.ended() == 1
        assert any("api_keys_file" in line for line in gateway.lines)
    async with service(MODULE, "--host", "0.0.0.0", "--port", "0", "--require-keys", "never") as gateway:
        await gateway.wait_for("gateway_listening")


async def test_settings_come_from_the_environment_and_a_wrong_one_is_named() -> None:
    async with service(MODULE, environment={"KUBEFUGU_GATEWAY_PORT": "http"}) as gateway:
        assert await gateway.ended() == 1
        assert any("port" in line for line in gateway.lines)
    async with service(MODULE, environment={"KUBEFUGU_GATEWAY_PORT": "0"}) as gateway:
        await gateway.wait_for("gateway_listening")


async def test_a_port_in_use_ends_the_process_with_a_message() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server, service(MODULE, "--port", str(server.sockets[0].getsockname()[1])) as gateway:
        assert await gateway.ended() != 0
        assert any("address already in use" in line for line in gateway.lines)


async def until_refused(port: int) -> None:
    """Wait until the port takes no new connection."""
    refused = asyncio.Event()

    async def knock() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                refused.set()
                return
            writer.close()
            await asyncio.sleep(0.02)

    await asyncio.wait_for(knock(), 60)
    assert refused.is_set()
