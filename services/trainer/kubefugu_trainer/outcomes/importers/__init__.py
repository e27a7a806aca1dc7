"""Importers of public outcome corpora: each reads one published format and yields answers; `assemble` makes the table."""

from kubefugu_trainer.outcomes.importers.command import FORMATS, import_table

__all__ = ["FORMATS", "import_table"]
