"""The router service: one decision per turn over gRPC.

`domain` is pure (policy sets, canary assignment, step scheduling, the engine seam); `hosts` are the engine's hosts; `registry`,
`router` and `service` put them together; `main` is the only place that wires.
"""
