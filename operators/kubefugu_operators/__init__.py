"""The Kubernetes operator: WorkerPool, TrainingRun and RoutingPolicy become Kubernetes objects, status and rollouts."""
