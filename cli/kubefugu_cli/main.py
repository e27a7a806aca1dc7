"""The command tree. Every command imports what it needs when it runs: `kubefugu --help` loads typer and nothing else."""

from __future__ import annotations

import sys

import typer

from kubefugu_cli.commands import ask, forward, models, policy, pool, stack

app = typer.Typer(
    name="kubefugu",
    help="Many language models that answer as one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stack.register(app)
ask.register(app)
app.add_typer(pool.app, name="pool")
app.add_typer(policy.app, name="policy")
app.add_typer(models.app, name="models")
forward.register(app)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib import metadata

    print(f"kubefugu {metadata.version('kubefugu')} (Python {sys.version.split()[0]})")


def main() -> None:
    """Entry point. An error of the core's tree, or a file that cannot be used, is a sentence and exit code 1."""
    try:
        app()
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        if error.filename is None:
            raise
        from kubefugu_cli.console import fail

        fail(f"{error.filename}: {error.strerror}")
    except Exception as error:
        # An error of the tree can only come from a module that has imported it.
        tree = sys.modules.get("kubefugu_core.errors")
        if tree is None or not isinstance(error, tree.KubefuguError):
            raise
        from kubefugu_cli.console import fail

        field = f" ({error.field})" if error.field and error.field not in error.message else ""
        fail(f"{error.message}{field}")


if __name__ == "__main__":
    main()
