"""Workers, the coordination loop, workflows and decision records: the domain that the executor hosts and training reuses."""
