"""What the router decides with, free of I/O, asyncio and gRPC."""
