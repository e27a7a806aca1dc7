"""The sample manifests of a TrainingRun, written to config/samples by the generator and applied by the tests."""

SAMPLE = """\
# Train a head for the pool `default` on a measured outcome table and let the RoutingPolicy `main` roll it out.
apiVersion: kubefugu.dev/v1alpha1
kind: TrainingRun
metadata:
  name: first
spec:
  poolRef: {name: default}
  algorithm:
    supervised: {}
  backbone: {ref: /models/smollm2-135m-instruct/smollm2-135m-instruct.gguf}
  data:
    configMap: {name: outcomes, key: outcomes.jsonl}
  storage: {size: 1Gi}
  activeDeadlineSeconds: 3600
  ttlSecondsAfterFinished: 604800
  publish:
    policy: main
    gate: {minimumGain: "0.01", confidence: "0.95"}
---
# The same by evolution, with evaluators on GPU nodes. Suspended: set spec.suspend to false to start it.
apiVersion: kubefugu.dev/v1alpha1
kind: TrainingRun
metadata:
  name: evolved
spec:
  suspend: true
  poolRef: {name: default}
  algorithm:
    sepCmaEs: {iterations: 60, fitness: Table}
  backbone: {ref: Qwen/Qwen3-0.6B}
  data:
    url: s3://datasets/outcomes.parquet
    sha256: "0000000000000000000000000000000000000000000000000000000000000000"
  storage: {url: "s3://kubefugu/runs"}
  budget: {maxCostUsd: "20", maxSeconds: 14400}
  driver:
    resources: {cpu: "2", memory: 8Gi}
  evaluators:
    replicas: 2
    resources: {cpu: "4", memory: 16Gi, gpus: 1}
    tolerations:
      - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  publish: {policy: main}
---
# A Conductor by GRPO: its plans are executed by the pool's live workers. Suspended, as above.
apiVersion: kubefugu.dev/v1alpha1
kind: TrainingRun
metadata:
  name: planner
spec:
  suspend: true
  poolRef: {name: default}
  algorithm:
    grpo: {adapter: LoRA, rank: 4, layers: 10, searchTries: 20, steps: 20, groupSize: 8, learningRate: "0.0001"}
  backbone: {ref: /models/smollm2-135m-instruct/smollm2-135m-instruct.gguf}
  data:
    configMap: {name: questions, key: questions.jsonl}
  storage: {size: 2Gi}
  budget: {maxCostUsd: "5", maxSeconds: 3600}
  publish:
    policy: planners
    gate: {minimumGain: "0.01", confidence: "0.95"}
"""
