"""What the path and the cross-validation of a table return, and the tables made of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl

from regjax.fits.data import Data
from regjax.paths import CrossValidation, Path
from regjax.sweeps import FittedModel
from regjax.sweeps.result import Rule


@dataclasses.dataclass(frozen=True)
class PathFit:
    """The path of a table; made by `fit_path`.

    Attributes:
        path: coefficients in the units of the data, under the names of the features.
        mean, scale: (n_features,) means and standard deviations of the features; constant ones
            have the scale 0.
        r2: (n_lambdas,) share of the target's variance that the fit explains, of the rows that it
            was fitted to.
        data: what it was fitted to.
        fitted: of a path of a single lambda its model, else empty.
        settings: arguments of the fit.
    """

    path: Path
    mean: np.ndarray
    scale: np.ndarray
    r2: np.ndarray
    data: Data
    fitted: dict[str, FittedModel]
    settings: dict[str, Any]

    def strengths(self) -> pl.DataFrame:
        """Return by lambda the number of coefficients that are not 0, `r2` and the duality gap."""
        path = self.path
        return pl.DataFrame(
            {
                "lambda_": path.lambdas,
                "nonzeros": np.count_nonzero(path.coef, axis=1),
                "r2": self.r2,
                "duality_gap": path.duality_gap,
            }
        )


@dataclasses.dataclass(frozen=True)
class CrossValidationFit:
    """The cross-validation of a table; made by `cross_validate`.

    Attributes:
        cv: errors by fold, both choices, and the path of the chosen mix.
        mean, scale: (n_features,) means and standard deviations of the features; constant ones
            have the scale 0.
        y_variance: of the target over all rows, what errors are compared with.
        data: what it was fitted to.
        rule: which of the two choices is the model to predict with.
        fitted: the models of all rows at "minimum" and "one_standard_error".
        settings: arguments of the fit.
    """

    cv: CrossValidation
    mean: np.ndarray
    scale: np.ndarray
    y_variance: float
    data: Data
    rule: Rule
    fitted: dict[str, FittedModel]
    settings: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.cv.path

    @property
    def at_edge(self) -> bool:
        """Whether the least error is at the least lambda, so that smaller ones may be better."""
        return len(self.path.lambdas) > 1 and 0 < self.cv.lambda_ == self.path.lambdas[-1]

    def choices(self) -> pl.DataFrame:
        """Return both choices: strength, coefficients that are not 0, error and R^2 of test rows.

        R^2 is 1 less the mean error of the test rows over the variance of the target.
        """
        cv = self.cv
        mix = int(np.flatnonzero(cv.l1_ratios == cv.l1_ratio)[0])
        rows = []
        for name, fitted in self.fitted.items():
            at = int(np.flatnonzero(cv.lambdas[mix] == fitted.lambda_)[0])
            error = float(cv.mean_error[mix, at])
            rows.append(
                {
                    "choice": name,
                    "l1_ratio": cv.l1_ratio,
                    "lambda_": fitted.lambda_,
                    "nonzeros": int(np.count_nonzero(self.path.coef[at])),
                    "mean_error": error,
                    "standard_error": float(cv.standard_error[mix, at]),
                    "r2": 1 - error / self.y_variance,
                    "is_chosen": name == self.rule,
                }
            )
        return pl.DataFrame(rows)

    def errors(self) -> pl.DataFrame:
        """Return the curve: by mix and lambda the mean error, its standard error, every fold.

        Coefficients that are not 0 are counted for the chosen mix alone, which has a path.
        """
        cv = self.cv
        parts = []
        for i, ratio in enumerate(cv.l1_ratios):
            counts: Any = [None] * len(cv.lambdas[i])
            if ratio == cv.l1_ratio:
                counts = np.count_nonzero(self.path.coef, axis=1)
            columns = {
                "l1_ratio": np.full(len(cv.lambdas[i]), ratio),
                "lambda_": cv.lambdas[i],
                "mean_error": cv.mean_error[i],
                "standard_error": cv.standard_error[i],
                "nonzeros": pl.Series(counts, dtype=pl.Int64),
            }
            folds = {f"fold_{k + 1}": fold for k, fold in enumerate(cv.fold_errors[i])}
            parts.append(pl.DataFrame(columns | folds))
        return pl.concat(parts)

    def coefficients(self) -> pl.DataFrame:
        """Return the features that either choice took, the largest at the minimum first.

        For each choice the coefficient in the units of the data, and per standard deviation; the
        last row is the intercept.
        """
        names = self.data.encoding.feature_names
        scaled = {"minimum": self.cv.coef, "one_standard_error": self.cv.coef_1se}
        scaled = {name: coef * self.scale for name, coef in scaled.items()}
        taken = np.flatnonzero(self.cv.coef.astype(bool) | self.cv.coef_1se.astype(bool))
        size = np.abs(np.stack([part[taken] for part in scaled.values()]))
        taken = taken[np.lexsort((-size[1], -size[0]))]
        every = [*taken.tolist(), len(names)]
        columns: dict[str, Any] = {"feature": [[*names, "(intercept)"][j] for j in every]}
        for name, fitted in self.fitted.items():
            table = fitted.coefficients()
            columns[name] = table["coefficient"].gather(every)
            columns[f"{name}_per_standard_deviation"] = table["per_standard_deviation"].gather(
                every
            )
        return pl.DataFrame(columns)
