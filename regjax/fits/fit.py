"""From a table to its path or its cross-validation, and to chosen models that predict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from regjax.fits.data import (
    Data,
    Moments,
    batches,
    moments_of_statistics,
    moments_of_table,
)
from regjax.fits.results import CrossValidationFit, PathFit
from regjax.paths import (
    Path,
    elastic_net_cv,
    elastic_net_path,
    fold_statistics,
    k_folds,
    statistics_of_batches,
    time_ordered_folds,
)
from regjax.sweeps import FittedModel
from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.model import no_conditioning
from regjax.sweeps.result import Rule
from regjax.tables import ParquetStream, TableError


def fit_path(
    data: Data,
    *,
    l1_ratio: float = 1.0,
    lambdas: Sequence[float] | None = None,
    n_lambdas: int = 100,
    standardize: bool = True,
    positive: bool = False,
) -> PathFit:
    """Return the path of a table, as `regjax.elastic_net_path` finds it.

    Args:
        data: what `open_data` returned.
        l1_ratio: 1 for the lasso, 0 for ridge.
        lambdas: strengths; by default `n_lambdas` values down from the least one that leaves no
            coefficient.
        standardize: whether the penalty is on coefficients per standard deviation.
        positive: whether coefficients are kept from being negative.

    Raises:
        ValueError: for what cannot be used, and TableError for what is in the data.

    Example:
        >>> from regjax.fits import open_data
        >>> fit = fit_path(open_data("diabetes"), n_lambdas=3)
        >>> fit.strengths()["nonzeros"].to_list()
        [0, 7, 10]
    """
    settings = {
        "l1_ratio": l1_ratio,
        "lambdas": lambdas,
        "n_lambdas": n_lambdas,
        "standardize": standardize,
        "positive": positive,
    }
    shared = _shared(lambdas, n_lambdas, standardize, positive)
    if isinstance(data, ParquetStream):
        statistics = statistics_of_batches(data.batches())
        moments = moments_of_statistics(statistics, data.encoding.target)
        given: tuple[Any, ...] = (statistics,)
    else:
        moments = moments_of_table(data)
        given, shared["sample_weight"] = (data.X, data.y), data.sample_weight
    with _near_the_limits():
        path = elastic_net_path(*given, l1_ratio=l1_ratio, **shared)
        r2 = _r2(path, data, moments)
    _check_finite(data, path.coef, path.intercept, r2)
    path = _named(path, data)
    fitted = {}
    if len(path.lambdas) == 1:
        choice = float(path.lambdas[0]), path.coef[0], float(path.intercept[0])
        fitted["path"] = _model("path", *choice, moments, data)
    return PathFit(
        path,
        moments.scaler.mean,
        _scale(moments),
        r2,
        data,
        fitted,
        settings,
    )


def cross_validate(
    data: Data,
    *,
    l1_ratio: float | Sequence[float] = 1.0,
    lambdas: Sequence[float] | None = None,
    n_lambdas: int = 100,
    standardize: bool = True,
    positive: bool = False,
    folds: int = 5,
    repeats: int = 1,
    time_ordered: bool = False,
    rule: Rule = "minimum",
    seed: int = 0,
) -> CrossValidationFit:
    """Return the cross-validation of a table, as `regjax.elastic_net_cv` finds it.

    Args:
        data: what `open_data` returned; rows of one group, if it has groups, stay together.
        l1_ratio: one mix or several, of which that of least error is taken.
        folds: number of parts of the rows.
        repeats: how often the rows are shuffled anew; of tables in memory.
        time_ordered: whether rows stand in the order of time, and every part is tested after
            training on those before it; of tables in memory.
        rule: the model to predict with: of least error, or the sparsest within one standard
            error of it.
        seed: of the folds.

    Other arguments are those of `fit_path`.

    Raises:
        ValueError: for what cannot be used, and TableError for what is in the data.

    Example:
        >>> from regjax.fits import open_data
        >>> fit = cross_validate(open_data("diabetes"))
        >>> fit.coefficients()["feature"][:2].to_list()
        ['bmi', 's5']
    """
    if rule not in ("minimum", "one_standard_error"):
        raise ValueError(f"rule must be 'minimum' or 'one_standard_error', got {rule!r}.")
    settings = {
        "l1_ratio": l1_ratio,
        "lambdas": lambdas,
        "n_lambdas": n_lambdas,
        "standardize": standardize,
        "positive": positive,
        "folds": folds,
        "repeats": repeats,
        "time_ordered": time_ordered,
        "rule": rule,
        "seed": seed,
    }
    shared = _shared(lambdas, n_lambdas, standardize, positive)
    if isinstance(data, ParquetStream):
        if repeats != 1 or time_ordered:
            raise ValueError(
                "Repeated or time-ordered folds need the rows in memory: give one file instead of "
                "a folder."
            )
        parts = fold_statistics(data.batches(), folds, seed=seed)
        moments = moments_of_statistics(sum(parts[1:], parts[0]), data.encoding.target)
        given: tuple[Any, ...] = (parts,)
    else:
        if time_ordered and (data.groups is not None or repeats != 1):
            raise ValueError("Folds in the order of time have no groups and no repeats.")
        if time_ordered:
            splits = time_ordered_folds(data.n_rows, folds)
        else:
            splits = k_folds(data.n_rows, folds, repeats=repeats, groups=data.groups, seed=seed)
        _check_weights(data.sample_weight, splits)
        moments = moments_of_table(data)
        given = data.X, data.y
        shared |= {"sample_weight": data.sample_weight, "folds": splits}
    with _near_the_limits():
        cv = elastic_net_cv(*given, l1_ratio=l1_ratio, **shared)
    _check_finite(data, cv.path.coef, cv.path.intercept, cv.mean_error, cv.standard_error)
    cv = dataclasses.replace(cv, path=_named(cv.path, data))
    choices = {
        "minimum": (cv.lambda_, cv.coef, cv.intercept),
        "one_standard_error": (cv.lambda_1se, cv.coef_1se, cv.intercept_1se),
    }
    fitted = {name: _model(name, *choice, moments, data) for name, choice in choices.items()}
    return CrossValidationFit(
        cv,
        moments.scaler.mean,
        _scale(moments),
        moments.y_variance,
        data,
        rule,
        fitted,
        settings,
    )


def _shared(
    lambdas: Sequence[float] | None, n_lambdas: int, standardize: bool, positive: bool
) -> dict[str, Any]:
    return {
        "lambdas": lambdas,
        "n_lambdas": n_lambdas,
        "standardize": standardize,
        "lower": 0.0 if positive else None,
    }


def _near_the_limits() -> np.errstate:
    """Return a context in which numbers may overflow on the way: the results are checked."""
    return np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore")


def _check_finite(data: Data, *results: np.ndarray) -> None:
    if not all(np.isfinite(values).all() for values in results):
        raise TableError(
            f"The values of {data.encoding.target!r}, or of features, are so large or so small "
            "that errors cannot be computed: rescale them."
        )


def _check_weights(weight: np.ndarray | None, splits: list[tuple[np.ndarray, np.ndarray]]) -> None:
    parts = [] if weight is None else [weight[rows] for split in splits for rows in split]
    if not all(part.any() for part in parts):
        raise TableError("A fold has only rows of weight 0: drop these rows, or take fewer folds.")


def _named(path: Path, data: Data) -> Path:
    return dataclasses.replace(path, feature_names=tuple(data.encoding.feature_names))


def _scale(moments: Moments) -> np.ndarray:
    return np.where(np.isfinite(moments.scaler.scale), moments.scaler.scale, 0.0)


def _model(
    name: str, lambda_: float, coef: np.ndarray, intercept: float, moments: Moments, data: Data
) -> FittedModel:
    """Return coefficients in the units of the data as a model that predicts."""
    encoding, scaler = data.encoding, moments.scaler
    params = {
        "scaler": scaler,
        "weights": coef * _scale(moments),
        "y_mean": np.asarray(intercept + scaler.mean @ coef),
        "y_scale": np.ones(()),
    }
    conditioning = no_conditioning(len(coef))
    return FittedModel(name, lambda_, LeastSquaresModel(), params, conditioning, encoding)


def _r2(path: Path, data: Data, moments: Moments) -> np.ndarray:
    """Return the share of the variance (n_lambdas,) that is explained, by batches of rows."""
    active = np.flatnonzero(path.coef.any(axis=0))
    coef = path.coef[:, active].T
    total, weights = np.zeros(len(path.lambdas)), 0.0
    for X, y, *given in batches(data):
        weight = given[0] if given else np.ones(len(y))
        residual = y[:, None] - path.intercept - X[:, active] @ coef
        total += weight @ np.square(residual)
        weights += float(weight.sum())
    return 1 - total / weights / moments.y_variance
