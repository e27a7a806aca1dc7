"""Composition root of the llama.cpp host: settings -> model file -> xllamacpp's server (llama.cpp's own, in C++).

The HTTP server, batching, streaming and cancellation are llama.cpp's (https://github.com/ggml-org/llama.cpp, tools/server): GET
/health answers 503 while the model loads, POST /v1/chat/completions streams, a client that goes away frees its slot.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import structlog
from pydantic import ValidationError
from pydantic_settings import CliApp

from kubefugu_core.errors import DataError, KubefuguError, UnavailableError
from kubefugu_core.models import resolve
from kubefugu_core.telemetry import configure_logging
from kubefugu_experts.llamacpp.settings import LlamaCppSettings

_log = structlog.get_logger()


def main() -> None:
    """Entry point of `kubefugu-llamacpp`."""
    try:
        settings = CliApp.run(LlamaCppSettings)
        configure_logging(service="llamacpp", level=settings.log_level, fmt=settings.log_format)
        run(settings)
    except (ValidationError, KubefuguError) as error:
        sys.exit(f"kubefugu-llamacpp: {error}")


def run(settings: LlamaCppSettings) -> None:
    """Serve until SIGTERM or SIGINT, let running answers end within the drain time, then exit the process.

    While the model loads, the signals' default action ends the process at once. Raises DataError, UnavailableError.
    """
    model = Path(resolve(settings.model))
    if not model.is_file():
        raise DataError(f"{settings.model} is neither a name of `kubefugu models list` nor a GGUF file.", field="model")
    started = time.monotonic()
    server = _start(_parameters(settings, model), settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _log.info(
        "llamacpp_ready",
        address=server.listening_address,
        model=settings.alias or settings.model,
        slots=settings.slots,
        threads=settings.compute_threads,
        seconds=round(time.monotonic() - started, 2),
    )
    stop.wait()
    _log.info("llamacpp_draining")
    _drain(server.listening_address, settings.drain_seconds)
    threading.Timer(2.0, lambda: os._exit(0)).start()  # where the C++ threads don't end
    del server
    os._exit(0)


def _parameters(settings: LlamaCppSettings, model: Path) -> Any:
    """llama.cpp's parameters."""
    try:
        import xllamacpp
    except ImportError as error:
        raise UnavailableError(
            "The llama.cpp host needs the package xllamacpp: pip install 'kubefugu-experts[llamacpp]'."
        ) from error
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {settings.alias or settings.model}
    params.hostnames = [settings.host]
    params.port = settings.port
    params.n_parallel = settings.slots
    params.n_ctx = settings.context_tokens * settings.slots
    params.n_predict = settings.max_tokens
    params.n_gpu_layers = settings.gpu_layers
    params.cache_ram_mib = settings.prompt_cache_mib
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = settings.compute_threads
    params.use_jinja = True
    params.warmup = False  # halves the start; the first request pays some milliseconds
    params.ui = False
    params.verbosity = 5 if settings.log_level == "debug" and settings.log_content else 1
    return params


def _start(params: Any, settings: LlamaCppSettings) -> Any:
    import xllamacpp

    try:
        return xllamacpp.Server(params)
    except Exception as error:  # xllamacpp raises plain RuntimeErrors of C++
        raise UnavailableError(
            f"llama.cpp could not serve {settings.model} on {settings.host}:{settings.port} (a GGUF file? a free port? "
            f"memory for {settings.slots} x {settings.context_tokens} tokens?): {error}"
        ) from error


def _drain(address: str, drain_s: float) -> None:
    """Wait until no slot decodes, at most `drain_s` seconds."""
    deadline = time.monotonic() + drain_s
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/slots", timeout=2) as response:  # noqa: S310 - the URL is ours
                if not any(slot["is_processing"] for slot in orjson.loads(response.read())):
                    return
        except OSError:
            return
        time.sleep(0.1)
