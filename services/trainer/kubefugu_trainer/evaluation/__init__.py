"""Honest comparison of a router with simple baselines on held-out questions."""
