"""The default pool's own workers: narrow expert engines behind the OpenAI chat API, and a host for GGUF models."""
