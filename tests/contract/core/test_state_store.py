"""The state store's contract, for both implementations: SQLite in a file, and a real Redis server."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.redis import redis_server

from kubefugu_coordination.memory import MemoryBounds, ToolCallMemory, ToolCallRecord
from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.stores import open_state_store
from kubefugu_core.stores.state import StateStore, state_key


@pytest.fixture(params=["sqlite", "redis"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    async with redis_server(tmp_path) as address:
        yield address


@pytest.fixture
async def store(url: str) -> AsyncIterator[StateStore]:
    opened = open_state_store(url)
    yield opened
    await opened.close()


async def gone(read: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while await read():
            await asyncio.sleep(0.01)


async def test_values_are_replaced_and_expire(store: StateStore) -> None:
    assert await store.get("a") is None
    await store.put("a", b"\x00one", ttl_s=60)
    await store.put("a", b"two", ttl_s=0.05)
    await store.put("b", b"stays", ttl_s=60)
    await gone(lambda: store.get("a"))
    assert await store.get("b") == b"stays"


async def test_the_first_value_put_once_stays(store: StateStore) -> None:
    values = await asyncio.gather(*(store.put_once("secret", bytes([number])) for number in range(8)))
    assert len(set(values)) == 1
    assert await store.get("secret") == values[0]


async def test_logs_keep_the_last_entries_and_expire_as_a_whole(store: StateStore) -> None:
    await store.append("log", [b"1", b"2"], keep=3, ttl_s=60)
    await store.append("log", [b"3", b"4"], keep=3, ttl_s=60)
    await store.append("log", [], keep=3, ttl_s=60)
    assert await store.read("log") == [b"2", b"3", b"4"]
    await store.append("short", [b"1"], keep=3, ttl_s=0.05)
    await gone(lambda: store.read("short"))
    assert await store.read("log") == [b"2", b"3", b"4"]


async def test_two_openers_share_what_is_stored(store: StateStore, url: str) -> None:
    other = open_state_store(url)
    try:
        await asyncio.gather(*(s.append("log", [b"x"] * 5, keep=100, ttl_s=60) for s in (store, other) for _ in range(5)))
        assert await other.read("log") == [b"x"] * 50
    finally:
        await other.close()


_PUT_AND_DIE = """
import asyncio, os, signal, sys
from kubefugu_core.stores import open_state_store
async def run():
    store = open_state_store(sys.argv[1])
    await store.put("a", b"acknowledged", ttl_s=60)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(run())
"""


async def test_what_was_stored_survives_the_writers_sigkill(url: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _PUT_AND_DIE, url)
    assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
    store = open_state_store(url)
    assert await store.get("a") == b"acknowledged"
    await store.close()


def test_no_tenant_can_spell_another_ones_key() -> None:
    keys = [state_key("w", *parts) for parts in (("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a", "b%3Ac"), ("", "a:b:c"))]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("url", ["", "state.db", "sqlite://", "sqlite:///", "postgres://host/db"])
def test_an_unknown_url_is_refused(url: str) -> None:
    with pytest.raises(DataError):
        open_state_store(url)


async def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    store = open_state_store(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(UnavailableError):
        await store.get("a")
    await store.close()
    (tmp_path / "file").write_text("")
    store = open_state_store(f"sqlite:///{tmp_path}/file/state.db")
    with pytest.raises(UnavailableError):
        await store.get("a")
    await store.close()


def call(number: int, *, result: str = "ok") -> ToolCallRecord:
    return ToolCallRecord(f"id{number}", "look", f'{{"n":{number}}}', result)


async def test_the_memory_is_bounded_and_belongs_to_a_tenant(store: StateStore) -> None:
    memory = ToolCallMemory(store, MemoryBounds(max_calls=3, max_result_chars=200, shown_chars=700))
    await memory.remember("acme", "chat", [call(number) for number in range(4)])
    await memory.remember("acme", "chat", [call(4, result="x" * 10_000)])
    known = await memory.recall("acme", "chat")
    assert [record.call_id for record in known] == ["id2", "id3", "id4"]
    assert len(known[2].result) < 300
    assert await memory.recall("other", "chat") == []
    assert await memory.recall("acme", "another chat") == []
    text = memory.text(known, known_ids={"id3"})
    assert text.startswith('Tool calls made earlier in this conversation:\n- look({"n":2}) gave: ok\n- look({"n":4}) gave: xxx')
    assert '"n":3' not in text


async def test_what_workers_see_of_the_memory_is_bounded(store: StateStore) -> None:
    memory = ToolCallMemory(store, MemoryBounds(shown_chars=100))
    await memory.remember("acme", "chat", [call(number, result="y" * 30) for number in range(50)])
    text = memory.text(await memory.recall("acme", "chat"))
    assert '"n":49' in text
    assert len(text) < 160
    assert memory.text([]) == ""
