"""Workflows: plans as data, the reader of planner outputs, prompts, the graph's execution (Conductor, arXiv 2512.04388).

Serving and training share this package: what a planner is trained to write is what the executor reads.
"""
