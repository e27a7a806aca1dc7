"""The driver of a training run in a cluster: trains what is frozen, serves progress, hands out the artifact."""
