"""One HTTP download that resumes: bytes go to a `.part` file, a later try asks for the rest (RFC 9110, section 14).

Standard library only: the core has no HTTP client, and one GET needs none. Proxies come from the environment.
"""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubefugu_core.errors import ArtifactRefusedError, PermissionDeniedError, UnavailableError
from kubefugu_core.models.registries import Location

CHUNK_BYTES = 1 << 20
READ_TIMEOUT_S = 60.0
ATTEMPTS_WITHOUT_PROGRESS = 4
BACKOFF_S = 0.5

_BROKEN = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


def download(location: Location, target: Path, *, progress: Callable[[int], None]) -> None:
    """Bring `location` to `target`, verified; `progress` gets the bytes done so far.

    A broken connection is continued where it broke as long as tries make progress. Raises PermissionDeniedError (401, 403),
    UnavailableError, ArtifactRefusedError (digest).
    """
    part = target.with_name(target.name + ".part")
    failures = mismatches = 0
    while True:
        before = _size(part)
        try:
            resumed = _transfer(location, part, progress)
        except _BROKEN as error:
            _raise_final(error, location)
            failures = 0 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS_WITHOUT_PROGRESS:
                reason = getattr(error, "reason", None) or error
                raise UnavailableError(f"The download of {_name(location)} broke off and does not go on: {reason}") from error
            time.sleep(BACKOFF_S * 2**failures)
            continue
        if not location.algorithm or file_digest(part, location.algorithm) == location.digest:
            part.replace(target)
            return
        part.unlink()
        mismatches += 1
        if not resumed or mismatches > 1:
            raise ArtifactRefusedError(f"{_name(location)} is not the file that the registry promises ({location.algorithm}).")
        # The rest of some other file was continued: once more from the start.


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _transfer(location: Location, part: Path, progress: Callable[[int], None]) -> bool:
    """One request. True: it continued an earlier one. The server's end before the announced length raises."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(location.url, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310 - the URL is the catalog's
    try:
        response = urllib.request.urlopen(request, timeout=READ_TIMEOUT_S, context=_tls(location))  # noqa: S310 - the URL is the catalog's
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left, or the rest is of another file: the digest tells
            progress(have)
            return True
        raise
    with response:
        continued = have > 0 and getattr(response, "status", None) == 206
        done = have if continued else 0
        expected = _expected(response, done)
        with part.open("ab" if continued else "wb") as out:
            while chunk := response.read(CHUNK_BYTES):
                out.write(chunk)
                done += len(chunk)
                progress(done)
    if expected is not None and done < expected:
        raise http.client.IncompleteRead(b"", expected - done)
    return continued


def _expected(response: Any, offset: int) -> int | None:
    length = response.headers.get("Content-Length")
    return offset + int(length) if length and length.isdigit() else None


def _tls(location: Location) -> ssl.SSLContext | None:
    if not location.url.startswith("https:"):
        return None
    context = ssl.create_default_context()
    if location.ca_file and Path(location.ca_file).is_file():
        context.load_verify_locations(cafile=location.ca_file)
    return context


def _name(location: Location) -> str:
    return location.url.rpartition("/")[2].partition("#")[0]


def _raise_final(error: Exception, location: Location) -> None:
    """Raise for answers that another try does not change."""
    if not isinstance(error, urllib.error.HTTPError) or error.code == 429 or error.code >= 500:
        return
    if error.code in (401, 403, 407):
        raise PermissionDeniedError(f"The registry does not let us read {_name(location)} ({error.code}).") from error
    raise UnavailableError(f"The registry answered {error.code} for {_name(location)}.") from error
