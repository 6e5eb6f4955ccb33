"""The main job: a lambda sweep of several models over one table."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from regjax._arrays import check_strength
from regjax._messages import listed, quoted, suggestion
from regjax.datasets import DATASETS, load_dataset
from regjax.sweeps.catalog import Entry, MLPOptions, make_entry, model_names
from regjax.sweeps.checks import function, items, one_of, real, seed_list, text
from regjax.sweeps.engines import fit_all_rows, lane_params, run_models
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.lanes.options import Options, options_of
from regjax.sweeps.lanes.outcome import NoFiniteRunError, SweepRun
from regjax.sweeps.model import condition
from regjax.sweeps.result import Rule, SweepResult
from regjax.sweeps.store import Draw, write_files
from regjax.sweeps.strengths import check_grid
from regjax.tables import (
    ReadOptions,
    Table,
    TableError,
    Task,
    as_frame,
    encode_table,
    is_frame,
    table_from_arrays,
)
from regjax.tables.read import read_typed
from regjax.tables.reading import reading

Data = Any
"""A name, a path, a data frame of polars, pandas or Arrow, or a pair of arrays (X, y)."""

_OPTIONS = tuple(name for name in Options._fields if name != "shard")
_METRICS = (
    "train_loss",
    "validation_loss",
    "train_score",
    "validation_score",
    "weight_norm",
    "zero_share",
    "condition_number",
    "kkt_residual",
    "duality_gap",
)


def load_table(
    data: Data,
    target: str | None = None,
    *,
    task: Task | None = None,
    drop: Sequence[str] = (),
    weight: str | None = None,
    groups: str | None = None,
    read_options: ReadOptions | None = None,
) -> Table:
    """Return the encoded table of a file, a data frame or arrays.

    Args:
        data: name of an embedded data set, path of a CSV or Parquet file, a data frame of
            polars, pandas or Arrow, or a pair (X, y) of arrays.
        target: name of the response column; embedded data and arrays have their own.
        task: overrides the guess from the target's type.
        drop: columns to leave out.
        weight: column of sample weights, for `regjax.fits`.
        groups: column that tells which rows belong together, for `regjax.fits`.
        read_options: how a text file is written, which columns are categorical, and whether rows
            with missing values are left out.

    Raises:
        TableError: for whatever cannot be used.

    Example:
        >>> load_table("diabetes").X.shape
        (442, 10)
    """
    for name, value in (("target", target), ("weight", weight), ("groups", groups)):
        text(name, value)
    drop = items("drop", drop, "a list of columns")
    if task is not None:
        one_of("task", task, ("regression", "classification"))
    options = read_options or ReadOptions()
    notes: list[str] = []
    source: dict[str, Any] = {"name": "data frame"}
    if isinstance(data, tuple):
        named = target is not None or weight is not None or groups is not None or bool(drop)
        if named or options != ReadOptions():
            raise ValueError("Arrays (X, y) have no columns to name: leave such names out.")
        return table_from_arrays(*data, task=task)
    if isinstance(data, str) and data in DATASETS:
        options.check_typed(f"the data set {data!r}")
        frame, own_target = load_dataset(data)
        target = target or own_target
        source = {"name": data}
    elif is_frame(data):
        options.check_typed("a data frame")
        frame = as_frame(data)
    elif not isinstance(data, str | pathlib.Path):
        raise TypeError(
            "data must be the name of an embedded data set, the path of a CSV or Parquet file, a "
            "data frame of polars, pandas or Arrow, or a pair of arrays (X, y), got "
            f"{type(data).__name__}."
        )
    else:
        near = suggestion(str(data), DATASETS)
        if near and not pathlib.Path(data).exists():
            raise TableError(f"There is no file {quoted(str(data))}.{near}")
        labels = [*drop, *([] if groups is None else [groups])]
        frame, options, notes = read_typed(data, options, as_text=labels)
        content = hashlib.sha256(pathlib.Path(data).read_bytes()).hexdigest()
        source = {"name": str(data), "file_sha256": content}
    if target is None:
        raise ValueError(
            "Name the column to predict with target (--target); the table has "
            f"{listed(frame.columns, 20)}."
        )
    # Of a torn Parquet file only the values show that they are no text.
    with reading(f"{source['name']!r} cannot be used as a table"):
        table = encode_table(
            frame,
            target,
            task=task,
            drop=drop,
            weight=weight,
            groups=groups,
            read_options=options,
        )
    source |= {"drop": list(drop)}
    return dataclasses.replace(table, source=source, notes=(*notes, *table.notes))


def sweep(
    data: Data | Table,
    target: str | None = None,
    *,
    models: str | Sequence[str] | None = None,
    lambdas: float | Sequence[float] | None = None,
    l1_ratio: float = 0.5,
    seeds: int | Sequence[int] = 5,
    validation_fraction: float = 0.2,
    rule: Rule = "minimum",
    task: Task | None = None,
    drop: Sequence[str] = (),
    read_options: ReadOptions | None = None,
    mlp: MLPOptions | None = None,
    draw: Draw | None = None,
    **options: Any,
) -> SweepResult:
    """Sweep the strengths of several models, several seeds each, and refit the chosen ones.

    Every seed draws its own split into training and validation rows and its own
    initialisation; all strengths of a seed share them. For a linear regression they are one
    path, for any other model lanes of one compiled program. Features are standardised by the
    training rows alone, the response of a regression too, so that strengths mean the same for
    every table.

    Args:
        data: as in `load_table`, or a table already encoded.
        target: name of the response column.
        models: names or groups (`linear`, `mlp`, `all`) of models; by default the linear
            ones, and the perceptrons for the data set digits.
        lambdas: strengths >= 0 for every model; by default a grid per model.
        l1_ratio: mixing weight of the elastic net in [0, 1].
        seeds: how many, or which.
        validation_fraction: share of the rows held out by each seed, in (0, 1).
        rule: how the strength of the refit is chosen.
        task: overrides the guess from the target's type.
        drop: columns to leave out.
        read_options: how the table is read, as in `load_table`.
        mlp: how perceptrons are trained; by default `MLPOptions()`.
        draw: writes figures into the folder it is given, as `regjax.plots.save_figures`.
        options: how it is run: `out`, `resume`, `overwrite`, `force`, `width`, `workers`,
            `memory`, `devices`, `progress`, as in `run_sweep`. With `out` all that is finished is
            on disk at once, and the folder holds what `save_run` writes. It has no shards.

    Raises:
        ValueError: for arguments or data that cannot be used, before any training.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(60, 3))
        >>> y = X[:, 0] + rng.normal(size=60)
        >>> result = sweep((X, y), models=["lasso"], lambdas=[0.03, 0.3, 3.0], seeds=3)
        >>> result.table.shape
        (9, 13)
        >>> result.verdicts("lasso")[-1]
        'underfitting'
    """
    how = options_of("sweep", options, _OPTIONS)
    check_strength(real("l1_ratio", l1_ratio), "l1_ratio", largest=1.0)
    mlp = MLPOptions() if mlp is None else mlp
    if not isinstance(mlp, MLPOptions):
        raise ValueError(f"mlp must be MLPOptions, got {quoted(mlp)}.")
    mlp.check()
    if draw is not None:
        function("draw", draw)
    grid = None if lambdas is None else check_grid(lambdas)
    chosen_seeds = seed_list(seeds)
    if not 0 < real("validation_fraction", validation_fraction) < 1:
        raise ValueError(
            f"validation_fraction must lie in (0, 1), got {quoted(validation_fraction)}."
        )
    one_of("rule", rule, ("minimum", "one_standard_error"))
    if rule == "one_standard_error" and len(chosen_seeds) < 2:
        raise ValueError("A single seed tells no standard error: use two seeds or more.")
    if isinstance(models, str):
        models = [part.strip() for part in models.split(",")]
    elif models is not None:
        models = items("models", models, "names of models, as 'lasso' or ['ridge', 'lasso']")
    named = None if models is None else model_names(models)
    if not isinstance(data, Table):
        table = load_table(data, target, task=task, drop=drop, read_options=read_options)
    elif target is not None or task is not None or drop or read_options is not None:
        raise ValueError(
            "target, task, drop and read_options belong to load_table, which made this table."
        )
    elif data.sample_weight is not None or data.groups is not None:
        raise ValueError("A sweep has no weights and no groups; regjax.fits has.")
    else:
        table = data
    names = named or model_names(["mlp" if table.source.get("name") == "digits" else "linear"])
    n_samples = len(table.y)
    n_validation = round(validation_fraction * n_samples)
    if n_validation < 1 or n_samples - n_validation < 2:
        raise ValueError(
            f"validation_fraction={validation_fraction:g} of {n_samples} rows leaves "
            f"{n_samples - n_validation} for training and {n_validation} for validation; at "
            "least 2 and 1 are needed."
        )

    entries = {name: make_entry(name, table, l1_ratio, mlp) for name in names}
    if grid is not None:
        entries = {
            name: dataclasses.replace(entry, lambdas=grid) for name, entry in entries.items()
        }
    settings = {
        "models": names,
        "lambdas": {name: list(entry.lambdas) for name, entry in entries.items()},
        "l1_ratio": l1_ratio,
        "seeds": chosen_seeds,
        "validation_fraction": validation_fraction,
        "rule": rule,
        "task": table.encoding.task,
        "mlp": dataclasses.asdict(mlp),
    }
    results: list[SweepResult] = []

    def finish(run: SweepRun, folder: pathlib.Path | None) -> dict[str, Any]:
        result = _result(run, table, entries, rule, settings)
        results.append(result)
        return {} if folder is None else write_files(result, folder, draw)

    perceptron = {name: getattr(mlp, name) for name in ("hidden", "epochs", "batch_size")}
    run = run_models(
        table,
        entries,
        chosen_seeds,
        n_validation,
        how,
        finish,
        arguments={"validation_fraction": validation_fraction, **perceptron},
    )
    if not results:
        finish(run, None)
    return results[-1]


def _result(
    run: SweepRun,
    table: Table,
    entries: dict[str, Entry],
    rule: Rule,
    settings: dict[str, Any],
) -> SweepResult:
    """Return the outcome of the lanes with the choices made and the chosen models refitted."""
    if run.failures:
        reasons = [f"{choices}: {reason}" for choices, reason in run.failures.items()]
        raise NoFiniteRunError(f"A model failed: {'; '.join(reasons)}")
    result = SweepResult(
        table=_lane_table(run, entries),
        entries=entries,
        data=table,
        lane_params={},
        fitted={},
        rule=rule,
        seconds=run.times,
        settings=settings | {"plan": run.plan},
    )
    n_features = table.X.shape[1]
    params, fitted = {}, {}
    for name, choice in result.best(rule=rule).items():
        entry = entries[name]
        params[name] = lane_params(run, entry, choice.learning_rate, n_features)
        fit = fit_all_rows(table, entry, choice.lambda_, choice.learning_rate, settings["seeds"][0])
        conditioning = condition(table.X, table.y, entry.model)
        fitted[name] = FittedModel(
            name, choice.lambda_, entry.model, fit, conditioning, table.encoding
        )
    return dataclasses.replace(result, fitted=fitted, lane_params=params)


def _lane_table(run: SweepRun, entries: dict[str, Entry]) -> pl.DataFrame:
    """Return one row per lane: strengths in grid order, rates and seeds within each."""
    swept = ["learning_rate"] if any(entry.rates for entry in entries.values()) else []
    measured = set(run.metrics())
    metrics = [
        pl.col(name) if name in measured else pl.lit(None, dtype=pl.Float64).alias(name)
        for name in _METRICS
    ]
    columns = ["model", "lambda_", *swept, "seed"]
    parts = []
    for name, entry in entries.items():
        rows = run.table.filter(pl.col("model") == name)
        found = {metric: rows[metric].to_numpy() for metric in run.metrics()}
        status = pl.Series("status", entry.model.status_text(found).tolist())
        parts.append(rows.select(*columns, *metrics).with_columns(status))
    # What a model does not measure is NaN.
    return pl.concat(parts).with_columns(pl.col(name).fill_null(np.nan) for name in _METRICS)
