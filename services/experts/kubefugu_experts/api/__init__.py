"""The OpenAI chat API in front of the engines."""
