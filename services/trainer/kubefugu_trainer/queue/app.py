"""The Celery application that driver and evaluators share.

Redis is the broker, never the truth: tasks are idempotent, results are read from the mailbox, and the run's own checkpoint is
what survives. Settings follow Celery 5.7's documentation (https://docs.celeryq.dev/en/stable/userguide/configuration.html).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

TASK = "kubefugu.evaluate"
QUEUE = "kubefugu-evaluate"
VISIBILITY_TIMEOUT_S = 6 * 3600
"""Longer than any candidate takes, or it would run twice; a lost task is sent again by the driver long before."""
GRACE_S = 10.0
"""Celery's soft shutdown: after SIGTERM the candidate in hand has this long (all of it is waited for)."""


def make_app(broker: str, *, grace_s: float = GRACE_S) -> Any:
    """A Celery application for a Redis URL (redis://, rediss:// or unix:///path)."""
    from celery import Celery

    app = Celery("kubefugu-trainer", broker=celery_url(broker), set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_soft_shutdown_timeout=grace_s,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_proc_alive_timeout=60.0,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S, "socket_timeout": 10, "socket_connect_timeout": 5,
            "max_retries": 1, "interval_start": 0.1,
        },
    )  # fmt: skip
    return app


def celery_url(broker: str) -> str:
    """kombu calls a Redis on a unix socket redis+socket://."""
    return f"redis+socket://{broker.removeprefix('unix://')}" if broker.startswith("unix://") else broker


def shown(broker: str) -> str:
    """The broker's place without user and password."""
    parts = urlsplit(broker)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def connect(broker: str) -> Any:
    """A redis-py client. Connects when it is used. Raises ValueError for a URL that is none."""
    from redis import Redis

    return Redis.from_url(broker, socket_timeout=10, socket_connect_timeout=5, health_check_interval=30)
