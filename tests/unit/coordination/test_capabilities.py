"""Who may take a request, decided before any routing."""

from __future__ import annotations

from typing import Any

import pytest
from support.loops import chat
from support.pools import pool_of, worker

from kubefugu_coordination.capabilities import Eligible, eligible_workers
from kubefugu_core.errors import ContextTooLongError, InvalidRequestError, UnsupportedFeatureError

TOOLS = [{"type": "function", "function": {"name": "f"}}]
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}
POOL = pool_of(
    worker("plain", "http://h/v1"),
    worker("tools", "http://h/v1", capabilities=["tools"]),
    worker("eyes", "http://h/v1", capabilities=["vision", "tools"]),
    worker("schema", "http://h/v1", capabilities=["jsonSchema"], contextTokens=256),
    worker("json", "http://h/v1", capabilities=["jsonMode"]),
).spec.workers


def names(eligible: Eligible) -> list[str]:
    return [spec.name for spec in eligible.workers]


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({}, ["plain", "tools", "eyes", "schema", "json"]),
        ({"tools": TOOLS}, ["tools", "eyes"]),
        ({"messages": IMAGE}, ["eyes"]),
        ({"messages": IMAGE, "tools": TOOLS}, ["eyes"]),
        ({"response_format": {"type": "json_object"}}, ["schema", "json"]),
        ({"response_format": SCHEMA}, ["schema"]),
        ({"kubefugu": {"allow": ["json", "plain"]}}, ["plain", "json"]),
        ({"kubefugu": {"deny": ["plain", "tools"]}}, ["eyes", "schema", "json"]),
    ],
)
def test_the_filter_is_joint(members: dict[str, Any], left: list[str]) -> None:
    eligible = eligible_workers(chat(**members).chat, POOL)
    assert names(eligible) == left
    assert {exclusion.worker for exclusion in eligible.excluded} == {spec.name for spec in POOL} - set(left)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"response_format": SCHEMA, "tools": TOOLS}, "response_format"),
        ({"messages": IMAGE, "kubefugu": {"deny": ["eyes"]}}, "messages[0].content[0].type"),
        ({"tools": TOOLS, "kubefugu": {"allow": ["plain"]}}, "tools"),
    ],
)
def test_what_nobody_supports_names_the_field(members: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        eligible_workers(chat(**members).chat, POOL)
    assert caught.value.field == field


def test_a_conversation_too_long_for_some_goes_to_the_others() -> None:
    eligible = eligible_workers(chat("x" * 6 * 300).chat, POOL)
    assert "schema" not in names(eligible)
    assert [e.because for e in eligible.excluded] == ["its context is too short"]
    with pytest.raises(ContextTooLongError) as caught:
        eligible_workers(chat("x" * 6 * 9000).chat, POOL)
    assert caught.value.field == "messages"


def test_unknown_names_and_empty_choices_are_the_clients_error() -> None:
    for options, field in (
        ({"allow": ["nobody"]}, "kubefugu.allow"),
        ({"deny": ["nobody"]}, "kubefugu.deny"),
        ({"allow": ["plain"], "deny": ["plain"]}, "kubefugu.deny"),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            eligible_workers(chat(kubefugu=options).chat, POOL)
        assert caught.value.field == field


def test_what_is_meant_for_us_is_not_sent_to_workers() -> None:
    job = chat(
        user="me", metadata={"a": "b"}, reasoning_effort="high", verbosity="low", temperature=1, kubefugu={"explain": True}
    )
    assert set(job.worker_body(coordinated=True)) == {"model", "messages", "temperature"}
    assert set(job.worker_body(coordinated=False)) == {"model", "messages", "temperature", "reasoning_effort", "verbosity"}


def test_the_conversation_key_is_the_tenants_own() -> None:
    first = chat("Q")
    follow_up = chat(messages=[*first.chat.messages, {"role": "assistant", "content": "A"}, {"role": "user", "content": "Q2"}])
    assert first.conversation_key() == follow_up.conversation_key()
    assert first.conversation_key() != chat("Q!").conversation_key()
    assert chat(kubefugu={"conversation": "c"}).conversation_key() == "acme/c"
