"""What driver and evaluators leave for each other in Redis, by (run, generation, candidate).

    kubefugu:{run}:problem          the frozen problem, one blob
    kubefugu:{run}:N:work           hash: candidate -> vector (float64), draw:I -> what it is measured on
    kubefugu:{run}:N:results        hash: candidate -> JSON
    kubefugu:{run}:N:told           list: candidates whose result has come; only wakes the driver
    kubefugu:{run}:N:claim:C        kept alive by the evaluator that works on candidate C

A result names the digest of what it was computed from, so a stale or foreign one is never taken for another. Every key expires.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from redis.exceptions import RedisError

from kubefugu_core.errors import DataError
from kubefugu_trainer.evolution.choice import Draw, Generation, Measured
from kubefugu_trainer.evolution.sepcma import Population

_PROBLEM_TTL_S = 7 * 86_400
_GENERATION_TTL_S = 2 * 86_400
BrokerError = RedisError
"""What a call raises when Redis can't be reached or refuses."""


@dataclass(frozen=True, slots=True)
class Work:
    """One candidate as an evaluator gets it."""

    vector: NDArray[np.float64]
    draw: Draw
    digest: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a candidate: figures, or why there are none."""

    measured: Measured | None
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

    def publish(self, generation: Generation, candidates: Population) -> list[str]:
        """Leave a generation's candidates; returns their digests."""
        draws = [draw_to_bytes(draw) for draw in generation.draws]
        vectors = [np.ascontiguousarray(x, dtype="<f8").tobytes() for x in candidates]
        fields: dict[str, bytes] = {f"draw:{i}": raw for i, raw in enumerate(draws)}
        fields |= {str(i): raw for i, raw in enumerate(vectors)}
        key = self._key(generation.number, "work")
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping=fields)
            pipeline.expire(key, _GENERATION_TTL_S)
            pipeline.execute()
        return [digest(vector, draws[i if len(draws) > 1 else 0]) for i, vector in enumerate(vectors)]

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

    def drop_result(self, number: int, candidate: int) -> None:
        """Throw a result away."""
        self._redis.hdel(self._key(number, "results"), str(candidate))

    def claimed(self, number: int, candidates: Sequence[int]) -> set[int]:
        """Those of the candidates that some evaluator works on now."""
        if not candidates:
            return set()
        found: list[Any] = self._redis.mget([self._claim(number, i) for i in candidates])
        return {i for i, value in zip(candidates, found, strict=True) if value is not None}

    def forget(self, number: int) -> None:
        """Delete a generation that is over; what is left of its tasks finds nothing to do."""
        self._redis.delete(*(self._key(number, part) for part in ("work", "results", "told")))

    # --- the evaluator's side ------------------------------------------------------------------------------------------------

    def problem(self) -> bytes | None:
        """The problem; None where it has expired."""
        raw: bytes | None = self._redis.get(f"{self._prefix}:problem")
        return raw

    def work(self, number: int, candidate: int) -> Work | None:
        """A candidate; None where its generation is over. Raises DataError for what is not one."""
        key = self._key(number, "work")
        vector, own, common = self._redis.hmget(key, [str(candidate), f"draw:{candidate}", "draw:0"])
        draw = own or common
        if vector is None or draw is None:
            return None
        return Work(np.frombuffer(vector, dtype="<f8").astype(np.float64), draw_from_bytes(draw), digest(vector, draw))

    def answered(self, number: int, candidate: int, wanted: str) -> bool:
        """True where a result of this very work is there already."""
        raw: bytes | None = self._redis.hget(self._key(number, "results"), str(candidate))
        return raw is not None and f'"{wanted}"'.encode() in raw

    def claim(self, number: int, candidate: int, *, holder: str, ttl_s: float) -> None:
        """Say, or say again, that this evaluator works on the candidate."""
        self._redis.set(self._claim(number, candidate), holder, px=int(ttl_s * 1000))

    def release(self, number: int, candidate: int) -> None:
        """The evaluator is done with the candidate."""
        self._redis.delete(self._claim(number, candidate))

    def answer(self, number: int, candidate: int, wanted: str, answer: Answer) -> None:
        """Leave a result and wake the driver."""
        body = {"digest": wanted, "error": answer.error, "result": answer.measured.to_json() if answer.measured else None}
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key(number, "results"), str(candidate), orjson.dumps(body))
            pipeline.expire(self._key(number, "results"), _GENERATION_TTL_S)
            pipeline.rpush(self._key(number, "told"), str(candidate))
            pipeline.expire(self._key(number, "told"), _GENERATION_TTL_S)
            pipeline.execute()

    def _key(self, number: int, part: str) -> str:
        return f"{self._prefix}:{number}:{part}"

    def _claim(self, number: int, candidate: int) -> str:
        return f"{self._prefix}:{number}:claim:{candidate}"


def read_answer(raw: bytes, *, wanted: str, workers: int) -> Answer:
    """A raw result. Raises DataError where it is none, or one of other work."""
    try:
        body = orjson.loads(raw)
        told, error, result = body["digest"], body["error"], body["result"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as problem:
        raise DataError(f"not the result of a candidate: {problem!r}") from problem
    if told != wanted:
        raise DataError("the result of other work")
    if error:
        return Answer(None, str(error))
    return Answer(Measured.from_json(result, workers=workers))


def digest(vector: bytes, draw: bytes) -> str:
    """What a result is a result of."""
    return hashlib.sha256(hashlib.sha256(vector).digest() + draw).hexdigest()


def draw_to_bytes(draw: Draw) -> bytes:
    """A draw as bytes, equal for equal draws."""
    shape = np.array([draw.allowed.shape[0], draw.allowed.shape[1], draw.noise.size, draw.seeds.size], dtype="<i8")
    parts = (shape, draw.rows.astype("<i8"), draw.allowed.astype("u1"), draw.seeds.astype("<i8"), draw.noise.astype("<f8"))
    return b"".join(part.tobytes() for part in parts)


def draw_from_bytes(raw: bytes) -> Draw:
    """Read `draw_to_bytes` back. Raises DataError for anything else."""
    buffer = io.BytesIO(raw)
    try:
        size, workers, noise, seeds = (int(n) for n in np.frombuffer(buffer.read(32), dtype="<i8"))
        rows = np.frombuffer(buffer.read(8 * size), dtype="<i8").astype(np.int64)
        allowed = np.frombuffer(buffer.read(size * workers), dtype="u1").astype(np.bool_).reshape(size, workers)
        drawn = np.frombuffer(buffer.read(8 * seeds), dtype="<i8").astype(np.int64)
        rest = np.frombuffer(buffer.read(), dtype="<f8").astype(np.float64)
        return Draw(rows, allowed, rest.reshape(size, workers) if noise else np.zeros((0, 0)), drawn)
    except ValueError as error:
        raise DataError(f"not a draw: {error}") from error
