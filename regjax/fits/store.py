"""The folder of a path or of a cross-validation."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from regjax._folders import write_folder
from regjax.fits.results import CrossValidationFit, PathFit
from regjax.sweeps.store import data_record

Fit = PathFit | CrossValidationFit


def save_fit(
    fit: Fit,
    out: str | pathlib.Path,
    *,
    overwrite: bool = False,
    draw: Callable[[Any, pathlib.Path], object] | None = None,
) -> pathlib.Path:
    """Write a fit to the folder `out` and return it.

    `path.csv` holds one row per lambda and feature whose coefficient is not 0, in the units of the
    data and per standard deviation. Of a path, `strengths.csv` has one row per lambda. Of a
    cross-validation, `cv.csv` holds its curve with every fold, `choices.csv` both choices,
    `coefficients.csv` the features that they took, and `models/` one safetensors file for each,
    for `regjax.load` and `regjax predict`; a path of a single lambda has its model there too.
    `manifest.json` has what is needed to repeat the run. The folder is written beside `out` and
    moved there when it is whole.

    Names of columns are written as they are. A spreadsheet takes text that begins with `=`, `+`,
    `-` or `@` for a formula: import such columns as text.

    Args:
        draw: writes figures into the folder it is given.

    Raises:
        ValueError: as in `regjax.sweeps.check_folder`.

    Example:
        >>> import tempfile, regjax
        >>> fit = regjax.fits.cross_validate(regjax.fits.open_data("diabetes"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = save_fit(fit, pathlib.Path(folder) / "run")
        ...     regjax.load(out).lambda_ == fit.cv.lambda_
        True
    """

    def write(folder: pathlib.Path) -> dict[str, Any]:
        _path_table(fit).write_csv(folder / "path.csv")
        if isinstance(fit, PathFit):
            fit.strengths().write_csv(folder / "strengths.csv")
        else:
            fit.errors().write_csv(folder / "cv.csv")
            fit.choices().write_csv(folder / "choices.csv")
            fit.coefficients().write_csv(folder / "coefficients.csv")
        (folder / "models").mkdir()
        for name, model in fit.fitted.items():
            model.save(folder / "models" / f"{name}.safetensors")
        if draw is not None:
            (folder / "figures").mkdir()
            draw(fit, folder / "figures")
        return _manifest(fit)

    return write_folder(out, write, overwrite=overwrite)


def _path_table(fit: Fit) -> pl.DataFrame:
    path, names = fit.path, np.array([*fit.data.encoding.feature_names, "(intercept)"])
    every = np.column_stack([path.coef, path.intercept])
    # The intercept stands in every lambda, whatever it is.
    shown = np.column_stack([path.coef != 0, np.ones(len(path.lambdas), dtype=bool)])
    row, column = np.nonzero(shown)
    values = every[row, column]
    mean_response = path.intercept + path.coef @ fit.mean
    return pl.DataFrame(
        {
            "lambda_": path.lambdas[row],
            "feature": names[column],
            "coefficient": values,
            "per_standard_deviation": np.column_stack([path.coef * fit.scale, mean_response])[
                row, column
            ],
        }
    )


def _manifest(fit: Fit) -> dict[str, Any]:
    best = fit.rule if isinstance(fit, CrossValidationFit) else next(iter(fit.fitted), None)
    return {
        "best_model": best,
        "choices": {name: model.lambda_ for name, model in fit.fitted.items()},
        "settings": fit.settings,
        "data": data_record(fit.data),
    }
