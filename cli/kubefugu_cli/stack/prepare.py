"""What must lie ready before a stack starts: models, the resolved pool, the policy set, the plan."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from kubefugu_cli.fetching import fetch_models
from kubefugu_cli.pools import find_conductor, find_head, find_strengths
from kubefugu_cli.stack import plan as planning
from kubefugu_cli.stack import processes
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import LeftOut, StackPlan, read_document, write_document
from kubefugu_cli.stack.policy_file import declare_head
from kubefugu_core.errors import DataError, UnavailableError
from kubefugu_core.models import CATALOG
from kubefugu_core.pool import WorkerPool, load_pool


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What `prepare` found."""

    left_out: tuple[LeftOut, ...]
    has_head: bool


def prepare(layout: StackLayout, *, pool_file: Path, port: int, head: Path | None, backbone: str) -> Prepared:
    """Write everything that the supervisor needs. Raises DataError (pool, head), and what fetching a model raises."""
    _need_services()
    pool = load_pool(pool_file)
    head = head or find_head(pool_file, pool)
    conductor, conductor_base = _conductor(pool_file, pool)
    backbone_ref, model_files = _models(pool, backbone)
    before = read_document(layout.plan_file, StackPlan)
    if before is not None and before.pool != str(pool_file):
        before = None
    layout.create()
    _clear(layout, forget_policies=before is None or head is None)
    names = planning.process_names(pool)
    given = planning.PlanInput(
        pool=pool,
        pool_file=pool_file,
        layout=layout,
        port=port,
        worker_ports=dict(zip(names, processes.free_ports(len(names)), strict=True)),
        model_files=model_files,
        backbone=backbone_ref,
        left_out=planning.cluster_only(pool),
        strengths=find_strengths(head),
        conductor=conductor,
        conductor_base=conductor_base,
        with_conductor=importlib.util.find_spec("kubefugu_conductor.main") is not None,
        policy_generation=declare_head(layout, head, pool_stem=pool_file.stem, before=before),
    )
    resolved = yaml.safe_dump(planning.resolve_pool(given), sort_keys=False, allow_unicode=True)
    layout.pool_file.write_text(resolved, encoding="utf-8")
    stack_plan = planning.build_plan(given)
    write_document(layout.plan_file, stack_plan)
    return Prepared(left_out=stack_plan.left_out, has_head=layout.policy_set_file.exists())


def _need_services() -> None:
    needed = ("kubefugu_gateway", "kubefugu_executor", "kubefugu_router")
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        raise UnavailableError(
            f"The services are not installed here ({', '.join(absent)}): "
            "pip install 'kubefugu[local]', or `make up` in a checkout."
        )


def _conductor(pool_file: Path, pool: WorkerPool) -> tuple[Path | None, str]:
    """The trained Conductor and the file of its base model, fetched; None where there is none, or nothing here to run it."""
    found = find_conductor(pool_file, pool)
    if found is None or importlib.util.find_spec("torch") is None:
        return None, ""
    path, base = found
    return path, str(fetch_models([base])[0])


def _models(pool: WorkerPool, backbone: str) -> tuple[str, Mapping[str, str]]:
    """Fetch what is missing. Returns the backbone's reference and the GGUF file of each llamacpp model."""
    wanted = [worker.process.model for worker in planning.llamacpp_workers(pool) if worker.process]
    named = list(dict.fromkeys(name for name in (backbone, *wanted) if name in CATALOG))
    fetched = dict(zip(named, (str(path) for path in fetch_models(named)), strict=True))
    files = {}
    for model in wanted:
        files[model] = fetched.get(model) or str(Path(model).expanduser().absolute())
        if not Path(files[model]).is_file():
            raise DataError(f"{model} is neither a name of `kubefugu models list` nor a GGUF file.", field="process.model")
    path = Path(backbone).expanduser()
    return fetched.get(backbone) or (str(path.absolute()) if path.exists() else backbone), files


def _clear(layout: StackLayout, *, forget_policies: bool) -> None:
    """Sockets and state of the last run go, its logs are kept once; what the router remembers goes with its pool."""
    for socket in layout.sockets_dir.glob("*.sock"):
        socket.unlink()
    layout.state_file.unlink(missing_ok=True)
    for log in layout.logs_dir.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))
    if forget_policies:
        shutil.rmtree(layout.data_dir / planning.ROUTER, ignore_errors=True)
    for service in (planning.ROUTER, planning.EXECUTOR):
        (layout.data_dir / service).mkdir(parents=True, exist_ok=True)
