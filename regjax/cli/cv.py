"""`regjax cv`: the strength and the features that cross-validation chooses."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Sequence
from typing import Any

import click

from regjax.cli._command import main
from regjax.cli._fits import (
    announce,
    draw_fit,
    fit_options,
    fitted,
    out_folder,
    print_features,
    print_folder,
    save,
)
from regjax.cli._options import Shares, Whole
from regjax.cli._output import Table, number, print_table, say
from regjax.cli._table_options import table_options

_CHOICES = {"minimum": "minimum", "one_standard_error": "one s.e."}


@main.command()
@fit_options
@click.option(
    "--l1-ratio",
    type=Shares(),
    default="1",
    show_default=True,
    help="1 is the lasso, 0 ridge; of several, as in 0.1,0.5,1, the one of least error is taken.",
)
@click.option(
    "--folds",
    type=Whole(2, 10**9),
    default=5,
    show_default=True,
    help="Parts that the rows are divided in.",
)
@click.option(
    "--repeats",
    type=Whole(1, 10_000),
    default=1,
    show_default=True,
    help="Times that rows are shuffled anew.",
)
@click.option("--groups", help="Column; rows of one value are never torn apart.")
@click.option(
    "--time-ordered", is_flag=True, help="Rows stand in order of time: test on later ones."
)
@click.option(
    "--choose",
    type=click.Choice(list(_CHOICES)),
    default="minimum",
    show_default=True,
    help="Which model predicts: of least error, or the sparsest within one standard error.",
)
@click.option(
    "--seed", type=Whole(0, 2**63 - 1), default=0, show_default=True, help="Of the folds."
)
@table_options
def cv(
    data: str,
    target: str | None,
    out: pathlib.Path | None,
    l1_ratio: Sequence[float],
    weight: str | None,
    groups: str | None,
    drop: tuple[str, ...],
    task: Any,
    choose: Any,
    figures: bool,
    overwrite: bool,
    read_options: Any,
    **settings: Any,
) -> None:
    """Choose lambda by cross-validation on DATA, and the features that come with it.

    DATA is a CSV, TSV or Parquet file, a folder of Parquet files, which is read in batches, or an
    embedded data set: diabetes, diabetes_quadratic. Lambda has the unit of the target.
    """
    from regjax import fits

    started = time.perf_counter()
    folder, draw = out_folder(out, data, "cv", overwrite), draw_fit(figures)
    rows = fits.open_data(
        data,
        target,
        task=task,
        drop=drop,
        weight=weight,
        groups=groups,
        read_options=read_options,
    )
    announce(data, rows)
    fit, notes = fitted(fits.cross_validate, rows, l1_ratio=l1_ratio, rule=choose, **settings)
    folder = save(fit, folder, draw=draw, overwrite=overwrite)
    for note in notes:
        say(f"Note: {note}")
    _print_choices(fit)
    _print_features(fit)
    if fit.at_edge:
        say(
            f"Note: the least error is at the least strength, lambda = {fit.cv.lambda_:.3g}; widen "
            "the grid with --lambdas."
        )
    print_folder(folder, draw, time.perf_counter() - started)


def _print_choices(fit: Any) -> None:
    n_folds = fit.cv.fold_errors.shape[1]
    table = Table(
        f"Choices by {n_folds} folds, l1_ratio = {fit.cv.l1_ratio:g}",
        ("choice", "lambda", "non-zeros", "mean error", "± s.e.", "R2"),
    )
    for row in fit.choices().to_dicts():
        table.add_row(
            _CHOICES[row["choice"]],
            f"{row['lambda_']:.4g}",
            str(row["nonzeros"]),
            f"{row['mean_error']:.4g}",
            number(row["standard_error"], ".2g"),
            number(row["r2"], "z.3f"),
            chosen=row["is_chosen"],
        )
    print_table(table)


def _print_features(fit: Any) -> None:
    table = fit.coefficients()
    rows = [
        tuple(_shown(value) for value in row)
        for row in table.select(
            "feature",
            "minimum",
            "minimum_per_standard_deviation",
            "one_standard_error_per_standard_deviation",
        ).rows()[:-1]
    ]
    if not rows:
        say("No feature is chosen: nothing predicts better than the mean.")
        return
    print_features("Chosen features", ("coefficient", "per s.d.", "per s.d. at one s.e."), rows)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "0" if value == 0 else f"{value:.4g}"
