"""Liveness of a Triton server by a real inference of two tokens; exit code 0 where it answered.

    python -m kubefugu_router.triton_probe --http-port 8000 --timeout-s 5

A model whose process is dead still says that it is ready and is never restarted by the server, so only an answer counts. A full
queue is an answer too: a busy server is not a dead one. Standard library only, because a kubelet runs it every few seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request

_QUESTION = {"inputs": [{"name": "input_ids", "shape": [1, 2], "datatype": "INT32", "data": [0, 1]}]}


def alive(*, http_port: int, timeout_s: float, address: str = "127.0.0.1") -> str:
    """Empty where the model answered, else what came instead."""
    request = urllib.request.Request(
        f"http://{address}:{http_port}/v2/models/router/infer",
        data=json.dumps(_QUESTION).encode(),
        headers={"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - the URL is ours
            document = json.load(answer)
        return "" if {"logits", "meta"} <= {output["name"] for output in document["outputs"]} else "an answer without outputs"
    except urllib.error.HTTPError as error:
        text = error.read(500).decode(errors="replace")
        return "" if "maximum queue size" in text else f"HTTP {error.code}: {text}"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Parse the flags, ask once."""
    parser = argparse.ArgumentParser(prog="kubefugu-triton-probe")
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--timeout-s", type=float, default=5.0)
    options = parser.parse_args()
    problem = alive(http_port=options.http_port, timeout_s=options.timeout_s)
    if problem:
        sys.exit(f"kubefugu-triton-probe: {problem}")


if __name__ == "__main__":
    main()
