"""What identifies a backbone; no torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_CONTENT_HASH = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """A decoder's identity and sizes. An artifact is made for one `id` at one `revision`."""

    id: str
    """Hub id, directory name or file name."""
    revision: str
    """Hub commit, or sha256 of the weights' file (64 hex digits)."""
    hidden_size: int
    num_layers: int
    vocab_size: int
    model_type: str = ""
    """Hugging Face model type, e.g. qwen3."""
    tied: bool = True
    """True: the embedding is also the lm_head."""
    shapes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Shape (rows, columns) of each adaptable matrix by block name; equal in every layer."""
    device: str = "cpu"
    dtype: str = "float32"

    @property
    def content_addressed(self) -> bool:
        """True if the revision is a hash of the weights, so that the name says nothing more."""
        return bool(_CONTENT_HASH.match(self.revision))

    def differs_from(self, *, backbone_id: str, revision: str) -> str:
        """Why an artifact made for (id, revision) doesn't belong to this backbone; empty if it does."""
        if revision != self.revision:
            return f"made for backbone {backbone_id} at revision {revision}, this router has {self.id} at {self.revision}"
        if backbone_id != self.id and not self.content_addressed:
            return f"made for backbone {backbone_id}, this router has {self.id}"
        return ""
