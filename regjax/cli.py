"""The command `regjax`: arguments to calls.

    regjax sweep [DATA]      sweep lambda over an embedded data set or a table of yours
    regjax predict RUN DATA  predict with the model that a sweep chose

Faults of the input end with one line and exit code 2.
"""

from __future__ import annotations

import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

try:
    import click
    from rich import box
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Table as RichTable
except ModuleNotFoundError as error:
    raise SystemExit(
        f"regjax: the command needs {error.name}; install it with: pip install 'regjax[sweep]'"
    ) from error

_console = Console()
_MOST_ROWS = 13
_FIT = {"overfitting": "over", "good": "", "underfitting": "under"}
_MAIN_JOB = ("diabetes", "diabetes_quadratic", "digits")


class _UsageError(click.ClickException):
    exit_code = 2


def _one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn faults of the input into one line and exit code 2, and Ctrl-C into 130."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise _UsageError(" ".join(str(error).split())) from error
        except KeyboardInterrupt:
            click.echo("Interrupted: of the sweep at work nothing is written.", err=True)
            sys.stdout.flush()
            # A thread may still be inside a compiled program, and taking the interpreter down
            # around it crashes.
            os._exit(130)

    return wrapper


@click.group()
@click.version_option(package_name="regjax")
def main() -> None:
    """Regularization for JAX: sweep lambda, choose, predict."""


@main.command()
@click.argument("data", required=False)
@click.option("--target", help="Column to predict; embedded data sets have their own.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    help="Folder of the results; by default runs/NAME.",
)
@click.option(
    "--models",
    help="Comma-separated: ridge, lasso, elastic_net, mlp_l1, mlp_l2, mlp_decay, or the "
    "groups linear, mlp, all.",
)
@click.option(
    "--lambdas",
    help="Strengths: 0.01,0.1,1, or 1e-4:1:9 for 9 evenly spaced in the logarithm, or classic "
    "for 1e-4,1e-3,1e-2,1e-1,1; by default a grid per model, with 0.",
)
@click.option("--l1-ratio", default=0.5, show_default=True, help="Elastic net: 1 is the lasso.")
@click.option("--seeds", default=5, show_default=True, help="Splits and initialisations.")
@click.option("--validation", default=0.2, show_default=True, help="Share of rows held out.")
@click.option(
    "--choose",
    type=click.Choice(["minimum", "one_standard_error"]),
    default="minimum",
    show_default=True,
    help="How the strength of the saved model is chosen.",
)
@click.option(
    "--task",
    type=click.Choice(["regression", "classification"]),
    help="Overrides the guess from the target's type.",
)
@click.option("--drop", multiple=True, help="Column to leave out; may be repeated.")
@click.option("--hidden", default=64, show_default=True, help="Perceptron: hidden units.")
@click.option("--epochs", default=100, show_default=True, help="Perceptron: passes over the data.")
@click.option("--batch-size", default=32, show_default=True, help="Perceptron: rows per step.")
@click.option("--learning-rate", default=1e-2, show_default=True, help="Perceptron: Adam's peak.")
@click.option("--figures/--no-figures", default=True, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the run that --out already holds.")
@_one_line
def sweep(data: str | None, out: pathlib.Path | None, overwrite: bool, **options: Any) -> None:
    """Sweep lambda on DATA: a CSV or Parquet file, or an embedded data set.

    Embedded are diabetes, diabetes_quadratic and digits; without DATA all three are swept.
    """
    from regjax import sweeps

    names = _MAIN_JOB if data is None else (data,)
    if data is None and (options["target"] is not None or options["drop"]):
        raise ValueError("--target and --drop name columns of DATA, which is missing.")
    out = out or pathlib.Path("runs") / (pathlib.Path(data).stem if data else "demo")
    folders = [out / name if data is None else out for name in names]
    for folder in folders:
        sweeps.check_folder(folder, overwrite=overwrite)
    tables = [
        sweeps.load_table(name, options["target"], task=options["task"], drop=options["drop"])
        for name in names
    ]
    started = time.perf_counter()
    results = {}
    for name, table, folder in zip(names, tables, folders, strict=True):
        results[name] = _sweep_one(name, table, **options)
        draw = None
        if options["figures"]:
            from regjax import plots

            draw = plots.save_figures
        sweeps.save_run(results[name], folder, overwrite=overwrite, draw=draw)
        _print_strengths(results[name])
    _print_choices(results)
    _say(f"Tables, models, figures, manifest: {', '.join(map(str, folders))}")
    _say(f"{time.perf_counter() - started:.1f} seconds")


def _sweep_one(name: str, table: Any, **options: Any) -> Any:
    from regjax import sweeps

    lambdas = sweeps.parse_grid(options["lambdas"]) if options["lambdas"] is not None else None
    encoding = table.encoding
    n_samples, n_features = table.X.shape
    _console.rule(f"[bold]{name}")
    _say(f"{n_samples} rows, {n_features} features; {encoding.task} of {encoding.target!r}")
    for note in table.notes:
        _say(f"Note: {note}")
    with _progress() as bars:
        tasks: dict[str, Any] = {}

        def report(model: str, done: int, total: int) -> None:
            if model not in tasks:
                tasks[model] = bars.add_task(model, total=total)
            bars.update(tasks[model], completed=done)

        return sweeps.sweep(
            table,
            models=options["models"],
            lambdas=lambdas,
            l1_ratio=options["l1_ratio"],
            seeds=options["seeds"],
            validation_fraction=options["validation"],
            rule=options["choose"],
            mlp=sweeps.MLPOptions(
                options["hidden"],
                options["epochs"],
                options["batch_size"],
                options["learning_rate"],
            ),
            progress=report,
        )


@main.command()
@click.argument("run", type=click.Path(path_type=pathlib.Path))
@click.argument("data", type=click.Path(path_type=pathlib.Path))
@click.option("--model", help="Model of the run; by default that of least validation loss.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    help="CSV or Parquet file to write; by default predictions are printed as CSV.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that --out names.")
@_one_line
def predict(
    run: pathlib.Path,
    data: pathlib.Path,
    model: str | None,
    out: pathlib.Path | None,
    overwrite: bool,
) -> None:
    """Predict the rows of DATA with the model chosen by the sweep in the folder RUN."""
    import polars as pl

    from regjax.sweeps import load
    from regjax.tables import read_table

    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise ValueError(f"{str(out)!r} must end in .csv or .parquet.")
        if out.exists() and (not overwrite or out.resolve() == data.resolve()):
            raise ValueError(f"{str(out)!r} exists already; name another file or use --overwrite.")
    fitted = load(run, model)
    predictions = pl.DataFrame({fitted.encoding.target: fitted.predict(read_table(data))})
    if out is None:
        click.echo(predictions.write_csv(), nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        predictions.write_parquet(out)
    else:
        predictions.write_csv(out)
    click.echo(f"{predictions.height} predictions of {fitted.name} in {out}")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lanes"),
        TimeElapsedColumn(),
        console=_console,
    )


def _print_strengths(result: Any) -> None:
    grid = _table(
        "Results by strength, means over seeds",
        ("model", "lambda", "train", "validation", "± s.e.", _score(result), "zeros", "fit"),
    )
    summary = result.summary()
    left_out = 0
    for name in result.entries:
        rows = summary.filter(summary["model"] == name).to_dicts()
        best = result.best()[name].lambda_
        every = -(-len(rows) // _MOST_ROWS)
        for i, (row, verdict) in enumerate(zip(rows, result.verdicts(name), strict=True)):
            if i % every and row["lambda_"] != best:
                left_out += 1
                continue
            grid.add_row(
                name,
                f"{row['lambda_']:.3g}",
                f"{row['train_loss']:.4f}",
                f"{row['validation_loss']:.4f}",
                _number(row["validation_loss_se"], ".4f"),
                f"{row['validation_score']:.3g}",
                f"{row['zero_share']:.0%}",
                _FIT.get(verdict, verdict),
                style="bold green" if row["lambda_"] == best else None,
            )
        grid.add_section()
    _console.print(grid)
    if left_out:
        _say(f"{left_out} more strengths are in summary.csv.")


def _print_choices(results: dict[str, Any]) -> None:
    notes = []
    for data, result in results.items():
        table = _table(
            f"Chosen lambda per model: {pathlib.Path(data).stem}",
            ("model", "minimum", "one s.e.", "validation", "± s.e.", _score(result), "zeros"),
        )
        for row in result.choices().to_dicts():
            table.add_row(
                row["model"],
                f"{row['lambda_min']:.3g}",
                _number(row["lambda_1se"], ".3g"),
                f"{row['validation_loss']:.4f}",
                _number(row["validation_loss_se"], ".4f"),
                f"{row['validation_score']:.3g}",
                f"{row['zero_share']:.0%}",
            )
            if row["at_edge"]:
                notes.append(
                    f"Note: {row['model']} on {data} is best at the edge of its grid, lambda = "
                    f"{row['lambda_chosen']:.3g}; widen it with --lambdas."
                )
            elif row["lambda_chosen"] == 0:
                notes.append(f"Note: {row['model']} on {data} does best without a penalty.")
        _console.print(table)
    for note in notes:
        _say(note)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _score(result: Any) -> str:
    return "accuracy" if result.data.encoding.task == "classification" else "R2"


def _table(title: str, columns: tuple[str, ...]) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title=title)
    for column in columns:
        left = column in ("model", "fit")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table


def _say(text: str) -> None:
    _console.print(text, highlight=False, markup=False)
