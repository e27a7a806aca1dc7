"""Outcome tables: what a worker scored on a question. `schema`: format; `reader`: strict reading; `collect`: measuring."""
