"""`regjax sweep`: strengths of several models, several seeds each."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import click

from regjax.cli._command import FailedRuns, saved
from regjax.cli._figures import drawing
from regjax.cli._fits import len_of
from regjax.cli._options import DATA, OUT, Share, Strengths, Whole, folder_of_results
from regjax.cli._output import Table, console, heading, number, print_more, print_table, say
from regjax.cli._resume import resumable
from regjax.cli._table_options import table_options

_MOST_ROWS = 13
_FIT = {"overfitting": "over", "good": "", "underfitting": "under"}
_HOW = ("overwrite", "resume", "force", "width", "workers")
_MAIN_JOB = ("diabetes", "diabetes_quadratic", "digits")


@click.command("sweep")
@click.argument("data", type=DATA, required=False)
@click.option("--target", help="Column to predict; embedded data sets have their own.")
@click.option("--out", type=OUT, help="Folder of the results; by default runs/NAME.")
@click.option(
    "--models",
    help="Comma-separated: ridge, lasso, elastic_net, mlp_l1, mlp_l2, mlp_decay, or the "
    "groups linear, mlp, all.",
)
@click.option(
    "--lambdas",
    type=Strengths(),
    help="Strengths: 0.01,0.1,1, or 1e-4:1:9 for 9 evenly spaced in the logarithm, or classic "
    "for 1e-4,1e-3,1e-2,1e-1,1; by default a grid per model, with 0.",
)
@click.option(
    "--l1-ratio",
    type=Share(),
    default=0.5,
    show_default=True,
    help="Elastic net: 1 is the lasso.",
)
@click.option(
    "--seeds",
    type=Whole(1, 10_000),
    default=5,
    show_default=True,
    help="Splits and initializations.",
)
@click.option(
    "--validation",
    type=Share(inside=True),
    default=0.2,
    show_default=True,
    help="Share of rows held out.",
)
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
@click.option(
    "--hidden",
    type=Whole(1, 10**6),
    default=64,
    show_default=True,
    help="Perceptron: hidden units.",
)
@click.option(
    "--epochs",
    type=Whole(1, 10**6),
    default=100,
    show_default=True,
    help="Perceptron: passes over the data.",
)
@click.option(
    "--batch-size",
    type=Whole(1, 10**9),
    default=32,
    show_default=True,
    help="Perceptron: rows per step.",
)
@click.option(
    "--learning-rate",
    type=Strengths(),
    default="0.01",
    show_default=True,
    help="Perceptron: Adam's peak; several, or a range as of --lambdas, are swept too.",
)
@click.option("--figures/--no-figures", default=True, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the run that --out already holds.")
@click.option("--resume", is_flag=True, help="Go on with the sweep that --out has begun.")
@click.option("--force", is_flag=True, help="Resume though code, data or arguments changed.")
@click.option(
    "--width", type=Whole(1, 10**9), help="Lanes at a time on a device; by default chosen."
)
@click.option(
    "--workers", type=Whole(1, 1024), help="Chunks of lanes at a time; by default one per core."
)
@table_options
def sweep(data: str | None, out: pathlib.Path | None, read_options: Any, **options: Any) -> None:
    """Sweep lambda on DATA: a CSV or Parquet file, or an embedded data set.

    Embedded are diabetes, diabetes_quadratic and digits; without DATA all three are swept.
    """
    from regjax import sweeps

    names = _MAIN_JOB if data is None else (data,)
    told = [*read_options.given(), *(name for name in ("target", "drop") if options[name])]
    if data is None and told:
        raise ValueError(f"{', '.join(told)}: said of DATA, which is missing.")
    stem = pathlib.Path(data).stem if data else "demo"
    out = folder_of_results(out, pathlib.Path("runs") / stem)
    folders = [out / name if data is None else out for name in names]
    for folder in folders:
        sweeps.check_folder(folder, overwrite=options["overwrite"], resume=options["resume"])
    draw = _draw(options["figures"])
    tables = [
        sweeps.load_table(
            name,
            options["target"],
            task=options["task"],
            drop=options["drop"],
            read_options=read_options,
        )
        for name in names
    ]
    started = time.perf_counter()
    results = {}
    with resumable(*folders):
        for name, table, folder in zip(names, tables, folders, strict=True):
            results[name] = _sweep_one(name, table, folder, draw, **options)
            saved(folder)
            _print_strengths(results[name])
        _print_choices(results)
        figures = ", figures" * (draw is not None)
        say(f"Tables, models{figures}, manifest: {', '.join(map(str, folders))}")
        say(f"{time.perf_counter() - started:.1f} seconds")


def _draw(figures: bool) -> Any:
    if not figures:
        return None
    from regjax import plots

    return drawing(plots.save_figures)


def _sweep_one(name: str, table: Any, folder: pathlib.Path, draw: Any, **options: Any) -> Any:
    from regjax import sweeps
    from regjax.sweeps.lanes.outcome import NoFiniteRunError

    heading(name)
    rows, features = len_of(table)
    say(f"{rows}, {features}; {table.encoding.task} of {table.encoding.target!r}")
    for note in table.notes:
        say(f"Note: {note}")
    try:
        with sweeps.show_progress(console) as progress:
            return sweeps.sweep(
                table,
                models=options["models"],
                lambdas=options["lambdas"],
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
                draw=draw,
                out=folder,
                progress=progress,
                **{name: options[name] for name in _HOW},
            )
    except NoFiniteRunError as error:
        raise FailedRuns(f"{name}: {error}") from error


def _print_strengths(result: Any) -> None:
    grid = Table(
        "Results by strength, means over seeds",
        ("model", "lambda", "train", "validation", "± s.e.", _score(result), "zeros", "fit"),
    )
    left_out = 0
    for name in result.entries:
        rows = result.curve(name).to_dicts()
        best = result.best()[name].lambda_
        every = -(-len(rows) // _MOST_ROWS)
        for i, (row, verdict) in enumerate(zip(rows, result.verdicts(name), strict=True)):
            if i % every and row["lambda_"] != best:
                left_out += 1
                continue
            grid.add_row(
                name,
                f"{row['lambda_']:.3g}",
                number(row["train_loss"], ".4f"),
                number(row["validation_loss"], ".4f"),
                number(row["validation_loss_se"], ".4f"),
                f"{row['validation_score']:.3g}",
                f"{row['zero_share']:.0%}",
                _FIT.get(verdict, verdict),
                chosen=row["lambda_"] == best,
            )
        grid.end_section()
    print_table(grid)
    print_more(left_out, "summary.csv")


def _print_choices(results: dict[str, Any]) -> None:
    notes = []
    for data, result in results.items():
        table = Table(
            f"Chosen lambda per model: {pathlib.Path(data).stem}",
            ("model", "minimum", "one s.e.", "validation", "± s.e.", _score(result), "zeros"),
        )
        for row in result.choices().to_dicts():
            if row.get("learning_rate") is not None:
                rate = row["learning_rate"]
                notes.append(f"Note: {row['model']} on {data} is best at learning rate {rate:.3g}.")
            table.add_row(
                row["model"],
                f"{row['lambda_min']:.3g}",
                number(row["lambda_1se"], ".3g"),
                number(row["validation_loss"], ".4f"),
                number(row["validation_loss_se"], ".4f"),
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
        print_table(table)
    for note in notes:
        say(note)


def _score(result: Any) -> str:
    return "accuracy" if result.data.encoding.task == "classification" else "R2"
