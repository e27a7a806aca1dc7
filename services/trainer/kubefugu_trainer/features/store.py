"""The feature cache: append-only files of float32 rows and of keys, one pair per backbone revision, format and length limit.

Rows are written and flushed before their keys, so that a key on disk always has its row; what a kill left half written is cut
off on opening. One process writes at a time (a file lock), others wait.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from kubefugu_core.errors import DataError
from kubefugu_trainer.runs.files import write_json

_KEY_BYTES = 32
FloatArray = NDArray[np.float32]


def text_key(text: str) -> bytes:
    """Key of a rendered text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class FeatureStore:
    """Rows of width d by text. Use as a context manager: it holds the lock."""

    def __init__(
        self, root: Path, *, backbone_revision: str, dtype: str, fmt: str, max_tokens: int, width: int, variant: str = ""
    ) -> None:
        """`root`: folder of all caches. The rest names this cache; `variant` is the digest of offsets, empty for none."""
        self.identity = {
            "backbone_revision": backbone_revision, "dtype": dtype, "format": fmt, "max_tokens": max_tokens, "width": width,
            "variant": variant,
        }  # fmt: skip
        name = hashlib.sha256(repr(sorted(self.identity.items())).encode()).hexdigest()[:24]
        self.folder = root / name
        self._width = width
        self._index: dict[bytes, int] = {}
        self._lock = FileLock(self.folder.with_name(f"{name}.lock"))

    def __enter__(self) -> FeatureStore:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            if not (self.folder / "identity.json").is_file():
                write_json(self.folder / "identity.json", self.identity)
            self._rows = os.open(self.folder / "rows.f32", os.O_RDWR | os.O_CREAT, 0o644)
            self._keys = os.open(self.folder / "keys.bin", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataError(f"{self.folder}: the feature cache cannot be opened: {error.strerror or error}") from error
        self._cut()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._rows)
        os.close(self._keys)
        self._lock.release()

    def _cut(self) -> None:
        """Drop what was half written, and read the keys."""
        row_bytes = 4 * self._width
        count = min(os.fstat(self._rows).st_size // row_bytes, os.fstat(self._keys).st_size // _KEY_BYTES)
        os.ftruncate(self._rows, count * row_bytes)
        os.ftruncate(self._keys, count * _KEY_BYTES)
        raw = os.pread(self._keys, count * _KEY_BYTES, 0)
        self._index = {raw[i * _KEY_BYTES : (i + 1) * _KEY_BYTES]: i for i in range(count)}

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: bytes) -> bool:
        return key in self._index

    def add(self, keys: Sequence[bytes], rows: FloatArray) -> None:
        """Append rows (n, d); on disk when this returns. Raises DataError when the disk refuses; earlier rows stay."""
        if rows.shape != (len(keys), self._width) or rows.dtype != np.float32:
            raise ValueError(f"rows must be float32 of shape ({len(keys)}, {self._width}), got {rows.dtype} {rows.shape}")
        count = len(self._index)
        try:
            _write_all(self._rows, np.ascontiguousarray(rows, dtype="<f4").tobytes(), count * 4 * self._width)
            _write_all(self._keys, b"".join(keys), count * _KEY_BYTES)
        except OSError as error:
            raise DataError(f"{self.folder}: the feature cache cannot be written: {error.strerror or error}") from error
        self._index.update({key: count + i for i, key in enumerate(keys)})

    def get(self, keys: Sequence[bytes]) -> FloatArray:
        """Rows (n, d) of known keys. Raises KeyError for an unknown one."""
        numbers = np.array([self._index[key] for key in keys], dtype=np.int64)
        if not len(numbers):
            return np.zeros((0, self._width), dtype=np.float32)
        table = np.memmap(self.folder / "rows.f32", dtype="<f4", mode="r", shape=(len(self._index), self._width))
        return np.array(table[numbers], dtype=np.float32)


def _write_all(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
    os.fdatasync(handle)
