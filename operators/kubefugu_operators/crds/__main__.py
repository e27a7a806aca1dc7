"""Write CRDs, reference pages and samples below the repository root."""

from __future__ import annotations

import argparse
from pathlib import Path

from kubefugu_operators.crds.manifests import HEADER, crd, render
from kubefugu_operators.crds.reference import page
from kubefugu_operators.kinds import KINDS


def files() -> dict[str, str]:
    """Path below the root -> content of every generated file."""
    result = {}
    for kind in KINDS:
        result[f"charts/kubefugu-crds/templates/{kind.plural}.yaml"] = render(crd(kind))
        result[f"docs/reference/{kind.singular}.md"] = page(kind)
        result[f"config/samples/{kind.singular}.yaml"] = HEADER + kind.sample
    return result


def main() -> None:
    """Command line: `python -m kubefugu_operators.crds [--root DIR]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="repository root (default: the current folder)")
    root: Path = parser.parse_args().root
    for name, text in files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
