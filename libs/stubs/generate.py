"""Generate the committed gRPC stubs in libs/stubs/kubefugu from protos/ (run by `make proto`)."""

import shutil
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"
OUT = ROOT / "libs" / "stubs"


def main() -> int:
    """Write the stubs anew and return protoc's exit status."""
    shutil.rmtree(OUT / "kubefugu", ignore_errors=True)
    files = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{Path(protoc.__file__).parent / '_proto'}",
            f"--python_out={OUT}",
            f"--grpc_python_out={OUT}",
            f"--mypy_out={OUT}",
            f"--mypy_grpc_out={OUT}",
            *files,
        ]
    )
    if code:
        return int(code)
    # Typing marker: the stubs are a namespace package with .pyi files beside the modules.
    (OUT / "kubefugu" / "py.typed").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
