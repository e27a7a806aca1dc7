"""Questions with verifiers: task sets for measuring workers. Ground truth is the generators' own, never an expert engine's."""
