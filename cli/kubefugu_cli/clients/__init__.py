"""Clients of what runs: the gateway over HTTP, the services over gRPC, a worker over the OpenAI API."""
