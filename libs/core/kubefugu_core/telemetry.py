"""Structured logs and Prometheus metrics. Logs are event names plus fields; secrets, prompts and replies have no field."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server


def configure_logging(*, service: str, level: str = "info", fmt: str = "json") -> None:
    """Set up structlog for a process: one line an event on stderr, JSON or console."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if fmt == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(logging.WARNING, getattr(logging, level.upper())), stream=sys.stderr)
    structlog.contextvars.bind_contextvars(service=service)


def serve_metrics(port: int, *, registry: CollectorRegistry = REGISTRY) -> None:
    """Serve /metrics on a port in a daemon thread; 0 serves nothing."""
    if port:
        start_http_server(port, registry=registry)
