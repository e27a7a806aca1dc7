"""Expert engines that this machine lacks something for: their workers leave the pool, with the sentence that says what."""

from __future__ import annotations

from pathlib import Path

import httpx
import yaml

from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import LeftOut, StackState
from kubefugu_cli.stack.plan import EXPERTS, HOST
from kubefugu_core.errors import DataError
from kubefugu_core.pool import load_pool

_TIMEOUT_S = 5.0


def absent_engines(state: StackState) -> dict[str, str]:
    """Engine -> why it is left out, as the experts process tells; empty where there is no such process or no answer."""
    component = state.component(EXPERTS)
    if component is None or component.port is None:
        return {}
    try:
        reply = httpx.get(f"http://{HOST}:{component.port}/health", timeout=_TIMEOUT_S, trust_env=False)
        return {str(name): str(reason) for name, reason in reply.json().get("left_out", {}).items()}
    except (httpx.HTTPError, ValueError, AttributeError):
        return {}


def left_out_workers(state: StackState) -> list[LeftOut]:
    """Workers of the pool whose engine is absent."""
    absent = absent_engines(state)
    if not absent:
        return []
    try:
        workers = load_pool(Path(state.pool)).spec.workers
    except DataError:  # the pool file was edited or removed since
        return []
    return [
        LeftOut(worker=worker.name, reason=absent[worker.process.model])
        for worker in workers
        if worker.process and worker.process.kind == "expert" and worker.process.model in absent
    ]


def leave_out(layout: StackLayout, left_out: list[LeftOut]) -> None:
    """Take workers out of the resolved pool; the services read it again when it changes. The last worker stays."""
    names = {one.worker for one in left_out}
    document = yaml.safe_load(layout.pool_file.read_text(encoding="utf-8"))
    workers = [worker for worker in document["spec"]["workers"] if worker["name"] not in names]
    if not names or not workers:
        return
    document["spec"]["workers"] = workers
    if document["spec"].get("routing", {}).get("planner") in names:
        del document["spec"]["routing"]["planner"]
    aside = layout.pool_file.with_name(".pool.yaml.new")
    aside.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    aside.replace(layout.pool_file)
