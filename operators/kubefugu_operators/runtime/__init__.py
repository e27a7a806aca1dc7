"""The part with side effects: work queue, carrying out plans, watching, background observations, health and metrics."""
