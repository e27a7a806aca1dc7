"""Where a worker's chat API is, and the key that it wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kubefugu_core.errors import WorkerMisconfiguredError
from kubefugu_core.naming import managed_service_name
from kubefugu_core.pool import WorkerSpec


def base_url(spec: WorkerSpec, *, pool: str) -> str:
    """Base URL of the OpenAI API, without a trailing slash.

    A managed worker is found by the operator's naming convention. A `process` entry has no address before the local stack
    has started it and written a `url` in its place: WorkerMisconfiguredError.
    """
    if spec.url is not None:
        return spec.url.rstrip("/")
    if spec.service is not None:
        return f"http://{spec.service.name}:{spec.service.port}{spec.service.path.rstrip('/')}"
    if spec.managed is not None:
        name = managed_service_name(pool, spec.name)
        return f"http://{name}:{spec.managed.port}{spec.managed.path.rstrip('/')}"
    raise WorkerMisconfiguredError(
        f"Worker {spec.name} is a local process without a URL: start it with `kubefugu up`.",
        field=f"workers.{spec.name}.process",
    )


class KeySource:
    """API keys by worker: a mounted directory first, then the manifest's environment variable or file.

    Files are re-read when they change (a rotated Secret is a new inode). Keys are never part of a repr or an error.
    """

    def __init__(self, *, keys_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._keys_dir = keys_dir
        self._environ = os.environ if environ is None else environ
        self._files: dict[Path, tuple[tuple[int, int, int], str]] = {}

    def __repr__(self) -> str:
        return f"KeySource(keys_dir={self._keys_dir!r})"

    def key(self, spec: WorkerSpec) -> str | None:
        """The key now, None where the worker declares none. Raises WorkerMisconfiguredError where a declared one is missing."""
        if self._keys_dir is not None and (mounted := self._read(self._keys_dir / spec.name)):
            return mounted
        if spec.auth is None:
            return None
        if spec.auth.env is not None and (value := self._environ.get(spec.auth.env, "").strip()):
            return value
        if spec.auth.file is not None and (value := self._read(Path(spec.auth.file).expanduser())):
            return value
        raise WorkerMisconfiguredError(f"Worker {spec.name} has no API key: {self._where(spec)}.")

    @staticmethod
    def _where(spec: WorkerSpec) -> str:
        auth = spec.auth
        if auth is not None and auth.env is not None:
            return f"the environment variable {auth.env} is not set"
        if auth is not None and auth.file is not None:
            return f"the file {auth.file} is missing or empty"
        return "its secret is not mounted"

    def _read(self, path: Path) -> str:
        try:
            stat = path.stat()
        except OSError:
            return ""
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._files.get(path)
        if known is None or known[0] != stamp:
            try:
                known = (stamp, path.read_text(encoding="utf-8").strip())
            except (OSError, UnicodeDecodeError):
                return ""
            self._files[path] = known
        return known[1]
