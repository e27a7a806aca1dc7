"""Import of the three published forms of a TRINITY policy.

1. the full vector (`.npy`, float64): singular-value offsets, then the head, row-major;
2. the head alone: a `.npy` of (L + roles) * d numbers or that shape, or safetensors with one such tensor;
3. a bundle of materialised matrices (safetensors): the adapted weights themselves, as kernels (columns, rows) where their names
   end in `.kernel` - the square k and v too, whose shape would not tell - and as (rows, columns) where they end in `.weight`.
   Such a bundle holds embedding and lm_head apart, so it is of the tie mode `fixture`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.formats import RouterFormat
from kubefugu_routing.policy.artifact import FactorRef, PolicyArtifact, WorkerRow
from kubefugu_routing.selection import ROLES
from kubefugu_routing.svf import SvfOffsets, TieMode, default_layer, layout_of

if TYPE_CHECKING:
    from kubefugu_routing.backbone import Backbone
    from kubefugu_routing.svf.factors import FactorBundle

HEAD_NAMES = ("trinity.router_head.linear.weight", "router_head.weight", "head")
MAX_RESIDUAL = 1e-2
"""Largest relative Frobenius distance between a published matrix and the nearest that offsets express (bfloat16 files)."""

_KERNELS = {
    "embedder.token_embedding.kernel": "embed_tokens",
    "self_attention.query.kernel": "q_proj",
    "self_attention.key.kernel": "k_proj",
    "self_attention.value.kernel": "v_proj",
    "self_attention.output.kernel": "o_proj",
    "ffn.gate.kernel": "gate_proj",
    "ffn.intermediate.kernel": "up_proj",
    "ffn.output.kernel": "down_proj",
}
_LAYER = re.compile(r"(?:blocks|layers)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Rows:
    """What a published file does not say: whose row is whose, and how the head was trained to read."""

    workers: tuple[WorkerRow, ...]
    roles: bool = True
    input_format: RouterFormat = RouterFormat.RAW
    tie_mode: TieMode = TieMode.AUTHOR
    layer: int | None = None
    """None: the last but one."""

    @property
    def count(self) -> int:
        """Rows of the head."""
        return len(self.workers) + (len(ROLES) if self.roles else 0)


def import_vector(path: Path, info: BackboneInfo, rows: Rows, *, factors: FactorRef | None = None) -> PolicyArtifact:
    """Forms 1 and 2 from a `.npy` file. Raises ArtifactRefusedError that names the expected and the given length."""
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactRefusedError(f"{path.name} is not a .npy array: {error}.") from error
    layout = layout_of(info, rows.layer)
    head_size = rows.count * info.hidden_size
    if vector.ndim == 2 and vector.shape == (rows.count, info.hidden_size):
        vector = vector.reshape(-1)
    if vector.ndim != 1 or vector.size not in (head_size, layout.total + head_size):
        raise ArtifactRefusedError(
            f"{path.name} has {vector.size} numbers (shape {vector.shape}); expected {layout.total + head_size} "
            f"({layout.total} offsets and {rows.count} x {info.hidden_size} of the head) or {head_size} of the head alone."
        )
    head = vector[-head_size:].reshape(rows.count, info.hidden_size)
    offsets = None
    if vector.size > head_size:
        offsets = SvfOffsets.from_vector(vector[: layout.total], layout, tie_mode=rows.tie_mode)
    return _artifact(info, rows, head, offsets, factors, source=path.name)


def import_head(path: Path, info: BackboneInfo, rows: Rows) -> PolicyArtifact:
    """Form 2 from safetensors. Raises ArtifactRefusedError where there is no single matrix of the expected shape."""
    return _artifact(info, rows, _find_head(path.name, _read_all(path), info, rows), None, None, source=path.name)


def import_materialised(
    path: Path,
    backbone: Backbone,
    bundle: FactorBundle,
    rows: Rows,
    *,
    factors: FactorRef,
    head_path: Path | None = None,
) -> PolicyArtifact:
    """Form 3: recover the offsets that turn this backbone's weights into the published ones.

    The gains are g_i = (W v_i . W' v_i) / s_i^2, and as their scale keeps sum s g = sum s, the offsets are g - 1. Raises
    ArtifactRefusedError where a matrix is further from that form than MAX_RESIDUAL, e.g. one that was not transposed.
    """
    info = backbone.info
    layer = default_layer(info) if rows.layer is None else rows.layer
    tensors = _read_all(path)
    blocks = {}
    for name, matrix in _oriented(tensors, layer).items():
        blocks[name] = _recover(name, matrix, backbone, bundle, layer)
    if not blocks:
        raise ArtifactRefusedError(f"{path.name} holds no matrix of layer {layer} under a known name.")
    head = _find_head(path.name if head_path is None else head_path.name, _read_all(head_path or path), info, rows)
    offsets = SvfOffsets(layer=layer, tie_mode=TieMode.FIXTURE, blocks=blocks)
    fixture = Rows(rows.workers, rows.roles, rows.input_format, TieMode.FIXTURE, layer)
    return _artifact(info, fixture, head, offsets, factors, source=path.name)


def _artifact(
    info: BackboneInfo,
    rows: Rows,
    head: NDArray[Any],
    offsets: SvfOffsets | None,
    factors: FactorRef | None,
    *,
    source: str,
) -> PolicyArtifact:
    return PolicyArtifact(
        backbone_id=info.id,
        backbone_revision=info.revision,
        layer=default_layer(info) if rows.layer is None else rows.layer,
        head=np.ascontiguousarray(head, dtype=np.float32),
        workers=rows.workers,
        roles=rows.roles,
        input_format=rows.input_format,
        tie_mode=rows.tie_mode,
        offsets=offsets,
        factors=factors,
        training={"imported_from": source},
    )


def _read_all(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).float().numpy() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactRefusedError(f"{path.name} is not a complete safetensors file: {error}.") from error


def _find_head(name: str, tensors: Mapping[str, NDArray[Any]], info: BackboneInfo, rows: Rows) -> NDArray[Any]:
    expected = (rows.count, info.hidden_size)
    named: Sequence[str] = [key for key in HEAD_NAMES if key in tensors]
    fitting = named or [key for key, tensor in tensors.items() if tensor.size == rows.count * info.hidden_size]
    if len(fitting) != 1 or tensors[fitting[0]].size != rows.count * info.hidden_size:
        shapes = {key: tensors[key].shape for key in fitting} or {key: t.shape for key, t in list(tensors.items())[:4]}
        raise ArtifactRefusedError(f"{name} has no single head of shape {expected}; found {shapes}.", field="head")
    tensor = tensors[fitting[0]]
    if tensor.ndim == 2 and tensor.shape == expected[::-1] and fitting[0].endswith(".kernel"):
        tensor = tensor.T
    if tensor.ndim == 2 and tensor.shape != expected:
        raise ArtifactRefusedError(f"{name}: the head has shape {tensor.shape}, expected {expected}.", field="head")
    return tensor.reshape(expected)


def _oriented(tensors: Mapping[str, NDArray[Any]], layer: int) -> dict[str, NDArray[Any]]:
    """Matrices of the layer and the embedding by block name, as (rows, columns)."""
    out = {}
    for key, tensor in tensors.items():
        found = _LAYER.search(key)
        if tensor.ndim != 2 or (found and int(found.group(1)) != layer):
            continue
        if key.endswith(".kernel"):
            block = next((name for suffix, name in _KERNELS.items() if key.endswith(suffix)), None)
            if block:
                out[block] = tensor if block == "embed_tokens" else tensor.T
        elif key.endswith((".weight",)):
            block = key.split(".")[-2]
            if block in _KERNELS.values():
                out[block] = tensor
    return out


def _recover(name: str, matrix: NDArray[Any], backbone: Backbone, bundle: FactorBundle, layer: int) -> NDArray[np.float32]:
    import torch

    from kubefugu_routing.svf.apply import adapted

    base = backbone.matrix(name, layer).cpu()
    if tuple(matrix.shape) != tuple(base.shape):
        raise ArtifactRefusedError(f"{name} has shape {matrix.shape}, the backbone's is {tuple(base.shape)}.", field=name)
    bundle.check(backbone, [name], layer=layer)
    factors = bundle.matrices[name]
    published = torch.from_numpy(np.ascontiguousarray(matrix))
    dots = ((base @ factors.v).double() * (published @ factors.v).double()).sum(0)
    usable = factors.s > 1e-6 * factors.s[0]
    gain = torch.where(usable, dots / factors.s.square().clamp_min(1e-300), torch.ones_like(dots))
    residual = float(torch.linalg.norm(adapted(base, factors.v, gain) - published) / torch.linalg.norm(published))
    if not residual <= MAX_RESIDUAL:
        raise ArtifactRefusedError(
            f"{name} is no singular-value adaptation of this backbone (relative distance {residual:.3g}).", field=name
        )
    result: NDArray[np.float32] = (gain - 1).to(torch.float32).numpy()
    return result
