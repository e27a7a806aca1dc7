"""A real process for tests of the supervisor: an HTTP server that becomes ready, crashes or hangs as its flags say.

    python little_server.py PORT [--ready-after S] [--exit-before-ready CODE] [--ignore-sigterm] [--grandchild FILE]

GET / answers 200 once it is ready and 503 before; GET /crash ends the process.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ready-after", type=float, default=0.0)
    parser.add_argument("--exit-before-ready", type=int)
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--grandchild", type=Path)
    options = parser.parse_args()
    print("little server starts", flush=True)
    if options.exit_before_ready is not None:
        print("the little server gives up: no such luck", flush=True)
        sys.exit(options.exit_before_ready)
    if options.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.grandchild:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        options.grandchild.write_text(str(child.pid))
    started = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/crash":
                os._exit(7)
            self.send_response(200 if time.monotonic() - started >= options.ready_after else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    HTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
