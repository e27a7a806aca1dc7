"""Composition root of the command line: `python -m kubefugu_trainer train supervised | eval | outcomes collect`.

`kubefugu train`, `kubefugu eval` and `kubefugu outcomes` come here with their arguments unread. Nothing heavy is imported
before a command runs.
"""

from __future__ import annotations

import sys

import typer

from kubefugu_core.errors import KubefuguError
from kubefugu_trainer.commands import conductor, driver, episodes, equal_spend, evaluate, outcomes, rows, supervised
from kubefugu_trainer.evolution.command import evolve
from kubefugu_trainer.queue.command import evaluator

app = typer.Typer(
    name="kubefugu-trainer",
    help="Measure workers, train routers, evaluate them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train = typer.Typer(help="Train routers and Conductors.", no_args_is_help=True)
train.command("supervised")(supervised.supervised)
train.command("evolve")(evolve)
train.command("compare")(episodes.compare)
train.command("conductor")(conductor.conductor)
app.add_typer(train, name="train")
app.command("supervised", hidden=True)(supervised.supervised)
app.command("evolve", hidden=True)(evolve)
app.command("eval")(evaluate.evaluate)
app.command("add-worker")(rows.add_worker)
app.command("select-workers")(rows.select_workers)
app.command("eval-conductor")(equal_spend.eval_conductor)
app.command("evaluator")(evaluator)
app.command("driver", hidden=True)(driver.driver)
app.add_typer(outcomes.app, name="outcomes")


def main() -> None:
    """Entry point. A refusal is one sentence on standard error and exit code 1; a wrong command line is code 2."""
    try:
        app()
    except KubefuguError as error:
        field = f" ({error.field})" if error.field and error.field not in error.message else ""
        print(f"kubefugu: {error.message}{field}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("kubefugu: interrupted; the same command goes on from here.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
