"""Candidates measured by other processes: Celery tasks over Redis, keyed by (run, generation, candidate)."""
