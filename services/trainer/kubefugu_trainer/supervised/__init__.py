"""Supervised warm start: a head fitted to measured outcomes (TRINITY, arXiv 2512.04695; KL to softmax(r / tau))."""
