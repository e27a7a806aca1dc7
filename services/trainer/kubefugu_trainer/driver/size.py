"""How large an artifact will be, told before anything is trained: a version without a URL travels in a ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubefugu_core.errors import DataError
from kubefugu_core.policy_sets.published import MAX_ARTIFACT_BYTES

_BYTES_PER_NUMBER = 2
"""bfloat16."""
_PER_TENSOR = 200
_DOCUMENT = 32_000
"""Configuration, figures, the list of workers."""


def artifact_bytes(tensors: Mapping[str, Any]) -> int:
    """Size of the file that would hold the tensors, about."""
    numbers = sum(int(tensor.numel()) for tensor in tensors.values())
    return _BYTES_PER_NUMBER * numbers + _PER_TENSOR * len(tensors) + _DOCUMENT


def check_size(tensors: Mapping[str, Any], *, url: str) -> None:
    """Raises DataError where the artifact could not leave the driver's pod."""
    size = artifact_bytes(tensors)
    if size > MAX_ARTIFACT_BYTES and not url:
        raise DataError(
            f"The artifact would have about {size / 1e6:.1f} MB; {MAX_ARTIFACT_BYTES / 1e6:g} MB are kept without storage.url. "
            "Choose the adapter LoRA with a smaller rank or fewer layers, or give storage.url.",
            field="storage",
        )
