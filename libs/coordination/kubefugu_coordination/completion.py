"""The frames and objects that are ours: the completion object, the last chunks, usage and [DONE]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from kubefugu_coordination.job import Job
from kubefugu_coordination.spend import Spent, usage_object

DONE_FRAME = b"data: [DONE]\n\n"
_PIECE_CHARACTERS = 240


def finished_completion(
    job: Job, completion: Mapping[str, Any], spent: Spent, *, explain: Mapping[str, Any] | None = None
) -> bytes:
    """A worker's chat.completion as ours: our id, model, created and usage; everything else stays."""
    ours = dict(completion)
    ours.update(id=job.request_id, object="chat.completion", created=job.created, model=job.chat.model)
    ours["usage"] = usage_object(spent, reported=completion.get("usage"))
    if explain is not None:
        ours["kubefugu"] = explain
    return orjson.dumps(ours)


def _frame(job: Job, **members: object) -> bytes:
    chunk = {"id": job.request_id, "object": "chat.completion.chunk", "created": job.created, "model": job.chat.model}
    return b"data: " + orjson.dumps(chunk | members) + b"\n\n"


def finish_frame(job: Job, reason: str) -> bytes:
    """The chunk that carries a finish_reason, for workers that leave it out."""
    return _frame(job, choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


def last_frames(
    job: Job, spent: Spent, *, reported: dict[str, Any] | None = None, explain: Mapping[str, Any] | None = None
) -> bytes:
    """Usage where the client asked for it, the explanation where it asked for that, and [DONE]."""
    members: dict[str, object] = {}
    if job.chat.include_usage:
        members["usage"] = usage_object(spent, reported=reported)
    if explain is not None:
        members["kubefugu"] = explain
    frames = _frame(job, choices=[], **members) if members else b""
    return frames + DONE_FRAME


def completion_frames(job: Job, completion: Mapping[str, Any]) -> bytes:
    """A whole completion as the chunks of a stream, without usage and [DONE]."""
    return b"".join(_choice_frames(job, completion))


def _choice_frames(job: Job, completion: Mapping[str, Any]) -> Iterator[bytes]:
    for choice in completion["choices"]:
        index = choice.get("index", 0)
        message = dict(choice["message"])
        content = message.pop("content", None)
        if calls := message.get("tool_calls"):
            message["tool_calls"] = [{"index": number} | dict(call) for number, call in enumerate(calls)]
        first = {"role": "assistant"} | message | {"content": "" if isinstance(content, str) else content}
        yield _frame(job, choices=[{"index": index, "delta": first, "finish_reason": None}])
        for piece in _pieces(content if isinstance(content, str) else ""):
            yield _frame(job, choices=[{"index": index, "delta": {"content": piece}, "finish_reason": None}])
        finish = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        yield _frame(job, choices=[finish])


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARACTERS):
        yield text[start : start + _PIECE_CHARACTERS]
