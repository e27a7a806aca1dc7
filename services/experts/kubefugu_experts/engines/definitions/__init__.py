"""English words: definitions, synonyms, antonyms, parts of speech, broader and narrower terms, from WordNet 3."""

from kubefugu_experts.engines.definitions.engine import make_engine

__all__ = ["make_engine"]
