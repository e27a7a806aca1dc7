"""`outcomes import`: a public corpus as an outcome table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kubefugu_core.errors import DataError
from kubefugu_trainer.outcomes.importers import mmlupro, routellm, routerbench, zeroeval
from kubefugu_trainer.outcomes.importers.answers import Answer, assemble
from kubefugu_trainer.outcomes.table import OutcomeTable
from kubefugu_trainer.outcomes.writer import write_table

Importer = Callable[[Sequence[Path]], Iterator[Answer]]
FORMATS: Mapping[str, Importer] = {
    "routerbench": routerbench.read,
    "mmlupro": mmlupro.read,
    "zeroeval": zeroeval.read,
    "routellm": routellm.read,
}


def import_table(
    fmt: str, sources: Sequence[Path], out: Path, *, workers: Sequence[str] | None = None, coverage: float = 0.95
) -> OutcomeTable:
    """Read a corpus and write it as a table. Raises DataError that names the format, the file or the record at fault."""
    if fmt not in FORMATS:
        raise DataError(f"--format takes {', '.join(FORMATS)}, not {fmt!r}.", field="format")
    table = assemble(
        FORMATS[fmt](sources),
        source=", ".join(path.name for path in sources),
        provenance={"imported_from": fmt, "files": [path.name for path in sources]},
        workers=workers,
        coverage=coverage,
    )
    write_table(out, table)
    return table
