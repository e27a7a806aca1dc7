"""Hosts of the engine; each implements domain.ports.EngineHost. `build_host` picks the configured one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kubefugu_core.errors import InvalidRequestError
from kubefugu_router.domain.schedule import CPU_STEP_TOKENS, GPU_STEP_TOKENS

if TYPE_CHECKING:
    from kubefugu_router.domain.ports import EngineHost, HostObserver
    from kubefugu_router.settings import RouterSettings
    from kubefugu_router.staging import Stager
    from kubefugu_routing.formats import Tokenizer

MAX_THREADS = 8


def build_host(settings: RouterSettings, stager: Stager, observer: HostObserver) -> tuple[EngineHost, Tokenizer]:
    """The configured host, not yet started, and the backbone's tokenizer. Blocks while weights are loaded."""
    if settings.host == "inprocess":
        return _in_process(settings, stager, observer)
    return _triton(settings, observer)


def _in_process(settings: RouterSettings, stager: Stager, observer: HostObserver) -> tuple[EngineHost, Tokenizer]:
    from kubefugu_router.hosts.inprocess import InProcessHost
    from kubefugu_routing.backbone import load_backbone
    from kubefugu_routing.engine import Engine

    threads = settings.threads or min(MAX_THREADS, os.cpu_count() or 1)
    backbone = load_backbone(settings.backbone, device=settings.device, dtype=settings.dtype, threads=threads)
    if backbone.tokenizer is None:
        raise InvalidRequestError(f"{settings.backbone} has no tokenizer.", field="backbone")
    default = CPU_STEP_TOKENS if backbone.info.device == "cpu" else GPU_STEP_TOKENS
    step_tokens = settings.max_step_tokens or default
    engine = Engine(backbone, kv_cache_bytes=settings.kv_cache_mib << 20, max_step_tokens=step_tokens, pack=True)
    host = InProcessHost(
        engine,
        load_factors=stager.factors,
        observer=observer,
        max_queue_requests=settings.max_queue_requests,
        max_step_tokens=step_tokens,
    )
    return host, backbone.tokenizer


def _triton(settings: RouterSettings, observer: HostObserver) -> tuple[EngineHost, Tokenizer]:
    from kubefugu_router.hosts.triton import TritonHost
    from kubefugu_routing.backbone import load_tokenizer

    if settings.triton_stage_dir is None:
        raise InvalidRequestError("The Triton host needs the folder that it shares with the server.", field="triton_stage_dir")
    tokenizer = load_tokenizer(settings.backbone)
    if tokenizer is None:
        raise InvalidRequestError(f"{settings.backbone} has no tokenizer.", field="backbone")
    host = TritonHost(
        settings.triton_target,
        settings.triton_stage_dir,
        observer,
        allowed_uri_prefixes=settings.allowed_uri_prefixes,
        max_queue_requests=settings.max_queue_requests,
        max_step_tokens=settings.max_step_tokens,
    )
    return host, tokenizer
