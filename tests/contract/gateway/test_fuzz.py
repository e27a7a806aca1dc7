"""Whatever a client sends, the answer is 2xx or 4xx in OpenAI's shape, and what passes reaches the executor unchanged."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bodies import CALL, IMAGE, TOOL, USER, body

from kubefugu_core.chat import parse_chat_request

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)

FULL = body(
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "5"},
    USER,
    temperature=0.5,
    stop=["a"],
    tools=[TOOL],
    tool_choice={"type": "function", "function": {"name": "add"}},
    response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    logprobs=True,
    top_logprobs=1,
    stream=False,
    metadata={"a": "b"},
    kubefugu={"allow": ["a"], "sampling": {"seed": 1, "temperature": 0.5}},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        found += places(child, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A full request with a few values replaced, removed or added."""
    document = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        *where, last = draw(st.sampled_from(places(document)))
        target: Any = document
        for key in where:
            target = target[key]
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            target[last] = draw(values)
        elif action == "remove":
            del target[last]
        elif isinstance(target, dict):
            target[draw(st.text(max_size=8))] = draw(values)
        if not places(document):
            break
    return document


async def check(rig: Any, raw: bytes) -> None:
    rig.executor.requests.clear()
    response = await rig.client.post(PATH, content=raw, headers={"content-type": "application/json"})
    if response.status_code == 200:
        (request,) = rig.executor.requests
        assert request.chat_request_json == raw
        # The executor reads the same bytes with the same function.
        assert parse_chat_request(request.chat_request_json).body["messages"]
        return
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert rig.executor.requests == []


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=mutated())
async def test_mutated_requests(rig: Any, document: dict[str, Any]) -> None:
    await check(rig, orjson.dumps(document))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=st.integers(0, len(orjson.dumps(FULL))), removed=st.integers(0, 40), inserted=st.binary(max_size=12))
async def test_mutated_bytes(rig: Any, start: int, removed: int, inserted: bytes) -> None:
    raw = orjson.dumps(FULL)
    await check(rig, raw[:start] + inserted + raw[start + removed :])


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=200))
async def test_any_bytes(rig: Any, raw: bytes) -> None:
    await check(rig, raw)


async def test_the_unmutated_request_passes(rig: Any) -> None:
    await check(rig, orjson.dumps(FULL))
    assert rig.executor.requests
