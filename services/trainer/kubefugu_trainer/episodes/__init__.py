"""Live episodes: questions asked through the coordination loop, with a candidate as its router and real workers behind it."""
