"""The parsed request: what it holds, what it needs, where its limits are. What is refused: tests/contract/gateway."""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest
from support.bodies import CALL, IMAGE, TOOL, USER, body

from kubefugu_core.chat import ChatLimits, ChatRequest, chat_request_json_schema, is_coordinated, parse_chat_request
from kubefugu_core.chat.paths import spell
from kubefugu_core.chat.schema import Effort
from kubefugu_core.errors import InvalidRequestError, to_openai
from kubefugu_core.options import EFFORT_TURNS
from kubefugu_core.pool import Capability


def parse(document: Any, **limits: int) -> ChatRequest:
    return parse_chat_request(orjson.dumps(document), limits=ChatLimits(**limits))


def test_defaults() -> None:
    request = parse(body())
    assert (request.model, request.stream, request.include_usage) == ("fugu", False, False)
    assert request.reasoning_effort is None
    assert request.options.max_turns is None
    assert request.needs == {}
    assert request.messages == [USER]


def test_options_of_the_caller() -> None:
    request = parse(
        body(
            stream=True,
            stream_options={"include_usage": True},
            max_completion_tokens=9,
            reasoning_effort="high",
            kubefugu={"allow": ["a", "b"], "max_turns": 4, "sampling": {"seed": 7}},
        )
    )
    assert (request.stream, request.include_usage) == (True, True)
    assert request.reasoning_effort == "high"
    assert request.options.allow == ("a", "b")
    assert request.options.max_turns == 4
    assert request.options.sampling is not None
    assert request.options.sampling.seed == 7


def test_the_body_is_what_was_written_without_nulls() -> None:
    document = body(temperature=0, stop=None, tools=None, seed=3)
    assert parse(document).body == {"model": "fugu", "messages": [USER], "temperature": 0, "seed": 3}


@pytest.mark.parametrize(
    ("document", "needs"),
    [
        (body(tools=[TOOL]), {Capability.TOOLS: "tools"}),
        (body(tools=[]), {}),
        (
            body(
                USER,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "5"},
            ),
            {Capability.TOOLS: "messages[1]"},
        ),
        (
            body(USER, {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE, IMAGE]}),
            {Capability.VISION: "messages[1].content[1].type"},
        ),
        (body(response_format={"type": "text"}), {}),
        (body(response_format={"type": "json_object"}), {Capability.JSON_MODE: "response_format"}),
        (
            body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}),
            {Capability.JSON_SCHEMA: "response_format"},
        ),
        (body(logprobs=True), {Capability.LOGPROBS: "logprobs"}),
        (body(logprobs=False), {}),
        (
            body({"role": "user", "content": [IMAGE]}, tools=[TOOL], logprobs=True),
            {
                Capability.TOOLS: "tools",
                Capability.VISION: "messages[0].content[0].type",
                Capability.LOGPROBS: "logprobs",
            },
        ),
    ],
)
def test_needs_name_the_field_that_asks(document: Any, needs: dict[Capability, str]) -> None:
    assert parse(document).needs == needs


@pytest.mark.parametrize(
    ("model", "coordinated"),
    [
        ("fugu", True),
        ("fugu-ultra", True),
        ("pool/fugu", True),
        ("pool/fugu-ultra", True),
        ("smollm2", False),
        ("fugu-2", False),
    ],
)
def test_coordinated_models(model: str, coordinated: bool) -> None:
    assert is_coordinated(model) is coordinated


def test_limits_are_exact() -> None:
    raw = orjson.dumps(body())
    parse_chat_request(raw, limits=ChatLimits(max_body_bytes=len(raw)))
    with pytest.raises(InvalidRequestError, match="bytes"):
        parse_chat_request(raw, limits=ChatLimits(max_body_bytes=len(raw) - 1))
    parse(body(*[USER] * 3), max_messages=3)
    with pytest.raises(InvalidRequestError) as caught:
        parse(body(*[USER] * 4), max_messages=3)
    assert caught.value.field == "messages"


@pytest.mark.parametrize("depth", [128, 129])
def test_depth_is_counted_in_levels(depth: int) -> None:
    # The body, tools, the tool, function: four levels above the schema, whose innermost object is one more.
    parameters = orjson.loads(b'{"a":' * (depth - 5) + b"{}" + b"}" * (depth - 5))
    document = body(tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    if depth <= 128:
        parse(document)
    else:
        with pytest.raises(InvalidRequestError, match="nested deeper than 128"):
            parse(document)


def test_many_shallow_brackets_are_not_deep() -> None:
    parse(body(*[{"role": "user", "content": [{"type": "text", "text": "[[[{{{"}]}] * 500))


def test_codes_reach_openais_error_object() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(body(nonsense=1))
    assert to_openai(caught.value)["error"] == {
        "message": "Unknown parameter: 'nonsense'.",
        "type": "invalid_request_error",
        "param": "nonsense",
        "code": "unknown_parameter",
    }


def test_every_effort_has_turns() -> None:
    assert set(get_args(Effort)) == set(EFFORT_TURNS)


def test_paths_are_spelled_as_openai_spells_them() -> None:
    assert spell(("messages", 2, "content", 0, "type")) == "messages[2].content[0].type"
    assert spell(()) == ""


def test_the_schema_names_every_option() -> None:
    schema = chat_request_json_schema()
    assert schema["required"] == ["model", "messages"]
    assert schema["additionalProperties"] is False
    assert {"max_turns", "allow"} <= set(schema["$defs"]["KubefuguOptions"]["properties"])


def test_echoed_answers_lose_the_sdks_bookkeeping_and_developer_becomes_system() -> None:
    call = CALL | {"index": 0, "function": CALL["function"] | {"parsed_arguments": {"a": 1}}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "5"}
    request = parse(
        body(
            {"role": "developer", "content": "d", "name": "x"},
            USER,
            {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None, "tool_calls": [call]},
            result,
            {"role": "assistant", "content": "5", "tool_calls": [], "function_call": None, "parsed": {"x": 1}},
        )
    )
    assert request.messages == [
        {"role": "system", "content": "d", "name": "x"},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        result,
        {"role": "assistant", "content": "5"},
    ]
    assert request.body["messages"] is request.messages
