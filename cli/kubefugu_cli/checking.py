"""`kubefugu pool check`: one tiny real call to each worker, through the client that serves."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from kubefugu_cli.console import err, new_table, out, print_json
from kubefugu_cli.pools import find_pool_file
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.running import running_state
from kubefugu_coordination.workers import Deadline, RetryPolicy, SystemClock, WorkerClient, WorkerSet
from kubefugu_core.errors import KubefuguError, spec_of
from kubefugu_core.pool import WorkerPool, load_pool, parse_pool
from kubefugu_core.settings import cache_home

_ANSWER_TOKENS = 16
_SHOWN_CHARACTERS = 48


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one worker did."""

    name: str
    model: str
    url: str = ""
    outcome: str
    """ok, declined, or the reason of the error table in lower case."""
    works: bool
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    says: str = ""
    """The beginning of the answer, or the error's sentence."""


def pool_to_check(given: str, name: str) -> WorkerPool:
    """A pool with addresses: the running stack's where it is meant, else the file, key files relative to it."""
    layout = StackLayout.of(cache_home(), name)
    state = running_state(layout)
    if state is not None and (not given or Path(state.pool) == find_pool_file(given)):
        return load_pool(layout.pool_file)
    path = find_pool_file(given or None)
    document = load_pool(path).model_dump(mode="json", by_alias=True, exclude_unset=True)
    for worker in document["spec"]["workers"]:
        auth = worker.get("auth") or {}
        if auth.get("file"):
            auth["file"] = str(path.parent / Path(auth["file"]).expanduser())
    return parse_pool(document, source=str(path))


def check_pool(pool: WorkerPool, *, question: str, timeout_s: float) -> list[CheckResult]:
    """Call all workers at the same time; results in the pool's order."""
    return asyncio.run(_check_all(pool, question, timeout_s))


async def _check_all(pool: WorkerPool, question: str, timeout_s: float) -> list[CheckResult]:
    usable = [worker for worker in pool.spec.workers if worker.process is None]
    results: dict[str, CheckResult] = {
        worker.name: CheckResult(
            name=worker.name,
            model=worker.model,
            outcome="not running",
            works=False,
            says="a process of the local stack: start it with `kubefugu up`",
        )
        for worker in pool.spec.workers
        if worker.process is not None
    }
    if usable:
        spec = pool.spec.model_copy(update={"workers": tuple(usable)})
        workers = WorkerSet(pool.model_copy(update={"spec": spec}), retry=RetryPolicy(attempts=1))
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        try:
            with Progress(*columns, console=err(), transient=True) as progress:
                waiting = {one.name: progress.add_task(f"asking {one.name}", total=1) for one in usable}

                async def one_check(client: WorkerClient) -> None:
                    results[client.name] = await _check(client, question, timeout_s)
                    progress.update(waiting[client.name], completed=1, visible=False)

                async with asyncio.TaskGroup() as group:
                    for worker in usable:
                        group.create_task(one_check(workers.client(worker.name)))
        finally:
            await workers.close()
    return [results[worker.name] for worker in pool.spec.workers]


async def _check(client: WorkerClient, question: str, timeout_s: float) -> CheckResult:
    request = {"messages": [{"role": "user", "content": question}], "max_tokens": _ANSWER_TOKENS}
    failed = CheckResult(name=client.name, model=client.spec.model, url=client.url, outcome="failed", works=False)
    try:
        reply = await client.complete(request, deadline=Deadline.after(timeout_s, SystemClock()))
    except KubefuguError as error:
        return replace(failed, outcome=spec_of(error).reason.lower(), says=error.message)
    outcome = "declined" if reply.refusal is not None else "empty answer" if reply.is_empty else "ok"
    return replace(
        failed,
        outcome=outcome,
        works=outcome == "ok" or (outcome == "declined" and client.spec.specialist),
        latency_ms=round(reply.latency_ms, 1),
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        says=(reply.text or reply.refusal or "").strip(),
    )


def show(pool: WorkerPool, results: list[CheckResult], *, json_output: bool) -> None:
    """The table, or JSON."""
    if json_output:
        print_json({"pool": pool.metadata.name, "workers": [asdict(result) for result in results]})
        return
    columns = ("worker", "model", "latency", "tokens", "outcome", "says")
    table = new_table(*columns, title=f"pool {pool.metadata.name}")
    for result in results:
        says = " ".join(result.says.split()) if result.works else ""
        if len(says) > _SHOWN_CHARACTERS:
            says = says[: _SHOWN_CHARACTERS - 1] + "…"
        style = "green" if result.outcome == "ok" else "cyan" if result.works else "red"
        tokens = "" if result.prompt_tokens is None else f"{result.prompt_tokens} + {result.completion_tokens}"
        latency = "" if result.latency_ms is None else f"{result.latency_ms:.0f} ms"
        outcome = result.outcome.removeprefix("worker_").replace("_", " ")
        table.add_row(result.name, result.model, latency, tokens, f"[{style}]{outcome}[/]", escape(says))
    out().print(table)
    for result in results:
        if not result.works:
            why = result.says or result.outcome
            sentence = why if result.name in why else f"{result.name}: {why}"
            out().print(sentence, style="red", markup=False, soft_wrap=True)
