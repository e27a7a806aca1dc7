"""Generates CRDs, their reference pages and samples from the typed models: `python -m kubefugu_operators.crds [--root DIR]`."""
