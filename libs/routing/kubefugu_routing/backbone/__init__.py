"""Loading a backbone: hub id, local directory or GGUF file; the LM head is never loaded, let alone computed."""

from kubefugu_routing.backbone.info import BackboneInfo
from kubefugu_routing.backbone.load import Backbone, load_backbone, load_tokenizer

__all__ = ["Backbone", "BackboneInfo", "load_backbone", "load_tokenizer"]
