"""Whole language models (with their LM head) for planners: loading, adapters, generation, the artifact of a trained Conductor.

The trainer samples with the same `generate` with which the Conductor's local planner serves.
"""
