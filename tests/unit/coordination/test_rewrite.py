"""A worker's stream becomes ours, whatever its dialect, with and without parsing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.upstream import Script, _Answer

from kubefugu_coordination.rewrite import ChunkRewriter
from kubefugu_coordination.workers.sse import SseSplitter, data_of, events
from kubefugu_core.errors import WorkerProtocolError

OURS = {"id": "chatcmpl-ours", "model": "fugu", "created": 5}


def rewriter() -> ChunkRewriter:
    return ChunkRewriter(worker="a", request_id="chatcmpl-ours", model="fugu", created=5)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(data_of(event)) for event in events(stream)]


def worker_stream(script: Script) -> list[bytes]:
    """The events that the scripted upstream would send, without [DONE]."""
    script.done = False
    return _Answer(script, {"stream_options": {"include_usage": True}}, None)._events()  # type: ignore[arg-type]


DIALECTS = [
    Script(),
    Script(spaces=True),
    Script(usage_null=True),
    Script(usage_null=True, spaces=True),
    Script(changing_id=True),
    Script(tool_calls=[{"id": "chatcmpl-upstream-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
    Script(text='tricky "id":"chatcmpl-upstream-1" "usage":null {"model":"upstream-model"}\n\ndata: {}'),
    Script(extra={"reasoning_content": None}),
]


@pytest.mark.parametrize("script", DIALECTS)
@pytest.mark.parametrize("together", [1, 3, 100])
def test_only_identity_and_usage_change(script: Script, together: int) -> None:
    sent = worker_stream(script)
    rewrite = rewriter()
    blocks = [b"".join(sent[start : start + together]) for start in range(0, len(sent), together)]
    got = chunks(b"".join(rewrite.rewrite(block) for block in blocks))
    expected = []
    for chunk in chunks(b"".join(sent)):
        if chunk["choices"]:
            chunk.pop("usage", None)
            expected.append(chunk | OURS)
    assert got == expected
    assert rewrite.saw_finish


def test_chunks_like_the_first_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = worker_stream(Script(pieces=30))
    rewrite = rewriter()
    rewrite.rewrite(sent[0])

    def refuse(event: bytes, *, worker: str) -> dict[str, Any]:
        raise AssertionError("an ordinary chunk was parsed")

    monkeypatch.setattr("kubefugu_coordination.rewrite.parse_chunk", refuse)
    for event in sent[1:-2]:
        assert chunks(rewrite.rewrite(event))[0]["id"] == "chatcmpl-ours"


def test_comments_pings_and_events_without_choices_are_left_out() -> None:
    rewrite = rewriter()
    block = b': ping\n\nevent: x\ndata: {"choices": []}\n\ndata: {"choices":[],"prompt_filter_results":[]}\n\n'
    assert rewrite.rewrite(block) == b""


@pytest.mark.parametrize(
    "block", [b"data: {not json}\n\n", b"data: []\n\n", b'data: {"choices": "x"}\n\n', b'data: {"choices": [{"delta": 1}]}\n\n']
)
def test_a_malformed_chunk_is_told(block: bytes) -> None:
    with pytest.raises(WorkerProtocolError, match="Worker a"):
        rewriter().rewrite(block)


def test_a_malformed_chunk_after_good_ones_is_told() -> None:
    sent = worker_stream(Script())
    rewrite = rewriter()
    rewrite.rewrite(sent[0] + sent[1])
    with pytest.raises(WorkerProtocolError):
        rewrite.rewrite(sent[2][:-10] + b"\n\n")


def test_text_is_collected_on_demand() -> None:
    rewrite = rewriter()
    rewrite.text = []
    rewrite.rewrite(b"".join(worker_stream(Script(text="all of it"))))
    assert "".join(rewrite.text) == "all of it"


@given(data=st.lists(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5), cuts=st.data())
def test_a_stream_split_anywhere_is_the_same_stream(data: list[str], cuts: st.DataObject) -> None:
    sent = b"".join(
        b"data: " + orjson.dumps({"id": "i", "model": "m", "choices": [{"delta": {"content": text}}]}) + b"\r\n\r\n"
        for text in data
    )
    where = sorted(cuts.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    splitter, rewrite = SseSplitter(), rewriter()
    out = b""
    for start, end in zip([0, *where], [*where, len(sent)], strict=True):
        out += rewrite.rewrite(splitter.feed(sent[start:end]))
    assert splitter.pending == b""
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks(out)] == data
