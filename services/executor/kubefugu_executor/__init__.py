"""The executor service: hosts the coordination loop and workflows over gRPC."""
