"""Factors of the adapted matrices: right singular vectors V and singular values s, computed once per backbone.

Computing them is for making a bundle. Offsets are trained against one basis, and near-degenerate bases don't reproduce
between machines, so an artifact names the bundle (URL and sha256) that its offsets belong to. A matrix's factors are cached
under the hash of its weights. Tall matrices are decomposed through a float64 Gram matrix (relative error 9e-6 at half the
time; in float32 it would be 1e-3), the others by a float64 SVD.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_core.settings import cache_home
from kubefugu_routing.backbone import Backbone
from kubefugu_routing.backbone.digests import write_aside
from kubefugu_routing.canonical import canonical
from kubefugu_routing.svf.layout import EMBEDDING, LAYER_BLOCKS

FORMAT = "kubefugu-factors/1"
_CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class MatrixFactors:
    """Factors of one matrix W (rows x columns), rank r = min(rows, columns)."""

    v: torch.Tensor
    """Right singular vectors, float32, shape (columns, r), descending singular values."""
    s: torch.Tensor
    """Singular values, float64, shape (r,)."""
    weights_sha256: str
    """Hash of W's float32 bytes, row-major."""


@dataclass(frozen=True)
class FactorBundle:
    """Factors by block name, for one layer and, where needed, the embedding."""

    layer: int
    matrices: Mapping[str, MatrixFactors]
    sha256: str = ""
    """Hash of the bundle's file; empty for one that was never written."""

    def check(self, backbone: Backbone, names: Iterable[str], *, layer: int) -> None:
        """Raise ArtifactRefusedError unless the bundle holds these matrices and they were made of this backbone's weights."""
        if layer != self.layer:
            raise ArtifactRefusedError(
                f"The factor bundle is for layer {self.layer}, the offsets for {layer}.", field="factors"
            )
        for name in names:
            if name not in self.matrices:
                raise ArtifactRefusedError(f"The factor bundle lacks {name}.", field="factors")
            if self.matrices[name].weights_sha256 != weights_sha256(backbone.matrix(name, layer)):
                raise ArtifactRefusedError(f"The factor bundle's {name} was made of other weights.", field="factors")


def weights_sha256(matrix: torch.Tensor) -> str:
    """Hash of a matrix's float32 bytes, row-major."""
    array = matrix.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(array.data).hexdigest()


def decompose(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """V (columns, r) and s (r,) of a float32 matrix, both float64."""
    rows, columns = matrix.shape
    if rows >= 4 * columns:
        gram = torch.zeros(columns, columns, dtype=torch.float64)
        for start in range(0, rows, _CHUNK_ROWS):
            part = matrix[start : start + _CHUNK_ROWS].to("cpu", torch.float64)
            gram += part.T @ part
        values, vectors = torch.linalg.eigh(gram)
        return vectors.flip(1).contiguous(), values.flip(0).clamp_min(0).sqrt()
    _, s, vh = torch.linalg.svd(matrix.to("cpu", torch.float64), full_matrices=False)
    return vh.T.contiguous(), s


def matrix_factors(backbone: Backbone, name: str, layer: int) -> MatrixFactors:
    """Factors of one matrix from the disk cache, computed and stored where absent."""
    matrix = backbone.matrix(name, layer)
    digest = weights_sha256(matrix)
    path = cache_home() / "factors" / f"{digest}.safetensors"
    if path.is_file():
        try:
            return _read(path, (name,)).matrices[name]
        except ArtifactRefusedError:
            path.unlink(missing_ok=True)
    v, s = decompose(matrix)
    factors = MatrixFactors(v=v.to(torch.float32), s=s, weights_sha256=digest)
    write_aside(path, _dump(layer, {name: factors}))
    return factors


def make_bundle(backbone: Backbone, *, layer: int, embedding: bool = False) -> FactorBundle:
    """Factors of the layer's seven matrices and, on request, of the embedding (seconds to minutes for a large vocabulary)."""
    names = (EMBEDDING, *LAYER_BLOCKS) if embedding else LAYER_BLOCKS
    return FactorBundle(layer=layer, matrices={name: matrix_factors(backbone, name, layer) for name in names})


def save_bundle(path: Path, bundle: FactorBundle) -> str:
    """Write a bundle and return the file's sha256, which artifacts name."""
    raw = _dump(bundle.layer, bundle.matrices)
    write_aside(path, raw)
    path.chmod(0o644)
    return hashlib.sha256(raw).hexdigest()


def load_bundle(path: Path, *, sha256: str | None = None) -> FactorBundle:
    """Read a bundle. Raises ArtifactRefusedError if it is not the named file or not a bundle."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactRefusedError(f"Factor bundle {path.name} cannot be read: {error.strerror}.", field="factors") from error
    if sha256 is not None and digest != sha256:
        raise ArtifactRefusedError(f"Factor bundle {path.name} is not the named file {sha256}.", field="factors.sha256")
    bundle = _read(path, None)
    return FactorBundle(layer=bundle.layer, matrices=bundle.matrices, sha256=digest)


def _dump(layer: int, matrices: Mapping[str, MatrixFactors]) -> bytes:
    tensors = {}
    for name, factors in matrices.items():
        tensors[f"{name}.v"] = factors.v.contiguous()
        tensors[f"{name}.s"] = factors.s.contiguous()
    document = {"layer": layer, "weights": {name: factors.weights_sha256 for name, factors in sorted(matrices.items())}}
    return canonical(save(tensors, metadata={"format": FORMAT, "document": json.dumps(document, sort_keys=True)}))


def _read(path: Path, names: tuple[str, ...] | None) -> FactorBundle:
    """`names`: a cache file holds one matrix, which may have been stored under another block's name (equal weights)."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ArtifactRefusedError(f"{path.name} is not a factor bundle ({FORMAT}).", field="factors")
            document = json.loads(metadata["document"])
            stored = dict(document["weights"])
            matrices = {}
            for position, (name, digest) in enumerate(stored.items()):
                v, s = file.get_tensor(f"{name}.v"), file.get_tensor(f"{name}.s")
                _check_factors(path, name, v, s)
                matrices[names[position] if names else name] = MatrixFactors(v=v, s=s, weights_sha256=str(digest))
            return FactorBundle(layer=int(document["layer"]), matrices=matrices)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactRefusedError(f"{path.name} is not a complete factor bundle: {error}.", field="factors") from error


def _check_factors(path: Path, name: str, v: torch.Tensor, s: torch.Tensor) -> None:
    if v.ndim != 2 or s.shape != (v.shape[1],) or not torch.isfinite(v).all() or not torch.isfinite(s).all():
        raise ArtifactRefusedError(f"{path.name}: the factors of {name} are malformed.", field="factors")
