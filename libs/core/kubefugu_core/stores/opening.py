"""Stores by URL: SQLite for one machine, Redis for several replicas. They connect on first use."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from kubefugu_core.errors import DataError
from kubefugu_core.stores.decisions import DEFAULT_RETENTION, DecisionStore, Retention
from kubefugu_core.stores.state import StateStore

_REDIS = ("redis", "rediss", "unix")
_SQLITE = "sqlite:///"


def open_decision_store(url: str, *, retention: Retention = DEFAULT_RETENTION) -> DecisionStore:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, `redis://`, `rediss://` or `unix://` (Redis's socket).

    Raises DataError for another scheme, or where the Redis client is not installed.
    """
    if _is_file(url):
        from kubefugu_core.stores.decisions_sqlite import SqliteDecisions

        return SqliteDecisions(Path(url.removeprefix(_SQLITE)), retention=retention)
    _check_redis(url, field="decisions_url")
    from kubefugu_core.stores.decisions_redis import RedisDecisions

    return RedisDecisions(url, retention=retention)


def open_state_store(url: str) -> StateStore:
    """A store of parked workflows and memory; URLs and errors as for `open_decision_store`."""
    if _is_file(url):
        from kubefugu_core.stores.state_sqlite import SqliteState

        return SqliteState(Path(url.removeprefix(_SQLITE)))
    _check_redis(url, field="state_url")
    from kubefugu_core.stores.state_redis import RedisState

    return RedisState(url)


def _is_file(url: str) -> bool:
    return url.startswith(_SQLITE) and url != _SQLITE


def _check_redis(url: str, *, field: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in _REDIS:
        raise DataError(f"A store's URL is sqlite:///path, redis://, rediss:// or unix://, not {scheme}.", field=field)
