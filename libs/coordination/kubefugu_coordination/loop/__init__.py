"""The coordination loop (`fugu`): which worker acts next, in which role, until the answer is good enough."""
