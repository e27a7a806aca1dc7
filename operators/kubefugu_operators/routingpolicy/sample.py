"""The sample manifest of a RoutingPolicy, written to config/samples by the generator and applied by the tests."""

SAMPLE = """\
# New versions get 10 % and then half of the conversations, and are promoted when they fail no more than the active one.
# Rollback: kubectl patch rp main --type merge -p '{"spec":{"pin":"<version>"}}' (status.previous names the one before).
apiVersion: kubefugu.dev/v1alpha1
kind: RoutingPolicy
metadata:
  name: main
spec:
  rollout:
    strategy: Canary
    steps:
      - {percent: 10, pauseSeconds: 300}
      - {percent: 50, pauseSeconds: 300}
    abort: {minimumRequests: 50, maxFailurePercent: 2}
"""
