"""TrainingRun: one training of a routing head or planner, from frozen data to a published version."""
