"""Models of the main job as lanes: linear regressions as paths, all others as compiled programs."""

from __future__ import annotations

import dataclasses
import functools
import operator
import pathlib
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from regjax.sweeps.catalog import Entry
from regjax.sweeps.lanes.arrays import restored
from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.legs import GroupJob, HostTraining
from regjax.sweeps.lanes.options import Options
from regjax.sweeps.lanes.outcome import SweepRun
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.run import run_jobs
from regjax.sweeps.lanes.run_lanes import run_lanes
from regjax.sweeps.lanes.training import Fit, Training
from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.model import Params, Scaler, condition
from regjax.sweeps.training import holdout_training, split_rows
from regjax.tables import Table

MODEL = "model"
_RULES = Rules(metric="validation_loss", keep="all")

Write = Callable[[SweepRun, pathlib.Path], dict[str, Any]]


def run_models(
    table: Table,
    entries: Mapping[str, Entry],
    seeds: Sequence[int],
    n_validation: int,
    options: Options,
    write: Write,
    *,
    arguments: Mapping[str, Any] = MappingProxyType({}),
) -> SweepRun:
    """Fit every strength of every model under every seed's split, and measure it on both parts.

    Args:
        table: features and response.
        entries: models by name.
        seeds: each draws its own split, the same for every linear model.
        n_validation: rows held out.
        options: how the sweep is run.
        write: writes the files of the finished sweep.
        arguments: by name, what a resumed sweep must have too.
    """
    grids = [
        Grid.product(model=[name], lambda_=entry.lambdas, **dict(entry.others), seed=seeds)
        for name, entry in entries.items()
    ]
    grid = functools.reduce(operator.add, grids)
    jobs = []
    for group in grid.groups():
        entry = entries[str(group.choices[MODEL])]
        train = _training(entry, len(table.y), n_validation)
        names = tuple(grid.arrays(group.lanes))
        jobs.append(GroupJob(train, {}, names, conditioned(table, entry), entry.model.dtype))
    return run_jobs(jobs, grid, _RULES, options, arguments=arguments, write=write)


def lane_params(run: SweepRun, entry: Entry, rate: float | None, n_features: int) -> Params:
    """Return the parameters of a model's lanes, with leading axes (n_seeds, n_lambdas).

    Args:
        run: of `run_models`.
        entry: the model.
        rate: of the learning rates swept, if there are several.
        n_features: of the table.
    """
    with jax.enable_x64(entry.model.dtype == "float64"):
        like = entry.model.shapes(n_features)
    columns = run.grid.columns
    rows = [
        lane
        for lane, name in enumerate(columns[MODEL])
        if name == entry.name and (rate is None or columns["learning_rate"][lane] == rate)
    ]
    # Lanes run over strengths and, within, over seeds.
    n_lambdas = len(entry.lambdas)
    trees = [restored(run.params(lane), like) for lane in rows]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
    return jax.tree.map(
        lambda leaf: np.swapaxes(leaf.reshape(n_lambdas, -1, *leaf.shape[1:]), 0, 1), stacked
    )


def fit_all_rows(
    table: Table, entry: Entry, lambda_: float, rate: float | None, seed: int
) -> Params:
    """Return the parameters of a model fitted to all rows at one strength."""
    X, y = conditioned(table, entry)
    others = {name: values[0] for name, values in entry.others}
    if rate is not None:
        others["learning_rate"] = rate
    if isinstance(entry.model, LeastSquaresModel):
        fit = entry.model.fit_path(np.array([lambda_]), others["l1_ratio"], X, y)
        return jax.tree.map(lambda leaf: np.array(leaf[0]), fit.params)
    training = holdout_training(entry.model, len(y), 0)
    train = _as_function(training) if isinstance(training, Training) else training
    lane = {"lambda_": [lambda_]} | {name: [value] for name, value in others.items()}
    run = run_lanes(train, lane, [seed], X, y, dtype=entry.model.dtype)
    return jax.tree.map(lambda leaf: np.array(leaf[0, 0]), run.outputs.params)


def conditioned(table: Table, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Return features and response as the model sees them."""
    dtype = entry.model.dtype
    conditioning = condition(table.X, table.y, entry.model)
    X, y = conditioning.features(table.X, dtype), table.y
    if table.encoding.task == "regression":
        y = ((y - conditioning.y_offset) / conditioning.y_unit).astype(dtype)
    return X, y


@functools.cache
def _as_function(training: Training) -> Callable[..., Any]:
    # The same object for the same training, so that its program is found again.
    return training.as_function()


def _training(entry: Entry, n_samples: int, n_validation: int) -> Any:
    model = entry.model
    if not isinstance(model, LeastSquaresModel):
        return holdout_training(model, n_samples, n_validation)
    versions = [f"{name} {metadata.version(name)}" for name in ("regjax", "numpy")]
    text = f"{dataclasses.asdict(model)}, {n_validation} rows held out, {', '.join(versions)}"
    return HostTraining(functools.partial(_fit_split, model, n_validation), text)


def _fit_split(
    model: LeastSquaresModel,
    n_validation: int,
    lanes: Mapping[str, np.ndarray],
    seed: int,
    X: np.ndarray,
    y: np.ndarray,
) -> Fit:
    # The rows of a seed beyond 32 bits depend on the precision.
    with jax.enable_x64(True):
        split = split_rows(jax.random.key(seed), len(y), n_validation)
    train, validation = np.asarray(split.train), np.asarray(split.validation)
    fit = model.fit_path(lanes["lambda_"], float(lanes["l1_ratio"][0]), X[train], y[train])
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
