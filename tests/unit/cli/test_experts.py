"""Workers whose expert engine this machine lacks something for leave the pool."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import yaml
from support.pools import pool_of, worker

from kubefugu_cli.stack.experts import absent_engines, leave_out, left_out_workers
from kubefugu_cli.stack.layout import StackLayout
from kubefugu_cli.stack.model import ComponentState, LeftOut, ProcessRef, StackState
from kubefugu_core.pool import load_pool

_REASON = "The engine definitions is left out: WordNet is not installed."


@contextmanager
def experts_process(left_out: dict[str, str]) -> Iterator[int]:
    """What the experts process tells at /health; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "ok", "engines": ["units"], "left_out": left_out}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def state_with(pool_file: Path, port: int | None) -> StackState:
    components = (ComponentState(name="experts", port=port),)
    here = ProcessRef(pid=1, created=0)
    return StackState(name="t", url="http://x", pool=str(pool_file), pool_name="p", supervisor=here, components=components)


def write_pool(path: Path) -> Path:
    pool = pool_of(
        {"name": "units", "model": "units", "process": {"kind": "expert", "model": "units"}},
        {"name": "words", "model": "definitions", "process": {"kind": "expert", "model": "definitions"}},
        worker("remote", "http://x/v1"),
        planner="words",
    )
    path.write_text(yaml.safe_dump(pool.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    return path


def test_a_worker_is_left_out_with_the_sentence_of_its_engine(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "pool.yaml")
    with experts_process({"definitions": _REASON}) as port:
        left_out = left_out_workers(state_with(path, port))
    assert left_out == [LeftOut(worker="words", reason=_REASON)]
    layout = StackLayout.of(tmp_path)
    layout.create()
    write_pool(layout.pool_file)
    leave_out(layout, left_out)
    pool = load_pool(layout.pool_file)
    assert [one.name for one in pool.spec.workers] == ["units", "remote"]
    assert pool.spec.routing.planner == ""


def test_nothing_is_left_out_where_all_engines_run_or_nobody_answers(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "pool.yaml")
    with experts_process({}) as port:
        assert left_out_workers(state_with(path, port)) == []
    assert absent_engines(state_with(path, port)) == {}
    assert absent_engines(state_with(path, None)) == {}
    with experts_process({"definitions": _REASON}) as port:
        assert left_out_workers(state_with(tmp_path / "gone.yaml", port)) == []


def test_the_last_worker_of_a_pool_stays(tmp_path: Path) -> None:
    layout = StackLayout.of(tmp_path)
    layout.create()
    write_pool(layout.pool_file)
    before = layout.pool_file.read_text()
    leave_out(layout, [LeftOut(worker=name, reason="gone") for name in ("units", "words", "remote")])
    assert layout.pool_file.read_text() == before
