"""A small status endpoint of a run: `GET /` answers status.json, `GET /metrics?from=N` the figures since line N.

For whoever polls a run on another machine; read-only, no keys: listen on loopback or inside a cluster's network.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import orjson

from kubefugu_core.errors import DataError


class StatusServer:
    """Serves a run directory's status while the block runs."""

    def __init__(self, address: str, folder: Path) -> None:
        """`address`: HOST:PORT, port 0 for a free one. Raises DataError where it can't be listened on."""
        host, _, port = address.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), _handler(folder))
        except (OSError, ValueError, OverflowError) as error:
            raise DataError(f"The status endpoint {address!r} cannot be opened: {error}.", field="status") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self._server.server_address[0]!s}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is http.server's
            parts = urlsplit(self.path)
            if parts.path == "/":
                self._answer(200, _read(folder / "status.json") or orjson.dumps({"state": "preparing"}), "application/json")
            elif parts.path == "/metrics":
                first = parse_qs(parts.query).get("from", ["0"])[0]
                lines = _read(folder / "metrics.jsonl").splitlines(keepends=True)
                whole = [line for line in lines if line.endswith(b"\n")]
                self._answer(200, b"".join(whole[int(first) if first.isdigit() else 0 :]), "application/x-ndjson")
            else:
                self._answer(404, orjson.dumps({"error": "only / and /metrics are here"}), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Polls are no news."""

    return Handler


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
