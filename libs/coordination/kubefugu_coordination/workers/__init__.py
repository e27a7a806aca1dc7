"""Clients of workers: any OpenAI-compatible chat endpoint, with timeouts, retries, limits and a circuit per worker.

workers = WorkerSet(load_pool(path))
client = workers.client("name")
reply = await client.complete(request, deadline=Deadline.after(30, SystemClock()))
async with client.stream(request, deadline=deadline) as stream:
    async for block in stream: ...
"""

from kubefugu_coordination.clock import Clock, Deadline, SystemClock
from kubefugu_coordination.workers.admission import CallObserver, WorkerStats
from kubefugu_coordination.workers.breaker import BreakerState
from kubefugu_coordination.workers.cache import MemoryReplyCache, ReplyCache, request_key
from kubefugu_coordination.workers.client import RetryPolicy, WorkerClient
from kubefugu_coordination.workers.endpoint import KeySource, base_url
from kubefugu_coordination.workers.registry import PoolFile, PoolSnapshot, WorkerSet
from kubefugu_coordination.workers.reply import TokenUsage, WorkerReply, text_of
from kubefugu_coordination.workers.stream import WorkerStream, parse_chunk
from kubefugu_coordination.workers.transport import AiohttpTransport, HttpResponse, HttpTransport

__all__ = [
    "AiohttpTransport",
    "BreakerState",
    "CallObserver",
    "Clock",
    "Deadline",
    "HttpResponse",
    "HttpTransport",
    "KeySource",
    "MemoryReplyCache",
    "PoolFile",
    "PoolSnapshot",
    "ReplyCache",
    "RetryPolicy",
    "SystemClock",
    "TokenUsage",
    "WorkerClient",
    "WorkerReply",
    "WorkerSet",
    "WorkerStats",
    "WorkerStream",
    "base_url",
    "parse_chunk",
    "request_key",
    "text_of",
]
