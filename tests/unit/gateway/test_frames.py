"""Pure parts of the gateway: frames, headers, addresses."""

from __future__ import annotations

import orjson
import pytest
from prometheus_client import CollectorRegistry

from kubefugu.common.v1 import common_pb2
from kubefugu.executor.v1 import executor_pb2
from kubefugu_core.errors import WorkerStreamCutError
from kubefugu_gateway import sse
from kubefugu_gateway.metrics import UNKNOWN_MODEL, GatewayMetrics
from kubefugu_gateway.observed import Observed
from kubefugu_gateway.progress import typed_event
from kubefugu_gateway.settings import GatewaySettings, is_loopback

Response = executor_pb2.ExecuteResponse


def test_a_comment_stays_one_line() -> None:
    assert sse.comment("a\r\nb\n\ndata: x") == b": a b data: x\n\n"
    assert len(sse.comment("x" * 10_000)) < 600


def test_an_error_event_has_openais_shape() -> None:
    frame = sse.error(WorkerStreamCutError("It ended early."))
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert orjson.loads(frame[6:]) == {
        "error": {"message": "It ended early.", "type": "server_error", "param": None, "code": "worker_stream_cut"}
    }


def started(worker: str, turn: int) -> Response:
    return Response(turn_started=executor_pb2.TurnStarted(worker=worker, turn=turn, role=common_pb2.ROLE_VERIFIER))


def test_headers_follow_the_latest_turn() -> None:
    seen = Observed()
    assert seen.headers(final=True) == []
    seen.take(Response(routed=executor_pb2.Routed(worker="first", policy_version="v1")))
    seen.take(started("first", 0))
    seen.take(started("second", 1))
    assert seen.headers(final=True) == [
        (b"x-kubefugu-worker", b"second"),
        (b"x-kubefugu-role", b"verifier"),
        (b"x-kubefugu-turns", b"2"),
    ]
    assert (b"x-kubefugu-turns", b"2") not in seen.headers(final=False)


def test_the_last_event_has_the_last_word() -> None:
    seen = Observed()
    seen.take(started("first", 1))
    seen.take(Response(done=executor_pb2.Done(worker="other", role=common_pb2.ROLE_SOLVER, policy_version="v2", turns=3)))
    assert seen.headers(final=True) == [
        (b"x-kubefugu-worker", b"other"),
        (b"x-kubefugu-role", b"solver"),
        (b"x-kubefugu-policy-version", b"v2"),
        (b"x-kubefugu-turns", b"3"),
    ]


def test_answers_are_no_progress() -> None:
    for event in (Response(delta=executor_pb2.Delta(sse=b"x")), Response(done=executor_pb2.Done()), Response()):
        assert typed_event(event, request_id="r", created=1, model="m") is None


def test_only_models_that_acted_become_labels() -> None:
    metrics = GatewayMetrics(CollectorRegistry())

    def label(model: str, *, acted: bool) -> str:
        return metrics.observe(model=model, acted=acted, status=200, outcome="ok", stream=False, seconds=1, first_byte_s=None)

    assert label("smollm2", acted=True) == "smollm2"
    assert label("anything", acted=False) == UNKNOWN_MODEL
    assert label("anything/fugu", acted=False) == UNKNOWN_MODEL
    assert label("fugu", acted=False) == "fugu"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_body_limit_stays_below_one_grpc_message() -> None:
    from kubefugu_core.rpc.server import MAX_MESSAGE_BYTES

    largest = next(item.le for item in GatewaySettings.model_fields["max_body_bytes"].metadata if hasattr(item, "le"))
    assert largest < MAX_MESSAGE_BYTES
