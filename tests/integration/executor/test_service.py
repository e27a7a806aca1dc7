"""What surrounds requests: readiness, the pool file, keys, metrics, router outages, the decision store."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import generate_latest
from structlog.testing import capture_logs
from support.executors import Stand, execute_request, executor_stand, request_id
from support.pools import worker
from support.redis import redis_server
from support.router_service import decision, router_service
from support.upstream import Script, Upstream
from support.waiting import until

from kubefugu.executor.v1 import executor_pb2 as pb
from kubefugu_core.errors import ModelNotFoundError, UnavailableError
from kubefugu_core.rpc import open_channel
from kubefugu_executor.main import SERVICE

FALLBACK: dict[str, dict[str, Any]] = {"b": {"fallback": True}}


async def is_serving(s: Stand) -> bool:
    async with open_channel(s.target) as channel:
        reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_serving(s: Stand) -> None:
    while not await is_serving(s):
        await asyncio.sleep(0.02)


async def test_serving_once_the_router_was_reached(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b", with_router=False) as s:
        assert not await is_serving(s)
        with pytest.raises(UnavailableError):
            await s.ask(execute_request())
        async with router_service(lambda request: decision("a", "b"), address=s.app.settings.router_target):
            await asyncio.wait_for(wait_serving(s), 60)
            # The router's circuit may still be open from the first try.
            answered = None
            while answered is None:
                try:
                    answered = await s.ask(execute_request())
                except UnavailableError:
                    await asyncio.sleep(0.05)
        assert await is_serving(s), "a router that goes away later is an outage, not unreadiness"


async def test_serving_without_a_router_where_a_fallback_answers(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b", members=FALLBACK, with_router=False) as s:
        await asyncio.wait_for(wait_serving(s), 60)
        identity = request_id()
        answer = await s.ask(execute_request(identity=identity, stream=True))
        assert (answer.done.worker, answer.done.policy_version) == ("b", "")
        record = await s.decision(identity)
        assert (record["status"], record["degraded"], record["policy_version"]) == ("ok", "unavailable", None)


async def test_a_router_that_is_away_does_not_cost_every_request_its_timeout(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", "b", members=FALLBACK, router_timeout_seconds=0.3) as s:
        assert s.router is not None
        s.router.delay_s = 5.0
        identities = [request_id() for _ in range(5)]
        for identity in identities:
            await s.ask(execute_request(identity=identity))
        waits = [(await s.decision(identity))["turns"][0]["routing"]["router_ms"] for identity in identities]
        assert min(waits[:3]) > 250
        assert len(s.router.requests) <= 3, "the others do not ask it"


async def test_a_router_that_answers_again_is_used_again(tmp_path: Path) -> None:
    failing = True

    def decide(request: Any) -> Any:
        return UnavailableError("loading") if failing else decision("a", "b")

    async with executor_stand(tmp_path, "a", "b", members=FALLBACK, decide=decide) as s:
        assert (await s.ask(execute_request())).done.worker == "b"
        failing = False
        assert (await s.ask(execute_request())).done.worker == "a"


async def test_a_changed_pool_file_is_taken_over_without_losing_requests(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        s.upstream.default = Script(chunk_delay_s=0.2, pieces=10)
        running = asyncio.create_task(s.ask(execute_request(stream=True)))
        await until(lambda: s.upstream.requests)
        old = s.app.workers.client("a")
        s.write_pool(worker("c", s.upstream.url), worker("a", s.upstream.url))
        await until(lambda: "c" in s.app.workers.snapshot().clients)
        assert s.app.workers.client("a") is old, "an unchanged worker keeps its circuit and counters"
        assert (await s.ask(execute_request(model="c"))).done.worker == "c"
        assert (await running).sse.endswith(b"data: [DONE]\n\n")
        s.write_pool(worker("c", s.upstream.url))
        await until(lambda: "a" not in s.app.workers.snapshot().clients)
        with pytest.raises(ModelNotFoundError):
            await s.ask(execute_request(model="a"))


async def test_a_broken_pool_file_leaves_the_last_good_one(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a") as s:
        with capture_logs() as logs:
            s.pool_file.write_text("spec: [")
            await until(lambda: "pool_file_refused" in [line["event"] for line in logs])
        assert (await s.ask(execute_request())).done.worker == "a"
        s.write_pool(worker("d", s.upstream.url))
        await until(lambda: "d" in s.app.workers.snapshot().clients)


async def test_keys_are_read_from_the_mounted_directory_and_again_when_they_change(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "a").write_text("first-key\n")
    auth = {"a": {"auth": {"secretKeyRef": {"name": "x", "key": "y"}}}}
    async with executor_stand(tmp_path, "a", members=auth, keys_dir=keys) as s:
        await s.ask(execute_request())
        (keys / "a.new").write_text("second-key")
        (keys / "a.new").replace(keys / "a")
        await s.ask(execute_request())
        assert [request.headers["authorization"] for request in s.upstream.requests] == [
            "Bearer first-key",
            "Bearer second-key",
        ]
        (keys / "a").unlink()
        identity = request_id()
        with pytest.raises(Exception, match="no API key: its secret is not mounted"):
            await s.ask(execute_request(identity=identity))
        assert "second-key" not in str(await s.decision(identity))


async def test_metrics(tmp_path: Path) -> None:
    prices = {"prices": {"outputPerMillionTokens": "1000000"}}

    def respond(body: dict[str, Any]) -> Script | None:
        return Script(refusal="no") if body["model"] == "a-model" else None

    async with executor_stand(tmp_path, "a", "b", members={"a": {"specialist": True}, "b": prices}, respond=respond) as s:
        await s.ask(execute_request(stream=True))
        text = generate_latest(s.app.metrics.registry).decode()
        for line in (
            'kubefugu_executor_requests_total{mode="fugu",status="ok"} 1.0',
            'kubefugu_executor_turns_total{outcome="declined",role="solver"} 1.0',
            'kubefugu_executor_declines_total{worker="a"} 1.0',
            'kubefugu_executor_worker_calls_total{outcome="ok",worker="b"} 1.0',
            'kubefugu_executor_worker_seconds_count{worker="b"} 1.0',
            'kubefugu_executor_worker_first_token_seconds_count{worker="b"} 1.0',
            'kubefugu_executor_tokens_total{kind="completion",worker="b"} 7.0',
            'kubefugu_executor_cost_usd_total{worker="b"} 7.0',
            'kubefugu_executor_worker_breaker{worker="b"} 0.0',
            "kubefugu_executor_router_seconds_count 1.0",
            "kubefugu_executor_in_flight 0.0",
            "kubefugu_executor_decisions_dropped 0.0",
        ):
            assert line in text, line


async def test_decision_records_in_redis(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kf") as folder:
        async with redis_server(Path(folder)) as url:
            identity = request_id()
            async with executor_stand(tmp_path, "a", decisions_url=url) as s:
                await s.ask(execute_request(identity=identity))
            async with executor_stand(tmp_path, "a", decisions_url=url) as replica:
                assert (await replica.decision(identity))["status"] == "ok"


async def test_requests_are_answered_while_the_store_is_away(tmp_path: Path) -> None:
    async with executor_stand(tmp_path, "a", decisions_url=f"unix://{tmp_path}/none.sock") as s:
        identity = request_id()
        assert (await s.ask(execute_request(identity=identity))).text
        assert (await s.decision(identity))["status"] == "ok", "what is not written yet can be read"


async def test_workers_lists_the_pool(tmp_path: Path) -> None:
    async with Upstream() as other, executor_stand(tmp_path, "a") as s:
        s.write_pool(worker("a", s.upstream.url), worker("z", other.url))
        await until(lambda: "z" in s.app.workers.snapshot().clients)
        listed = await s.stub.ListWorkers(pb.ListWorkersRequest(), timeout=60)
        assert listed.pool == "testpool"
        assert [(state.name, state.model, state.url) for state in listed.workers] == [
            ("a", "a-model", s.upstream.url),
            ("z", "z-model", other.url),
        ]
