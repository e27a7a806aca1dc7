"""Finding the factor bundle that an artifact names: cache, the artifact's folder, then its URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.settings import cache_home
from kubefugu_routing.fetch import fetch
from kubefugu_routing.policy.artifact import FactorRef
from kubefugu_routing.svf.factors import FactorBundle, load_bundle

MAX_BYTES = 4 << 30
"""Largest bundle that is fetched; one with the embedding takes about 60 MB at Qwen3-0.6B's shape."""


def bundle_path(sha256: str) -> Path:
    """Where a bundle lies in the cache."""
    return cache_home() / "bundles" / f"{sha256}.safetensors"


def find_bundle(ref: FactorRef, *, beside: Path | None = None, allowed_prefixes: Sequence[str] = ()) -> FactorBundle:
    """Load the named bundle. `beside`: the artifact's file, in whose folder `<sha256>.safetensors` is looked for.

    Raises ArtifactRefusedError where it is not to be had or is another file, UnavailableError where its URL cannot be read.
    """
    for path in (bundle_path(ref.sha256), *([beside.parent / f"{ref.sha256}.safetensors"] if beside else [])):
        if path.is_file():
            return load_bundle(path, sha256=ref.sha256)
    if not ref.uri:
        raise ArtifactRefusedError(f"Factor bundle {ref.sha256} is not on this machine and has no URL.", field="factors")
    path = fetch(ref.uri, ref.sha256, bundle_path(ref.sha256), allowed_prefixes=allowed_prefixes, max_bytes=MAX_BYTES)
    return load_bundle(path, sha256=ref.sha256)
