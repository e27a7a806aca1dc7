"""Operating system processes: start one that dies with its parent, tell whether one lives, end one with its descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence

import psutil

from kubefugu_cli.stack import child
from kubefugu_cli.stack.model import ProcessRef

_CREATED_TOLERANCE_S = 1.0


def reference(pid: int) -> ProcessRef | None:
    """Name a living process for good; None where it is gone already."""
    try:
        return ProcessRef(pid=pid, created=psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def find(ref: ProcessRef | None) -> psutil.Process | None:
    """The process that was meant, None where it ended (a zombie counts as ended)."""
    if ref is None:
        return None
    try:
        process = psutil.Process(ref.pid)
        same = abs(process.create_time() - ref.created) < _CREATED_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def own_child(command: Sequence[str]) -> list[str]:
    """The command line under which a child of this process dies with it, whatever this process dies of."""
    return [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), *command]


def kill_group(group: int) -> None:
    """SIGKILL to what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def end_all(refs: Iterable[ProcessRef], *, grace_s: float) -> None:
    """End processes with their descendants: SIGTERM, `grace_s` seconds, SIGKILL. Those that are gone are passed over."""
    victims: dict[int, psutil.Process] = {}
    for ref in refs:
        process = find(ref)
        if process is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            for descendant in process.children(recursive=True):
                victims[descendant.pid] = descendant
        victims[process.pid] = process
    for process in victims.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(list(victims.values()), timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_s)


def wait_gone(ref: ProcessRef, *, timeout_s: float) -> bool:
    """Wait for a process that need not be our child to end; False where it lives on."""
    deadline = time.monotonic() + timeout_s
    while find(ref) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Ports that are free now and differ from each other."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def listener_of(port: int) -> str:
    """What listens on a port, as words for a message; empty where this user may not see it."""
    with contextlib.suppress(psutil.AccessDenied, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                with contextlib.suppress(psutil.NoSuchProcess):
                    return f"{psutil.Process(connection.pid).name()}, pid {connection.pid}"
    return ""
