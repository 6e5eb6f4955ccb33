"""`regjax path`: the coefficients of a table over lambda."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import click
import numpy as np

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
from regjax.cli._options import Share
from regjax.cli._output import Table, number, print_more, print_table, say
from regjax.cli._table_options import table_options

_MOST_ROWS = 13


@main.command()
@fit_options
@click.option(
    "--l1-ratio",
    type=Share(),
    default=1.0,
    show_default=True,
    help="1 is the lasso, 0 ridge, between both.",
)
@table_options
def path(
    data: str,
    target: str | None,
    out: pathlib.Path | None,
    weight: str | None,
    drop: tuple[str, ...],
    task: Any,
    figures: bool,
    overwrite: bool,
    read_options: Any,
    **settings: Any,
) -> None:
    """Follow the coefficients of DATA over lambda, for lasso, ridge or elastic net.

    DATA is a CSV, TSV or Parquet file, a folder of Parquet files, which is read in batches, or an
    embedded data set: diabetes, diabetes_quadratic. Lambda has the unit of the target.
    """
    from regjax import fits

    started = time.perf_counter()
    folder, draw = out_folder(out, data, "path", overwrite), draw_fit(figures)
    rows = fits.open_data(
        data, target, task=task, drop=drop, weight=weight, read_options=read_options
    )
    announce(data, rows)
    fit, notes = fitted(fits.fit_path, rows, **settings)
    folder = save(fit, folder, draw=draw, overwrite=overwrite)
    for note in notes:
        say(f"Note: {note}")
    _print_strengths(fit)
    _print_features(fit)
    print_folder(folder, draw, time.perf_counter() - started)


def _print_strengths(fit: Any) -> None:
    table = Table("Strengths of the path", ("lambda", "non-zeros", "R2 of the fit"))
    rows = fit.strengths().to_dicts()
    every = -(-len(rows) // _MOST_ROWS)
    for row in rows[::every]:
        table.add_row(f"{row['lambda_']:.3g}", str(row["nonzeros"]), number(row["r2"], "z.3f"))
    print_table(table)
    print_more(len(rows) - len(rows[::every]), "strengths.csv")


def _print_features(fit: Any) -> None:
    path = fit.path
    taken = np.flatnonzero(path.coef.any(axis=0))
    enters = (path.coef[:, taken] != 0).argmax(axis=0)
    size = np.abs(path.coef[:, taken]).max(axis=0) * fit.scale[taken]
    rows = [
        (
            path.feature_names[j],
            f"{path.lambdas[enters[i]]:.3g}",
            f"{path.coef[-1, j]:.4g}",
            f"{path.coef[-1, j] * fit.scale[j]:.4g}",
        )
        for i, j in ((i, taken[i]) for i in np.lexsort((-size, enters)))
    ]
    title = f"Features by entry, at lambda {path.lambdas[-1]:.3g}"
    print_features(title, ("enters at", "coefficient", "per s.d."), rows)
