"""Question generators, one module a field. Each exports TOPICS: name -> generator."""
