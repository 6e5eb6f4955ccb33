"""`regjax sweep`: strengths of several models, several seeds each."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import click
from rich.markup import escape

from regjax.cli._command import console, one_line, say
from regjax.cli._output import new_table, number

_MOST_ROWS = 13
_FIT = {"overfitting": "over", "good": "", "underfitting": "under"}
_HOW = ("overwrite", "resume", "force", "width", "workers")
_MAIN_JOB = ("diabetes", "diabetes_quadratic", "digits")


@click.command("sweep")
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
@click.option(
    "--learning-rate",
    default="0.01",
    show_default=True,
    help="Perceptron: Adam's peak; several, or a range as of --lambdas, are swept too.",
)
@click.option("--figures/--no-figures", default=True, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace the run that --out already holds.")
@click.option("--resume", is_flag=True, help="Go on with the sweep that --out has begun.")
@click.option("--force", is_flag=True, help="Resume though code, data or arguments changed.")
@click.option("--width", type=int, help="Lanes at a time on a device; by default chosen.")
@click.option("--workers", type=int, help="Chunks of lanes at a time; by default one per core.")
@one_line
def sweep(data: str | None, out: pathlib.Path | None, **options: Any) -> None:
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
        sweeps.check_folder(folder, overwrite=options["overwrite"] or options["resume"])
    tables = [
        sweeps.load_table(name, options["target"], task=options["task"], drop=options["drop"])
        for name in names
    ]
    started = time.perf_counter()
    results = {}
    for name, table, folder in zip(names, tables, folders, strict=True):
        results[name] = _sweep_one(name, table, folder, **options)
        _print_strengths(results[name])
    _print_choices(results)
    say(f"Tables, models, figures, manifest: {', '.join(map(str, folders))}")
    say(f"{time.perf_counter() - started:.1f} seconds")


def _sweep_one(name: str, table: Any, folder: pathlib.Path, **options: Any) -> Any:
    from regjax import sweeps

    lambdas = sweeps.parse_grid(options["lambdas"]) if options["lambdas"] is not None else None
    encoding = table.encoding
    n_samples, n_features = table.X.shape
    console.rule(f"[bold]{escape(name)}")
    say(f"{n_samples} rows, {n_features} features; {encoding.task} of {encoding.target!r}")
    for note in table.notes:
        say(f"Note: {note}")
    draw = None
    if options["figures"]:
        from regjax import plots

        draw = plots.save_figures
    with sweeps.show_progress(console) as progress:
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
                sweeps.parse_grid(options["learning_rate"]),
            ),
            draw=draw,
            out=folder,
            progress=progress,
            **{name: options[name] for name in _HOW},
        )


def _print_strengths(result: Any) -> None:
    grid = new_table(
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
                f"{row['train_loss']:.4f}",
                f"{row['validation_loss']:.4f}",
                number(row["validation_loss_se"], ".4f"),
                f"{row['validation_score']:.3g}",
                f"{row['zero_share']:.0%}",
                _FIT.get(verdict, verdict),
                style="bold green" if row["lambda_"] == best else None,
            )
        grid.add_section()
    console.print(grid)
    if left_out:
        say(f"{left_out} more strengths are in summary.csv.")


def _print_choices(results: dict[str, Any]) -> None:
    notes = []
    for data, result in results.items():
        table = new_table(
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
                f"{row['validation_loss']:.4f}",
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
        console.print(table)
    for note in notes:
        say(note)


def _score(result: Any) -> str:
    return "accuracy" if result.data.encoding.task == "classification" else "R2"
