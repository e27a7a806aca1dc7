"""Start a Triton server over the router's model repository; this process becomes the server.

    python -m kubefugu_router.triton_server --grpc-port 8001 --http-port 8000 --metrics-port 8002

The server is NVIDIA's where `tritonserver` is installed (their image), else the one that the package nvidia-pytriton carries;
that one needs its python stub beside its backend, a shared libpython and two library folders, which are put together here.
What model.py reads (KUBEFUGU_TRITON_*) passes through in the environment. Models can neither be loaded nor replaced over the
network: `--model-control-mode=none`, because explicit control would let whoever reaches the port run code.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STOCK = Path("/opt/tritonserver/bin/tritonserver")
REPOSITORY = Path(__file__).resolve().parents[1] / "model_repository"
"""Beside the package in a checkout; an image names its own by `--model-repository`."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


def packaged_server() -> Path | None:
    """The server's folder in the package nvidia-pytriton; None where it is not installed."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "tritonserver"


def stock_server() -> Path | None:
    """NVIDIA's own binary; None where there is none."""
    found = shutil.which("tritonserver")
    return Path(found) if found else STOCK if STOCK.is_file() else None


def command(
    *,
    work_dir: Path,
    address: str = "127.0.0.1",
    probe_address: str = "127.0.0.1",
    grpc_port: int = 8001,
    http_port: int = 8000,
    metrics_port: int = 8002,
    repository: Path = REPOSITORY,
    exit_timeout_s: int = 25,
    environment: Mapping[str, str],
) -> Command:
    """The server's command line and environment. `work_dir` receives the packaged server's backend folder.

    Raises FileNotFoundError where no server is installed.
    """
    env = {"OMP_WAIT_POLICY": "PASSIVE", **environment}
    stock, packaged = stock_server(), packaged_server()
    if stock is not None:
        binary, own = stock, []
    elif packaged is not None:
        binary, own = packaged / "bin" / "tritonserver", [f"--backend-directory={_backends(packaged, work_dir / 'backends')}"]
        if not os.access(binary, os.X_OK):
            binary.chmod(binary.stat().st_mode | 0o111)
        libraries = [str(sysconfig.get_config_var("LIBDIR")), str(packaged.parents[1] / "nvidia_pytriton.libs")]
        env["LD_LIBRARY_PATH"] = ":".join([*libraries, *filter(None, [env.get("LD_LIBRARY_PATH")])])
        # The stub starts the first python on PATH: the one that has our packages.
        env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}"
    else:
        raise FileNotFoundError("There is no Triton server here: use NVIDIA's image, or pip install --no-deps nvidia-pytriton.")
    arguments = [
        str(binary),
        f"--model-repository={repository}",
        *own,
        "--model-control-mode=none",
        "--strict-readiness=false",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={exit_timeout_s}",
        f"--grpc-address={address}",
        *(f"--{name}-address={probe_address}" for name in ("http", "metrics")),
        f"--http-port={http_port}",
        f"--grpc-port={grpc_port}",
        f"--metrics-port={metrics_port}",
    ]
    return Command(arguments, env)


def _backends(server: Path, target: Path) -> Path:
    """The python backend with the stub of this Python."""
    folder = target / "python"
    if not folder.is_dir():
        shutil.copytree(server / "backends" / "python", folder)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = folder / "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and become the server."""
    parser = argparse.ArgumentParser(prog="kubefugu-triton", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--address", default="127.0.0.1", help="address of the gRPC port (default: %(default)s)")
    parser.add_argument("--probe-address", default="127.0.0.1", help="address of HTTP and metrics (default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--metrics-port", type=int, default=8002)
    parser.add_argument("--model-repository", type=Path, default=REPOSITORY)
    parser.add_argument("--work-dir", type=Path, help="folder for the backend's files (default: a temporary one)")
    parser.add_argument("--exit-timeout-s", type=int, default=25, help="time for requests in flight at SIGTERM")
    options = parser.parse_args(arguments)
    work_dir = options.work_dir or Path(tempfile.mkdtemp(prefix="kubefugu-triton-"))
    try:
        made = command(
            work_dir=work_dir,
            address=options.address,
            probe_address=options.probe_address,
            grpc_port=options.grpc_port,
            http_port=options.http_port,
            metrics_port=options.metrics_port,
            repository=options.model_repository,
            exit_timeout_s=options.exit_timeout_s,
            environment=os.environ,
        )
    except FileNotFoundError as error:
        sys.exit(f"kubefugu-triton: {error}")
    os.execve(made.arguments[0], list(made.arguments), dict(made.environment))  # noqa: S606 - becomes the server


if __name__ == "__main__":
    main()
