"""WorkerPool: workers that answer as one. The spec is kubefugu_core.pool, this package adds status, CRD and reconciliation."""
