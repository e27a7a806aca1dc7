"""What a client gets when all goes well: documents, streams, headers, progress, metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from support.bodies import body
from support.executor import Response, chunk, done, sse, turn_started

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"


def events_of(text: str) -> list[str]:
    return [part for part in text.split("\n\n") if part]


async def test_a_plain_answer_is_the_executors_document_with_its_headers(rig: Any) -> None:
    response = await rig.client.post(PATH, json=body())
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "Hello world"
    request_id = response.json()["id"]
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", request_id)
    headers = {name: value for name, value in response.headers.items() if name.startswith("x-")}
    assert headers == {
        "x-request-id": request_id,
        "x-kubefugu-decision-id": request_id,
        "x-kubefugu-worker": "alpha",
        "x-kubefugu-role": "solver",
        "x-kubefugu-policy-version": "v1",
        "x-kubefugu-turns": "1",
    }


async def test_the_executor_gets_the_bytes_the_client_sent_and_a_deadline(rig: Any) -> None:
    raw = b'{ "model":"fugu",  "messages":[{"role":"user","content":"h\\u00e9"}], "seed": 3 }'
    response = await rig.client.post(PATH, content=raw, headers={"content-type": "application/json; charset=utf-8"})
    assert response.status_code == 200
    (request,) = rig.executor.requests
    assert request.chat_request_json == raw
    assert request.tenant == "default"
    assert request.request_id == response.json()["id"]
    # gRPC sends long timeouts in coarse units, rounded up.
    assert 590 < rig.executor.remaining_s[0] < 610


async def test_a_stream_is_passed_on_byte_for_byte_with_its_headers(rig: Any) -> None:
    written = list[bytes]()

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()
        for response in (chunk(request, "Hel"), chunk(request, "lo \u2713"), sse(b"data: [DONE]\n\n")):
            written.append(response.delta.sse)
            yield response
        yield done(request)

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True))
    assert response.status_code == 200
    assert response.content == b"".join(written)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-kubefugu-worker"] == "alpha"
    assert response.headers["x-kubefugu-turns"] == "1"


async def test_a_typed_chunk_is_framed(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield Response(delta=executor_pb2.Delta(chunk_json=b'{"a":1}'))
        yield Response(delta=executor_pb2.Delta())
        yield sse(b"data: [DONE]\n\n")
        yield done(request)

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True))
    assert response.content == b'data: {"a":1}\n\ndata: [DONE]\n\n'


async def test_after_a_failover_the_headers_name_the_worker_that_answers(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started("broken", attempt=1)
        yield turn_started("spare", attempt=2)
        yield chunk(request, "x")
        yield done(request, worker="spare")

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True))
    assert response.headers["x-kubefugu-worker"] == "spare"
    assert response.headers["x-kubefugu-turns"] == "1"


async def test_progress_is_a_comment_that_starts_the_response(rig: Any) -> None:
    release = asyncio.Event()

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield turn_started()
        yield Response(progress=executor_pb2.Progress(message="turn 1 of 5\n\ndata: forged"))
        await release.wait()
        yield turn_started("beta", turn=2)
        yield chunk(request, "x")
        yield done(request, worker="beta", turns=2)

    rig.executor.script = script
    async with rig.client.stream("POST", PATH, json=body(stream=True)) as response:
        assert response.headers["x-kubefugu-worker"] == "alpha"
        # More turns may follow, so their number is not told.
        assert "x-kubefugu-turns" not in response.headers
        lines = response.aiter_lines()
        assert await anext(lines) == ": turn 1 of 5 data: forged"
        release.set()
        rest = [line async for line in lines if line]
    assert len(rest) == 1
    assert rest[0].startswith("data: {")


async def test_typed_progress_events_are_chunks_without_choices(rig: Any) -> None:
    usage = common_pb2.Usage(prompt_tokens=3, completion_tokens=4, cost_usd=0.25)

    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield Response(routed=executor_pb2.Routed(turn=1, worker="alpha", role=common_pb2.ROLE_THINKER, router_ms=1.5))
        yield turn_started()
        yield Response(
            turn_ended=executor_pb2.TurnEnded(
                turn=1,
                attempt=1,
                worker="alpha",
                outcome=executor_pb2.TURN_OUTCOME_FAILED,
                usage=usage,
                error_reason="WORKER_ERROR",
            )
        )
        yield Response(progress=executor_pb2.Progress(message="still at it"))
        yield Response(planned=executor_pb2.Planned(plan_json=b'{"steps":[]}', planner="boss"))
        yield Response(step_started=executor_pb2.StepStarted(step=1, worker="alpha"))
        yield Response(
            step_ended=executor_pb2.StepEnded(step=1, worker="alpha", outcome=executor_pb2.TURN_OUTCOME_OK, usage=usage)
        )
        yield chunk(request, "x")
        yield done(request)

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body(stream=True, kubefugu={"progress": True}))
    chunks = [orjson.loads(event.removeprefix("data: ")) for event in events_of(response.text)]
    typed = [item["kubefugu"] for item in chunks if "kubefugu" in item]
    assert all(item["choices"] == [] and item["object"] == "chat.completion.chunk" for item in chunks[:-1])
    assert [item["event"] for item in typed] == [
        "routed",
        "turn_started",
        "turn_ended",
        "progress",
        "planned",
        "step_started",
        "step_ended",
    ]
    assert typed[0] == {
        "event": "routed",
        "turn": 1,
        "worker": "alpha",
        "role": "thinker",
        "policy_version": None,
        "router_ms": 1.5,
    }
    assert typed[2]["outcome"] == "failed"
    assert typed[2]["error"] == "worker_error"
    assert typed[2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "cost_usd": 0.25}
    assert typed[4]["plan"] == {"steps": []}
    assert chunks[-1]["choices"][0]["delta"] == {"content": "x"}


async def test_header_values_from_the_executor_cannot_break_the_head(rig: Any) -> None:
    async def script(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        yield done(request, "ok", worker="a\r\nset-cookie: x\u00e9")

    rig.executor.script = script
    response = await rig.client.post(PATH, json=body())
    assert response.status_code == 200
    assert response.headers["x-kubefugu-worker"] == "a??set-cookie: x?"
    assert "set-cookie" not in response.headers


async def test_metrics_count_requests_tokens_and_bounded_model_names(rig: Any) -> None:
    before = (await rig.client.get("/metrics")).text
    await rig.client.post(PATH, json=body())
    await rig.client.post(PATH, json=body(model="fugu", messages=[]))

    async def unknown(request: executor_pb2.ExecuteRequest) -> AsyncIterator[Response]:
        from kubefugu_core.errors import ModelNotFoundError

        raise ModelNotFoundError("No such model.", field="model")
        yield

    rig.executor.script = unknown
    await rig.client.post(PATH, json=body(model="made-up-by-a-client"))
    after = (await rig.client.get("/metrics")).text

    def grown(series: str) -> float:
        def read(text: str) -> float:
            found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
            return float(found[1]) if found else 0.0

        return read(after) - read(before)

    name = "kubefugu_gateway_requests_total"
    assert grown(name + '{model="fugu",outcome="ok",status="200"}') == 1
    assert grown(name + '{model="unknown",outcome="invalid_request",status="400"}') == 1
    assert grown(name + '{model="unknown",outcome="model_not_found",status="404"}') == 1
    assert "made-up-by-a-client" not in after
    assert grown('kubefugu_gateway_tokens_total{kind="prompt",model="fugu"}') == 7
    assert grown('kubefugu_gateway_tokens_total{kind="orchestration_output",model="fugu"}') == 2
    assert grown('kubefugu_gateway_first_byte_seconds_count{model="fugu",stream="false"}') == 1
    assert "\nkubefugu_gateway_in_flight 0.0\n" in after
