"""/healthz (is a restart needed?), /readyz (has everything been listed?), /metrics."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from kubefugu_operators.runtime.metrics import Metrics


async def serve(host: str, port: int, *, dead: Callable[[], str], ready: Callable[[], bool], metrics: Metrics) -> web.AppRunner:
    """Start the server; clean up the runner when done. `dead` says why a restart is needed, or nothing."""

    async def healthz(_: web.Request) -> web.Response:
        why = dead()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def readyz(_: web.Request) -> web.Response:
        good = ready()
        return web.Response(text="ok\n" if good else "watches are not established yet\n", status=200 if good else 503)

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
