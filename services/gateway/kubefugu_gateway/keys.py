"""Static API keys: a YAML file with the SHA-256 of each key and the tenant that it stands for.

    - sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
      tenant: research
      name: notebook of the lab

Keys are long random strings, so one unsalted hash is enough; the file itself may be read without giving a key away.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kubefugu_core.errors import DataError

_log = structlog.get_logger()


class ApiKey(BaseModel):
    """One key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tenant: Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$", max_length=63)]
    name: Annotated[str, Field(max_length=256)] = ""


_KEYS: TypeAdapter[list[ApiKey]] = TypeAdapter(list[ApiKey])


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one state of a file from another; a Secret volume swaps a link, which changes the inode."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> _Version:
        stat = os.stat(path)
        return cls(stat.st_ino, stat.st_size, stat.st_mtime_ns)


class KeyFile:
    """The keys of a file, re-read when it changes. A version that can't be read leaves the last good one in force."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises DataError naming the file and the entry that is wrong."""
        self._path = path
        try:
            self._version: _Version | None = _Version.of(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        self._keys = read_keys(path)

    def tenant_of(self, key: str) -> str | None:
        """The tenant of a key, or None. Compares with every entry in constant time."""
        self._refresh()
        presented = hashlib.sha256(key.encode()).hexdigest()
        tenant = None
        for entry in self._keys:
            if hmac.compare_digest(entry.sha256, presented):
                tenant = entry.tenant
        return tenant

    def _refresh(self) -> None:
        try:
            version = _Version.of(self._path)
            if version == self._version:
                return
            self._keys = read_keys(self._path)
        except (OSError, DataError) as error:
            if self._version is not None:
                _log.error("api_keys_unreadable", path=str(self._path), error=str(error))
            # None is said once and tried again at the next request.
            self._version = None
            return
        self._version = version
        _log.info("api_keys_read", path=str(self._path), keys=len(self._keys))


def read_keys(path: Path) -> list[ApiKey]:
    """Read a keys file. Raises DataError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: {error}") from error
    try:
        return _KEYS.validate_python(document if document is not None else [])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {where or 'document'}: {first['msg']}", field=where or None) from error
