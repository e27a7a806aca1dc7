"""Stage 2: sep-CMA-ES over head and singular-value offsets."""
