"""The HTTP gateway: OpenAI's chat API in, one executor stream out.

It authenticates, checks what is sent, opens one `executor.v1.Execute` stream and writes what comes back. It knows no pool, no
worker and no policy, holds no state beyond the requests in flight, and never parses an answer.
"""
