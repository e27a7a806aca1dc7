"""Work done by other processes: Celery tasks over Redis, keyed by (run, round, task)."""
