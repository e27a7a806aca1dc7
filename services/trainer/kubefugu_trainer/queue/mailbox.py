"""What driver and evaluators leave for each other in Redis, by (run, round, task).

    kubefugu:{run}:problem          what all tasks of the run need, one blob
    kubefugu:{run}:N:work           hash: task -> its part, shared:I -> what it has in common with others of the round
    kubefugu:{run}:N:results        hash: task -> JSON
    kubefugu:{run}:N:told           list: tasks whose result has come; only wakes the driver
    kubefugu:{run}:N:claim:C        kept alive by the evaluator that works on task C

A result names the digest of what it was computed from, so a stale or foreign one is never taken for another. Every key expires.
A round is a generation of candidates (`candidates.py`) or a batch of plans (`plans.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.exceptions import RedisError

from kubefugu_core.errors import DataError

_PROBLEM_TTL_S = 7 * 86_400
_ROUND_TTL_S = 2 * 86_400
BrokerError = RedisError
"""What a call raises when Redis can't be reached or refuses."""


@dataclass(frozen=True, slots=True)
class Work:
    """One task as an evaluator gets it."""

    part: bytes
    shared: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a task: something of JSON, or why there is nothing."""

    result: Any
    error: str = ""


class Mailbox:
    """Both sides' view of one run."""

    def __init__(self, client: Any, run_id: str) -> None:
        """`client`: a redis-py client that returns bytes (its own types allow text everywhere)."""
        self._redis = client
        self._prefix = f"kubefugu:{{{run_id}}}"

    # --- the driver's side ---------------------------------------------------------------------------------------------------

    def publish_problem(self, raw: bytes) -> None:
        """Leave the problem; it is sent again only where it is not there any more."""
        key = f"{self._prefix}:problem"
        if not self._redis.expire(key, _PROBLEM_TTL_S):
            self._redis.set(key, raw, ex=_PROBLEM_TTL_S)

    def publish(self, number: int, parts: Sequence[bytes], shared: Sequence[bytes]) -> list[str]:
        """Leave a round's tasks; returns their digests. `shared` has one entry for all tasks, or one for each."""
        fields: dict[str, bytes] = {f"shared:{i}": raw for i, raw in enumerate(shared)}
        fields |= {str(i): raw for i, raw in enumerate(parts)}
        key = self._key(number, "work")
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping=fields)
            pipeline.expire(key, _ROUND_TTL_S)
            pipeline.execute()
        return [digest(part, shared[i if len(shared) > 1 else 0]) for i, part in enumerate(parts)]

    def results(self, number: int) -> dict[int, bytes]:
        """Raw results that have come so far."""
        found: Mapping[bytes, bytes] = self._redis.hgetall(self._key(number, "results"))
        return {int(name): raw for name, raw in found.items() if name.isdigit()}

    def wait(self, number: int, *, timeout_s: float) -> bool:
        """Wait until some result has come; False after the timeout."""
        key = self._key(number, "told")
        if self._redis.blpop([key], timeout=timeout_s) is None:
            return False
        self._redis.delete(key)  # all of them are read at once
        return True

    def drop_result(self, number: int, task: int) -> None:
        """Throw a result away."""
        self._redis.hdel(self._key(number, "results"), str(task))

    def claimed(self, number: int, tasks: Sequence[int]) -> set[int]:
        """Those of the tasks that some evaluator works on now."""
        if not tasks:
            return set()
        found: list[Any] = self._redis.mget([self._claim(number, i) for i in tasks])
        return {i for i, value in zip(tasks, found, strict=True) if value is not None}

    def forget(self, number: int) -> None:
        """Delete a round that is over; what is left of its tasks finds nothing to do."""
        self._redis.delete(*(self._key(number, part) for part in ("work", "results", "told")))

    # --- the evaluator's side ------------------------------------------------------------------------------------------------

    def problem(self) -> bytes | None:
        """The problem; None where it has expired."""
        raw: bytes | None = self._redis.get(f"{self._prefix}:problem")
        return raw

    def work(self, number: int, task: int) -> Work | None:
        """A task; None where its round is over."""
        key = self._key(number, "work")
        part, own, common = self._redis.hmget(key, [str(task), f"shared:{task}", "shared:0"])
        shared = common if own is None else own
        if part is None or shared is None:
            return None
        return Work(part, shared, digest(part, shared))

    def answered(self, number: int, task: int, wanted: str) -> bool:
        """True where a result of this very work is there already."""
        raw: bytes | None = self._redis.hget(self._key(number, "results"), str(task))
        return raw is not None and f'"{wanted}"'.encode() in raw

    def claim(self, number: int, task: int, *, holder: str, ttl_s: float) -> None:
        """Say, or say again, that this evaluator works on the task."""
        self._redis.set(self._claim(number, task), holder, px=int(ttl_s * 1000))

    def release(self, number: int, task: int) -> None:
        """The evaluator is done with the task."""
        self._redis.delete(self._claim(number, task))

    def answer(self, number: int, task: int, wanted: str, answer: Answer) -> None:
        """Leave a result and wake the driver."""
        body = {"digest": wanted, "error": answer.error, "result": answer.result}
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key(number, "results"), str(task), orjson.dumps(body))
            pipeline.expire(self._key(number, "results"), _ROUND_TTL_S)
            pipeline.rpush(self._key(number, "told"), str(task))
            pipeline.expire(self._key(number, "told"), _ROUND_TTL_S)
            pipeline.execute()

    def _key(self, number: int, part: str) -> str:
        return f"{self._prefix}:{number}:{part}"

    def _claim(self, number: int, task: int) -> str:
        return f"{self._prefix}:{number}:claim:{task}"


def read_answer(raw: bytes, *, wanted: str) -> Answer:
    """A raw result. Raises DataError where it is none, or one of other work."""
    try:
        body = orjson.loads(raw)
        told, error, result = body["digest"], body["error"], body["result"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as problem:
        raise DataError(f"not the result of a task: {problem!r}") from problem
    if told != wanted:
        raise DataError("the result of other work")
    return Answer(result, str(error or ""))


def digest(part: bytes, shared: bytes) -> str:
    """What a result is a result of."""
    return hashlib.sha256(hashlib.sha256(part).digest() + shared).hexdigest()
