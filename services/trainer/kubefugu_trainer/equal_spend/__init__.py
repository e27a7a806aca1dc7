"""`fugu-ultra` against `fugu`, single workers, self-consistency and static plans, with what each of them spends beside it."""
