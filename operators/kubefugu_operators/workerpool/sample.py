"""The sample manifest of a WorkerPool, written to config/samples by the generator and applied by the tests."""

SAMPLE = """\
# A pool of three workers: a commercial API, a server that already runs in the cluster, and one that the operator runs.
apiVersion: kubefugu.dev/v1alpha1
kind: WorkerPool
metadata:
  name: default
spec:
  workers:
    - name: big
      description: Strong at everything, expensive.
      model: gpt-5
      url: https://api.openai.com/v1
      auth:
        secretKeyRef: {name: openai, key: api-key}
      capabilities: [tools, vision, jsonMode, jsonSchema]
      contextTokens: 400000
      prices: {inputPerMillionTokens: "1.25", outputPerMillionTokens: "10"}
      limits: {maxConcurrency: 32, requestsPerMinute: 500}
    - name: inhouse
      description: Code.
      model: Qwen/Qwen2.5-Coder-7B-Instruct
      service: {name: qwen-coder, port: 8000}
      contextTokens: 32768
    - name: small
      description: Small talk, rewriting. Answers when every other worker fails.
      model: HuggingFaceTB/SmolLM2-1.7B-Instruct
      fallback: true
      managed:
        image: docker.io/vllm/vllm-openai:v0.11.0
        args: [--model=HuggingFaceTB/SmolLM2-1.7B-Instruct, --max-model-len=8192]
        gpus: 1
        memory: 16Gi
        nodeSelector: {nvidia.com/gpu.present: "true"}
        tolerations:
          - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
        env:
          - {name: HF_HOME, value: /models}
          - name: HF_TOKEN
            secretKeyRef: {name: huggingface, key: token}
        modelVolume: {claimName: models, mountPath: /models, readOnly: false}
  routing:
    mode: fugu
    maxTurns: 5
    maxCostUsd: "0.50"
  policyRef: {name: main}
"""
