"""Fetching artifacts and factor bundles by URL and sha256, within allowed prefixes, complete or not at all.

The reading is fsspec's (file, http, s3 where s3fs is installed); the hash decides whether the content is the named one.
"""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from kubefugu_core.errors import ArtifactRefusedError, UnavailableError

_CHUNK_BYTES = 1 << 20


def normal_uri(uri: str) -> str:
    """The URL with `.` and `..` resolved (symbolic links too for file URLs), so that a prefix means what it says.

    Raises ArtifactRefusedError for a URL without a scheme, with credentials, or a file URL of another host.
    """
    parts = urlsplit(uri)
    if not parts.scheme or "@" in parts.netloc:
        raise ArtifactRefusedError(f"{uri!r} is not a URL that artifacts may come from.", field="uri")
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ArtifactRefusedError(f"{uri!r} names another host's file.", field="uri")
        return f"file://{Path(unquote(parts.path)).resolve()}"
    path = posixpath.normpath(unquote(parts.path)) if parts.path else "/"
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, parts.query, ""))


def check_prefix(uri: str, allowed_prefixes: Sequence[str]) -> str:
    """The normalised URL. Raises ArtifactRefusedError unless it lies below an allowed prefix; no prefixes allow nothing."""
    normal = normal_uri(uri)
    for prefix in allowed_prefixes:
        base = normal_uri(prefix).rstrip("/")
        if normal == base or normal.startswith(f"{base}/"):
            return normal
    raise ArtifactRefusedError(f"{uri} is not below an allowed URL prefix.", field="uri")


def fetch(uri: str, sha256: str, target: Path, *, allowed_prefixes: Sequence[str], max_bytes: int) -> Path:
    """Fetch a URL to `target` (whose content is trusted once it exists) and check its hash.

    Raises ArtifactRefusedError for a forbidden URL, another hash or too large a file, UnavailableError if it cannot be read.
    """
    normal = check_prefix(uri, allowed_prefixes)
    if target.is_file():
        return target
    import fsspec

    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fetch-", delete=False) as aside:
        try:
            with fsspec.open(normal, "rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > max_bytes:
                        raise ArtifactRefusedError(f"{uri} is larger than {max_bytes} bytes.", field="uri")
                    digest.update(chunk)
                    aside.write(chunk)
            if digest.hexdigest() != sha256:
                raise ArtifactRefusedError(f"{uri} has sha256 {digest.hexdigest()}, declared is {sha256}.", field="sha256")
            Path(aside.name).chmod(0o644)
            Path(aside.name).replace(target)
        except (OSError, ValueError, ImportError) as error:
            raise UnavailableError(f"{uri} cannot be read: {type(error).__name__}.") from error
        finally:
            Path(aside.name).unlink(missing_ok=True)
    return target
