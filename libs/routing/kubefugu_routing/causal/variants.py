"""Several trained Conductors over one base model: each has tensors of its own for the weights that it changed, and no others.

A LoRA adapter is merged once, when it is loaded (W' = W + alpha / rank * B A), so that writing with it costs what writing with
the base costs. A change of Conductor is a change of pointers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kubefugu_core.errors import ArtifactRefusedError
from kubefugu_routing.causal.artifact import ConductorArtifact
from kubefugu_routing.causal.load import CausalModel

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]
"""What a Conductor changes, by the parameter's name in the base model; {} is the base model itself."""


class Variants:
    """One base model. `use` must not be called while the model is at work; `weights_of` may."""

    def __init__(self, base: CausalModel) -> None:
        self.base = base
        self._own: dict[str, torch.Tensor] = {name: parameter.data for name, parameter in base.model.named_parameters()}
        self._in_place: Weights = {}

    def weights_of(self, artifact: ConductorArtifact) -> Weights:
        """The weights that an artifact means. Raises ArtifactRefusedError where they don't belong to this base model."""
        if artifact.backbone_revision != self.base.revision:
            raise ArtifactRefusedError(
                f"The Conductor was trained on {artifact.backbone_id} at revision {artifact.backbone_revision}; "
                f"this is {self.base.id} at {self.base.revision}.",
                field="backbone",
            )
        if artifact.kind == "full":
            return {name: self._fitting(tensor, self._target(name, tensor.shape)) for name, tensor in artifact.tensors.items()}
        downs = {name.removesuffix(".lora_A"): down for name, down in artifact.tensors.items() if name.endswith(".lora_A")}
        return {f"{module}.weight": self._merged(module, down, artifact) for module, down in downs.items()}

    def use(self, weights: Weights) -> None:
        """Put weights in place of the base model's; {} puts its own back."""
        if weights is self._in_place:
            return
        parameters = dict(self.base.model.named_parameters())
        for name in self._in_place.keys() - weights.keys():
            parameters[name].data = self._own[name]
        for name, tensor in weights.items():
            parameters[name].data = tensor
        self._in_place = weights

    def _merged(self, module: str, down: torch.Tensor, artifact: ConductorArtifact) -> torch.Tensor:
        up = artifact.tensors.get(f"{module}.lora_B")
        if up is None:
            raise ArtifactRefusedError(f"{module} has a lora_A but no lora_B.", field="artifact")
        weight = self._target(f"{module}.weight", (up.shape[0], down.shape[1]))
        delta = (artifact.alpha / down.shape[0]) * (up.float() @ down.float())
        return (weight.float() + delta.to(weight.device)).to(weight.dtype)

    def _target(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        own = self._own.get(name)
        if own is None or tuple(own.shape) != tuple(shape):
            raise ArtifactRefusedError(f"The base model has no weight {name} of shape {tuple(shape)}.", field="artifact")
        return own

    @staticmethod
    def _fitting(tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return tensor.to(device=own.device, dtype=own.dtype)
