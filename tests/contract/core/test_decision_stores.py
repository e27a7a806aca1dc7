"""Both decision stores keep the same promises: SQLite on a real file, Redis on a real server."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.redis import redis_server
from support.waiting import until

from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.stores import BufferedDecisions, DecisionStore, Retention, StoredDecision, open_decision_store
from kubefugu_core.stores.buffered import PendingDecision
from kubefugu_core.stores.decisions_sqlite import SqliteDecisions

KINDS = ["sqlite", "redis"]


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'deep' / 'decisions.db'}"
        return
    # A unix socket's path is limited to about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="kf") as folder:
        async with redis_server(Path(folder)) as server:
            yield server


def record(number: int, *, tenant: str = "acme", created: float = 1e10, payload: bytes = b"{}") -> StoredDecision:
    return StoredDecision(tenant, f"chatcmpl-{number}", created, payload)


async def stored(url: str, *records: StoredDecision, retention: Retention | None = None) -> DecisionStore:
    store = open_decision_store(url, retention=retention or Retention())
    await store.put_many(records)
    return store


async def test_a_record_is_read_back_and_replaced(url: str) -> None:
    store = await stored(url, record(1, payload=b'{"a": 1}'), record(2))
    assert await store.get("acme", "chatcmpl-1") == b'{"a": 1}'
    await store.put_many([record(1, payload=b'{"a": 2}')])
    assert await store.get("acme", "chatcmpl-1") == b'{"a": 2}'
    assert await store.get("acme", "chatcmpl-3") is None
    await store.close()


@pytest.mark.parametrize("other", ["acm", "acme:chatcmpl-1", "", "ACME", "acme%"])
async def test_a_tenant_never_reads_anothers_record(url: str, other: str) -> None:
    store = await stored(url, record(1, payload=b"secret"))
    assert await store.get(other, "chatcmpl-1") is None
    assert await store.get("acme:chatcmpl-1", "") is None
    await store.close()


async def test_records_outlive_the_connection(url: str) -> None:
    await (await stored(url, record(1))).close()
    store = open_decision_store(url)
    assert await store.get("acme", "chatcmpl-1") == b"{}"
    await store.close()


async def test_the_oldest_records_go_first_when_there_are_too_many(url: str) -> None:
    store = await stored(
        url, *[record(number, created=1e10 + number) for number in (3, 1, 2, 4)], retention=Retention(max_records=2)
    )
    await store.put_many([])
    found = [number for number in range(1, 5) if await store.get("acme", f"chatcmpl-{number}") is not None]
    assert found == [3, 4]
    await store.close()


async def test_old_records_are_not_found(tmp_path: Path) -> None:
    now = 1000.0
    store = SqliteDecisions(tmp_path / "d.db", retention=Retention(ttl_s=60), now=lambda: now)
    await store.put_many([record(1, created=1000)])
    now = 1059
    assert await store.get("acme", "chatcmpl-1") == b"{}"
    now = 1061
    assert await store.get("acme", "chatcmpl-1") is None
    await store.put_many([record(2, created=1061)])
    with sqlite3.connect(tmp_path / "d.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM decisions").fetchone() == (1,)
    connection.close()
    await store.close()


async def test_old_records_expire_in_redis() -> None:
    with tempfile.TemporaryDirectory(prefix="kf") as folder:
        async with redis_server(Path(folder)) as server:
            store = await stored(server, record(1), retention=Retention(ttl_s=1))
            assert await store.get("acme", "chatcmpl-1") == b"{}"
            gone = False
            while not gone:
                gone = await store.get("acme", "chatcmpl-1") is None
            await store.close()


async def test_two_processes_share_a_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    stores = [open_decision_store(url) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(stores[number % 2].put_many([record(number)]))
    for number in range(40):
        assert await stores[(number + 1) % 2].get("acme", f"chatcmpl-{number}") == b"{}"
    for store in stores:
        await store.close()


async def test_a_store_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in (f"sqlite:///{tmp_path / 'file' / 'd.db'}", f"unix://{tmp_path}/none.sock", "redis://user:hush@127.0.0.1:1/0"):
        store = open_decision_store(url)
        with pytest.raises(UnavailableError) as caught:
            await store.get("acme", "x")
        assert "hush" not in caught.value.message
        with pytest.raises(UnavailableError):
            await store.put_many([record(1)])
        await store.close()


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(DataError, match="not ftp"):
        open_decision_store("ftp://host/x")


class Fragile:
    """A store that can be out of reach."""

    def __init__(self) -> None:
        self.up = True
        self.rows: dict[tuple[str, str], bytes] = {}
        self.batches: list[int] = []
        self.closed = False

    async def put_many(self, records: list[StoredDecision]) -> None:
        if not self.up:
            raise UnavailableError("down")
        self.batches.append(len(records))
        self.rows |= {(record.tenant, record.record_id): record.payload for record in records}

    async def get(self, tenant: str, record_id: str) -> bytes | None:
        return self.rows.get((tenant, record_id))

    async def close(self) -> None:
        self.closed = True


def pending(number: int, payload: bytes = b"{}") -> PendingDecision:
    return PendingDecision("acme", f"chatcmpl-{number}", 1.0, lambda: payload)


async def test_what_is_not_written_yet_can_be_read() -> None:
    buffered = BufferedDecisions(Fragile())
    buffered.put(pending(1, b"first"))
    assert await buffered.get("acme", "chatcmpl-1") == b"first"
    assert await buffered.get("other", "chatcmpl-1") is None


async def test_records_are_written_in_batches_by_a_task_of_its_own() -> None:
    store = Fragile()
    buffered = BufferedDecisions(store, every_s=0.01, max_batch=60)
    task = asyncio.create_task(buffered.run())
    for number in range(100):
        buffered.put(pending(number))
    await until(lambda: len(store.rows) == 100)
    assert store.batches == [60, 40]
    task.cancel()


async def test_a_store_out_of_reach_is_tried_again_and_the_buffer_is_bounded() -> None:
    store = Fragile()
    store.up = False
    buffered = BufferedDecisions(store, every_s=0.01, max_pending=5)
    task = asyncio.create_task(buffered.run())
    for number in range(8):
        buffered.put(pending(number))
    assert buffered.dropped == 3
    await asyncio.sleep(0.03)
    assert store.rows == {}
    store.up = True
    await until(lambda: len(store.rows) == 5)
    assert ("acme", "chatcmpl-7") in store.rows
    assert ("acme", "chatcmpl-0") not in store.rows
    task.cancel()


async def test_closing_writes_what_is_left() -> None:
    store = Fragile()
    buffered = BufferedDecisions(store)
    buffered.put(pending(1))
    await buffered.close()
    assert len(store.rows) == 1
    assert store.closed


async def test_a_record_that_cannot_be_written_does_not_hold_up_the_others() -> None:
    store = Fragile()
    buffered = BufferedDecisions(store)

    def broken() -> bytes:
        raise TypeError("not JSON")

    buffered.put(PendingDecision("acme", "bad", 1.0, broken))
    buffered.put(pending(1))
    await buffered.close()
    assert list(store.rows) == [("acme", "chatcmpl-1")]
    assert buffered.dropped == 1
