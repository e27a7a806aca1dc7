"""A real local package index (PEP 503 with PEP 658 metadata) that misbehaves on script: cuts, errors, wrong bytes."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def build_wheel(name: str, version: str, members: Mapping[str, bytes]) -> bytes:
    """A minimal wheel with the given members."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as wheel:
        for path, content in members.items():
            wheel.writestr(path, content)
        wheel.writestr(f"{info}/METADATA", _METADATA.format(name=name, version=version))
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return out.getvalue()


@dataclass
class PackageIndex:
    """Wheels by (name, version), the requests seen for them, and the faults to play."""

    url: str = ""
    wheels: dict[tuple[str, str], bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of every request for a wheel."""
    cut_after: list[int] = field(default_factory=list)
    """The next wheel answers end after so many bytes."""
    statuses: list[int] = field(default_factory=list)
    """The next wheel answers are these statuses."""
    ranges: bool = True
    """False: the server knows no Range."""

    def add(self, name: str, version: str, members: Mapping[str, bytes]) -> bytes:
        """Offer a wheel; its bytes."""
        self.wheels[name, version] = build_wheel(name, version, members)
        return self.wheels[name, version]

    def environment(self) -> dict[str, str]:
        """pip's environment for this index alone."""
        return {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": f"{self.url}/simple",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_NO_CACHE_DIR": "1",
        }


@contextmanager
def serve_index() -> Iterator[PackageIndex]:
    """Run an index on a free port of 127.0.0.1."""
    index = PackageIndex()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if match := re.fullmatch(r"/simple/([^/]+)/", self.path):
                self._listing(match[1])
            elif match := re.fullmatch(r"/files/(.+)-([^-]+)-py3-none-any\.whl(\.metadata)?", self.path):
                self._file(match[1].replace("_", "-"), match[2], metadata=bool(match[3]))
            else:
                self.send_error(404)

        def _listing(self, project: str) -> None:
            links = ""
            for (name, version), content in index.wheels.items():
                if name == project:
                    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
                    digest = hashlib.sha256(content).hexdigest()
                    meta = hashlib.sha256(_METADATA.format(name=name, version=version).encode()).hexdigest()
                    links += f'<a href="/files/{file}#sha256={digest}" data-core-metadata="sha256={meta}">{file}</a>'
            self._answer(200 if links else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")

        def _file(self, name: str, version: str, *, metadata: bool) -> None:
            if metadata:
                self._answer(200, _METADATA.format(name=name, version=version).encode(), "text/plain")
                return
            wanted = self.headers.get("Range")
            index.requests.append((self.path, wanted))
            if index.statuses:
                self.send_error(index.statuses.pop(0))
                return
            content = index.wheels[name, version]
            if not wanted or not index.ranges:
                self._answer(200, content, "application/octet-stream", cut=True)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self._answer(206, content[start:], "application/octet-stream", cut=True)

        def _answer(self, status: int, body: bytes, content_type: str, *, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: index.cut_after.pop(0)] if cut and index.cut_after else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
