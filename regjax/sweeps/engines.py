"""Which engine runs a model: paths for linear regressions, compiled lanes for all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from regjax.sweeps.lanes.run_lanes import LaneRun, run_lanes
from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.model import Fit, LaneModel, Params, Scaler
from regjax.sweeps.training import full_training, holdout_training, split_rows

SweptModel = LeastSquaresModel | LaneModel


def fit_splits(
    model: SweptModel,
    lambdas: np.ndarray,
    fixed: Mapping[str, float],
    seeds: Sequence[int],
    X: np.ndarray,
    y: np.ndarray,
    n_validation: int,
    *,
    progress: Callable[[int], None] | None = None,
) -> LaneRun:
    """Fit every strength under every seed's split, and measure it on both parts.

    Args:
        model: what to fit.
        lambdas: (n_lambdas,) strengths.
        fixed: hyperparameters that are equal in every lane.
        seeds: each draws its own split, the same for every linear model.
        X, y: raw data in the model's precision.
        n_validation: rows held out.
        progress: called with the number of lanes just finished.

    Returns:
        a run whose outputs are a `Fit` with leading axes (n_seeds, n_lambdas).
    """
    if not isinstance(model, LeastSquaresModel):
        train, lanes = holdout_training(model, n_validation), _lanes(lambdas, fixed)
        return run_lanes(train, lanes, seeds, X, y, dtype=model.dtype, progress=progress)
    started = time.perf_counter()
    fits = []
    for seed in seeds:
        fits.append(_fit_split(model, lambdas, fixed["l1_ratio"], seed, X, y, n_validation))
        if progress is not None:
            progress(len(lambdas))
    return _as_run(fits, started)


def fit_all_rows(
    model: SweptModel,
    lambdas: np.ndarray,
    fixed: Mapping[str, float],
    seed: int,
    X: np.ndarray,
    y: np.ndarray,
) -> LaneRun:
    """Fit every strength to all rows; arguments and outputs as in `fit_splits`, of one seed."""
    if not isinstance(model, LeastSquaresModel):
        lanes = _lanes(lambdas, fixed)
        return run_lanes(full_training(model), lanes, [seed], X, y, dtype=model.dtype)
    started = time.perf_counter()
    return _as_run([model.fit_path(lambdas, fixed["l1_ratio"], X, y)], started)


def _lanes(lambdas: np.ndarray, fixed: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {"lambda_": lambdas} | {
        name: np.full(len(lambdas), value) for name, value in fixed.items()
    }


def _as_run(fits: list[Fit], started: float) -> LaneRun:
    outputs = jax.tree.map(lambda *seeds: np.stack(seeds), *fits)
    return LaneRun(outputs, 0.0, time.perf_counter() - started)


def _fit_split(
    model: LeastSquaresModel,
    lambdas: np.ndarray,
    l1_ratio: float,
    seed: int,
    X: np.ndarray,
    y: np.ndarray,
    n_validation: int,
) -> Fit:
    # The rows of a seed beyond 32 bits depend on the precision.
    with jax.enable_x64(True):
        split = split_rows(jax.random.key(seed), len(y), n_validation)
    train, validation = np.asarray(split.train), np.asarray(split.validation)
    fit = model.fit_path(lambdas, l1_ratio, X[train], y[train])
    measured = {}
    for part, rows in (("train", train), ("validation", validation)):
        loss, score = _measure(fit.params, X[rows], y[rows])
        measured[f"{part}_loss"], measured[f"{part}_score"] = loss, score
    return Fit(fit.params, measured | fit.metrics)


def _measure(params: Params, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and R^2 (n_lambdas,), which mean what they do in `holdout_training`."""
    scaler = Scaler(*(vectors[0] for vectors in params["scaler"]))
    outputs = params["weights"] @ scaler.apply(X).T * params["y_scale"][:, None]
    residuals = y - params["y_mean"][:, None] - outputs
    squares = np.mean(np.square(residuals), axis=1)
    # The variance of a constant response may be a rounding error.
    score = 1 - squares / np.var(y) if np.ptp(y) > 0 else np.full(len(squares), np.nan)
    return squares / (2 * np.square(params["y_scale"])), score
