"""Client channels: round_robin over the addresses behind a name, keepalive, and retries of idempotent unary calls.

https://github.com/grpc/grpc/blob/master/doc/service_config.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc

from kubefugu_core.rpc.server import MAX_MESSAGE_BYTES


def open_channel(target: str, *, retried_methods: Sequence[str] = ()) -> grpc.aio.Channel:
    """Open a channel to `host:port`, `dns:///name:port` or `unix:path`.

    `retried_methods` are full names (`kubefugu.router.v1.RouterService/Route`) of idempotent unary calls; they are tried up to
    four times, on UNAVAILABLE only, within the call's own deadline. Streams are never retried here.
    """
    names = []
    for method in retried_methods:
        service, _, name = method.partition("/")
        names.append({"service": service, "method": name})
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if names:
        policy = {
            "maxAttempts": 4,
            "initialBackoff": "0.05s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": names, "retryPolicy": policy}]
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.service_config", json.dumps(config)),
            ("grpc.enable_retries", 1),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # gRPC's own backoff grows to two minutes: a server that restarts would be missed for that long.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 1000),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # A pod that is replaced must be found anew at once; gRPC would look a name up twice a minute at most.
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )
