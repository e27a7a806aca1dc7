"""Runs: a directory of append-only facts (config, snapshot, metrics, artifact) that survives being killed at any point."""
