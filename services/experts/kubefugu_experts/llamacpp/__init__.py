"""A GGUF model behind llama.cpp's own OpenAI server, as a process of its own: `python -m kubefugu_experts.llamacpp`."""
