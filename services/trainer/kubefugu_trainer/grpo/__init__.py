"""Training of a Conductor: format warm start, then GRPO on plans that the serving code executes against a live pool.

Prompt, parser, validator and executor are `kubefugu_coordination.workflow`'s, so a trained planner writes what serving reads.
"""
