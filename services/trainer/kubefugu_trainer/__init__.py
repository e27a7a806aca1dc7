"""Trainer: measures workers, fits routers on what they were measured to do, and compares them with honest baselines."""
