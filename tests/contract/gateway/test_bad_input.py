"""Bad requests, each with its status, the field that is named and the code: none reaches the executor."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from support.bodies import CALL, IMAGE, TOOL, USER, body

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/chat/completions"


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def calls(*made: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(made)}


def result(call_id: Any = "call_1", content: Any = "5") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": fields}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in body().items() if key != name}


VALID = '"model":"fugu","messages":[{"role":"user","content":"hi"}]'

# Bytes that are no request, or that two parsers could read differently.
RAW = {
    "empty body": (b"", None, "invalid_json"),
    "blank body": (b"  ", None, "invalid_json"),
    "malformed": (b'{"model":', None, "invalid_json"),
    "trailing comma": (b"{" + VALID.encode() + b",}", None, "invalid_json"),
    "single quotes": (b"{'model':'fugu'}", None, "invalid_json"),
    "text after the document": (b"{" + VALID.encode() + b"} {}", None, "invalid_json"),
    "array": (b"[]", None, "invalid_json"),
    "string": (b'"fugu"', None, "invalid_json"),
    "null": (b"null", None, "invalid_json"),
    "number": (b"17", None, "invalid_json"),
    "not UTF-8": (b'{"model":"fu\xffgu"}', None, "invalid_json"),
    "UTF-16": (("{" + VALID + "}").encode("utf-16"), None, "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf{" + VALID.encode() + b"}", None, "invalid_json"),
    "overlong UTF-8": (b'{"model":"\xc0\xaf"}', None, "invalid_json"),
    "lone surrogate": (b'{"model":"\\ud800"}', None, "invalid_json"),
    "control character": (b'{"model":"a\x01"}', None, "invalid_json"),
    "NaN": (b"{" + VALID.encode() + b',"temperature":NaN}', None, "invalid_json"),
    "Infinity": (b"{" + VALID.encode() + b',"temperature":Infinity}', None, "invalid_json"),
    "-Infinity": (b"{" + VALID.encode() + b',"temperature":-Infinity}', None, "invalid_json"),
    "infinite by exponent": (b"{" + VALID.encode() + b',"temperature":1e999}', None, "invalid_json"),
    "leading zero": (b"{" + VALID.encode() + b',"seed":01}', None, "invalid_json"),
    "key twice": (b"{" + VALID.encode() + b',"model":"other"}', "model", "duplicate_key"),
    "key twice, spelled with an escape": (b"{" + VALID.encode() + b',"mode\\u006c":"other"}', "model", "duplicate_key"),
    "nested key twice": (
        b'{"model":"fugu","messages":[{"role":"user","content":"a","content":"b"}]}',
        "messages[0].content",
        "duplicate_key",
    ),
    "arrays too deep": (b'{"model":' + b"[" * 500 + b"]" * 500 + b"}", None, "nesting_too_deep"),
    "objects too deep": (b'{"a":' * 600 + b"1" + b"}" * 600, None, "nesting_too_deep"),
    "far too deep": (b"[" * 100_000, None, "invalid_json"),
}

DOCUMENTS: dict[str, tuple[Any, str, str]] = {
    # top level
    "no model": (without("model"), "model", "missing_required_parameter"),
    "no messages": (without("messages"), "messages", "missing_required_parameter"),
    "model null": (body(model=None), "model", "invalid_type"),
    "model a number": (body(model=4), "model", "invalid_type"),
    "model empty": (body(model=""), "model", "empty_string"),
    "model too long": (body(model="m" * 300), "model", "string_above_max_length"),
    "messages a string": (body(messages="hi"), "messages", "invalid_type"),
    "messages an object": (body(messages=USER), "messages", "invalid_type"),
    "messages empty": (body(messages=[]), "messages", "empty_array"),
    "messages too many": (body(messages=[USER] * 2049), "messages", "array_above_max_length"),
    "unknown option": (body(temprature=1), "temprature", "unknown_parameter"),
    "unknown option, long": (body(**{"x" * 500: 1}), "x" * 64, "unknown_parameter"),
    "functions": (body(functions=[]), "functions", "unsupported_parameter"),
    "function_call": (body(function_call="auto"), "function_call", "unsupported_parameter"),
    "audio output": (body(audio={"voice": "x"}), "audio", "unsupported_parameter"),
    "prediction": (body(prediction={"type": "content", "content": "x"}), "prediction", "unsupported_parameter"),
    "web search": (body(web_search_options={}), "web_search_options", "unsupported_parameter"),
    "modalities audio": (body(modalities=["text", "audio"]), "modalities[1]", "invalid_value"),
    "store": (body(store=True), "store", "invalid_value"),
    "service tier": (body(service_tier="priority"), "service_tier", "invalid_value"),
    # sampling
    "temperature a string": (body(temperature="1"), "temperature", "invalid_type"),
    "temperature a boolean": (body(temperature=True), "temperature", "invalid_type"),
    "temperature too high": (body(temperature=2.5), "temperature", "decimal_above_max_value"),
    "temperature negative": (body(temperature=-1), "temperature", "integer_below_min_value"),
    "top_p too high": (body(top_p=1.1), "top_p", "decimal_above_max_value"),
    "max_tokens zero": (body(max_tokens=0), "max_tokens", "integer_below_min_value"),
    "max_tokens a decimal": (body(max_tokens=1.5), "max_tokens", "invalid_type"),
    "max_tokens absurd": (body(max_tokens=10**12), "max_tokens", "integer_above_max_value"),
    "max_completion_tokens a string": (body(max_completion_tokens="5"), "max_completion_tokens", "invalid_type"),
    "both maxima": (body(max_tokens=5, max_completion_tokens=5), "max_tokens", "invalid_parameter_combination"),
    "n two of a workflow": (body(model="p/fugu-ultra", n=2), "n", "unsupported_value"),
    "n zero": (body(n=0), "n", "integer_below_min_value"),
    "seed a decimal": (body(seed=1.5), "seed", "invalid_type"),
    "seed too large": (body(seed=2**63), "seed", "integer_above_max_value"),
    "stop a number": (body(stop=5), "stop", "invalid_type"),
    "stop too many": (body(stop=["a"] * 5), "stop", "array_above_max_length"),
    "stop with a null": (body(stop=["a", None]), "stop[1]", "invalid_type"),
    "stop empty": (body(stop=""), "stop", "empty_string"),
    "presence_penalty": (body(presence_penalty=3), "presence_penalty", "integer_above_max_value"),
    "frequency_penalty": (body(frequency_penalty=-2.5), "frequency_penalty", "decimal_below_min_value"),
    "logit_bias of the loop": (body(logit_bias={"50": 1}), "logit_bias", "unsupported_value"),
    "logit_bias too strong": (body(model="w", logit_bias={"50": 101}), "logit_bias.50", "integer_above_max_value"),
    "logprobs a number": (body(logprobs=5), "logprobs", "invalid_type"),
    "top_logprobs alone": (body(top_logprobs=5), "top_logprobs", "invalid_value"),
    "top_logprobs too many": (body(logprobs=True, top_logprobs=21), "top_logprobs", "integer_above_max_value"),
    "stream a string": (body(stream="true"), "stream", "invalid_type"),
    "stream_options alone": (body(stream_options={"include_usage": True}), "stream_options", "invalid_value"),
    "stream_options unknown": (body(stream=True, stream_options={"usage": True}), "stream_options.usage", "unknown_parameter"),
    "reasoning_effort": (body(reasoning_effort="extreme"), "reasoning_effort", "invalid_value"),
    "verbosity": (body(verbosity="loud"), "verbosity", "invalid_value"),
    "user a number": (body(user=5), "user", "invalid_type"),
    "metadata with a number": (body(metadata={"a": 1}), "metadata.a", "invalid_type"),
    "metadata too many": (body(metadata={str(i): "x" for i in range(17)}), "metadata", "object_above_max_length"),
    # messages
    "message a string": (body("hi"), "messages[0]", "invalid_type"),
    "message null": (body(USER, None), "messages[1]", "invalid_type"),
    "no role": (body({"content": "hi"}), "messages[0].role", "missing_required_parameter"),
    "role a number": (body({"role": 1, "content": "hi"}), "messages[0].role", "invalid_type"),
    "role unknown": (body(USER, {"role": "robot", "content": "hi"}), "messages[1].role", "invalid_value"),
    "role function": (body({"role": "function", "name": "f", "content": "x"}), "messages[0].role", "invalid_value"),
    "no content": (body({"role": "user"}), "messages[0].content", "missing_required_parameter"),
    "content null": (body({"role": "user", "content": None}), "messages[0].content", "invalid_type"),
    "content a number": (body({"role": "system", "content": 5}), "messages[0].content", "invalid_type"),
    "content an object": (
        body({"role": "user", "content": {"type": "text", "text": "x"}}),
        "messages[0].content",
        "invalid_type",
    ),
    "content without parts": (body(user()), "messages[0].content", "empty_array"),
    "unknown field of a message": (body(USER | {"mood": "good"}), "messages[0].mood", "unknown_parameter"),
    "a field named as a role": (body(USER | {"user": "x"}), "messages[0].user", "unknown_parameter"),
    "name with a blank": (body(USER | {"name": "a b"}), "messages[0].name", "invalid_value"),
    "assistant says nothing": (body(USER, {"role": "assistant"}), "messages[1].content", "missing_required_parameter"),
    "assistant with an old call": (
        body(USER, {"role": "assistant", "content": "x", "function_call": {"name": "f", "arguments": ""}}),
        "messages[1].function_call",
        "invalid_type",
    ),
    # content parts
    "part a string": (body(user("hi")), "messages[0].content[0]", "invalid_type"),
    "part without type": (body(user({"text": "x"})), "messages[0].content[0].type", "missing_required_parameter"),
    "part type unknown": (body(user({"type": "smell"})), "messages[0].content[0].type", "invalid_value"),
    "part type a number": (body(user({"type": 5})), "messages[0].content[0].type", "invalid_type"),
    "third message's second part": (
        body(USER, USER, user({"type": "text", "text": "x"}, {"type": "video"})),
        "messages[2].content[1].type",
        "invalid_value",
    ),
    "text part without text": (body(user({"type": "text"})), "messages[0].content[0].text", "missing_required_parameter"),
    "text null": (body(user({"type": "text", "text": None})), "messages[0].content[0].text", "invalid_type"),
    "audio part": (
        body(user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})),
        "messages[0].content[0].type",
        "unsupported_content_type",
    ),
    "file part": (body(user({"type": "file", "file": {}})), "messages[0].content[0].type", "unsupported_content_type"),
    "image as a string": (
        body(user({"type": "image_url", "image_url": "https://x/y.png"})),
        "messages[0].content[0].image_url",
        "invalid_type",
    ),
    "image without url": (
        body(user({"type": "image_url", "image_url": {}})),
        "messages[0].content[0].image_url.url",
        "missing_required_parameter",
    ),
    "image from a file": (
        body(user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})),
        "messages[0].content[0].image_url.url",
        "invalid_value",
    ),
    "image detail": (
        body(user({"type": "image_url", "image_url": {"url": "https://x/y", "detail": "huge"}})),
        "messages[0].content[0].image_url.detail",
        "invalid_value",
    ),
    "image of the system": (body({"role": "system", "content": [IMAGE]}), "messages[0].content[0].type", "invalid_value"),
    # tools
    "tools an object": (body(tools={}), "tools", "invalid_type"),
    "tools too many": (body(tools=[TOOL] * 129), "tools", "array_above_max_length"),
    "tool type": (body(tools=[{"type": "custom", "custom": {"name": "x"}}]), "tools[0].type", "invalid_value"),
    "tool without function": (body(tools=[{"type": "function"}]), "tools[0].function", "missing_required_parameter"),
    "tool without name": (body(tools=[function()]), "tools[0].function.name", "missing_required_parameter"),
    "tool name with a blank": (body(tools=[function(name="a b")]), "tools[0].function.name", "invalid_value"),
    "tool name too long": (body(tools=[function(name="a" * 65)]), "tools[0].function.name", "string_above_max_length"),
    "tool parameters a list": (body(tools=[function(name="a", parameters=[])]), "tools[0].function.parameters", "invalid_type"),
    "tool_choice alone": (body(tool_choice="auto"), "tool_choice", "invalid_value"),
    "tool_choice unknown": (body(tools=[TOOL], tool_choice="maybe"), "tool_choice", "invalid_value"),
    "tool_choice of no tool": (
        body(tools=[TOOL], tool_choice=function(name="sub")),
        "tool_choice.function.name",
        "invalid_value",
    ),
    "parallel_tool_calls alone": (body(parallel_tool_calls=True), "parallel_tool_calls", "invalid_value"),
    "call without id": (
        body(USER, calls({"type": "function", "function": CALL["function"]})),
        "messages[1].tool_calls[0].id",
        "missing_required_parameter",
    ),
    "call with parsed arguments": (
        body(USER, calls(CALL | {"function": {"name": "add", "arguments": {}}})),
        "messages[1].tool_calls[0].function.arguments",
        "invalid_type",
    ),
    "calls with one id": (body(USER, calls(CALL, CALL), result()), "messages[1].tool_calls", "invalid_value"),
    "call without result": (body(USER, calls(CALL), USER), "messages[1].tool_calls", "invalid_value"),
    "call at the end": (body(USER, calls(CALL)), "messages[1].tool_calls", "invalid_value"),
    "result without call": (body(USER, result()), "messages[1].tool_call_id", "invalid_value"),
    "result of another call": (body(USER, calls(CALL), result("call_2")), "messages[2].tool_call_id", "invalid_value"),
    "result given twice": (body(USER, calls(CALL), result(), result()), "messages[3].tool_call_id", "invalid_value"),
    "result without id": (
        body(USER, calls(CALL), {"role": "tool", "content": "5"}),
        "messages[2].tool_call_id",
        "missing_required_parameter",
    ),
    "result null": (body(USER, calls(CALL), result(content=None)), "messages[2].content", "invalid_type"),
    # response_format
    "format a string": (body(response_format="json"), "response_format", "invalid_type"),
    "format unknown": (body(response_format={"type": "xml"}), "response_format.type", "invalid_value"),
    "format without type": (body(response_format={}), "response_format.type", "missing_required_parameter"),
    "schema missing": (
        body(response_format={"type": "json_schema"}),
        "response_format.json_schema",
        "missing_required_parameter",
    ),
    "schema without name": (
        body(response_format={"type": "json_schema", "json_schema": {"schema": {}}}),
        "response_format.json_schema.name",
        "missing_required_parameter",
    ),
    "schema a string": (
        body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": "{}"}}),
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    # our own options
    "kubefugu a list": (body(kubefugu=[]), "kubefugu", "invalid_type"),
    "kubefugu unknown": (body(kubefugu={"turns": 3}), "kubefugu.turns", "unknown_parameter"),
    "kubefugu allow empty": (body(kubefugu={"allow": []}), "kubefugu.allow", "empty_array"),
    "kubefugu allow a string": (body(kubefugu={"allow": "a"}), "kubefugu.allow", "invalid_type"),
    "kubefugu deny a number": (body(kubefugu={"deny": ["a", 1]}), "kubefugu.deny[1]", "invalid_type"),
    "kubefugu max_turns a string": (body(kubefugu={"max_turns": "3"}), "kubefugu.max_turns", "invalid_type"),
    "kubefugu max_turns too many": (body(kubefugu={"max_turns": 21}), "kubefugu.max_turns", "integer_above_max_value"),
    "kubefugu cost zero": (body(kubefugu={"max_cost_usd": 0}), "kubefugu.max_cost_usd", "integer_below_min_value"),
    "kubefugu sampling": (body(kubefugu={"sampling": {}}), "kubefugu.sampling.seed", "missing_required_parameter"),
    "kubefugu progress a string": (body(kubefugu={"progress": "yes"}), "kubefugu.progress", "invalid_type"),
}
CASES = {
    **{name: (raw, param, code) for name, (raw, param, code) in RAW.items()},
    **{name: (orjson.dumps(document), param, code) for name, (document, param, code) in DOCUMENTS.items()},
}


@pytest.mark.parametrize(("raw", "param", "code"), CASES.values(), ids=CASES.keys())
async def test_it_is_refused_and_the_field_is_named(rig: Any, raw: bytes, param: str | None, code: str) -> None:
    response = await rig.client.post(PATH, content=raw, headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code), error["message"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].isprintable()
    assert len(error["message"]) < 600
    assert rig.executor.requests == []
    # There is no decision record of a request that was never decided.
    assert response.headers["x-request-id"].startswith("chatcmpl-")
    assert "x-kubefugu-decision-id" not in response.headers


GOOD: dict[str, Any] = {
    "minimal": body(),
    "every role": body(
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        USER | {"name": "ann"},
        calls(CALL, content="let me see"),
        result(content=[{"type": "text", "text": "5"}]),
        {"role": "assistant", "content": [{"type": "text", "text": "5"}, {"type": "refusal", "refusal": "no"}]},
        user({"type": "text", "text": "and this?"}, IMAGE),
    ),
    "what the SDK dumps of an answer": body(
        USER,
        {
            "role": "assistant",
            "content": "x",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
            "reasoning_content": "hm",
        },
        USER,
    ),
    "two calls answered in any order": body(USER, calls(CALL, CALL | {"id": "b"}), result("b"), result("call_1")),
    "every option": body(
        temperature=0,
        top_p=0.5,
        max_completion_tokens=5,
        n=1,
        seed=-1,
        stop=["a", "b"],
        presence_penalty=1,
        frequency_penalty=-1.5,
        logprobs=True,
        top_logprobs=2,
        stream=True,
        stream_options={"include_usage": True},
        tools=[TOOL],
        tool_choice=function(name="add"),
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}},
        reasoning_effort="high",
        user="u",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        modalities=["text"],
        kubefugu={"allow": ["a"], "max_turns": 2, "sampling": {"seed": 3}},
    ),
    "nulls": body(**dict.fromkeys(("temperature", "stop", "tools", "tool_choice", "kubefugu", "functions", "response_format"))),
    "pass-through with logit_bias": body(model="smollm2", logit_bias={"50256": -100}),
    "several choices": body(n=3),
    "tool_choice none without tools": body(tool_choice="none"),
    "empty text": body({"role": "user", "content": ""}),
    "deep tool schema": body(tools=[function(name="a", parameters=orjson.loads(b'{"items":' * 100 + b"{}" + b"}" * 100))]),
}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD.keys())
async def test_good_requests_are_not_refused(rig: Any, document: Any) -> None:
    """The guard of the table above."""
    response = await rig.client.post(PATH, json=document)
    assert response.status_code == 200, response.text
    assert len(rig.executor.requests) == 1
