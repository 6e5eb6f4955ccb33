"""What a sweep of lanes returns: its table, the best lanes, curves, parameters."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import safetensors.numpy

from regjax._messages import quoted
from regjax.sweeps.lanes.arrays import arrays_from
from regjax.sweeps.lanes.grid import SEED, Grid, Value
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.stopping import costs
from regjax.sweeps.lanes.store import Store

_COUNTED = ("done", "stopped")
_TIMES = {"lanes": pl.Int64, "seconds": pl.Float64, "what": pl.String}
_EVENTS = {"time": pl.String, "event": pl.String}


class NoFiniteRunError(ValueError):
    """No run is left to choose from: all of them failed or diverged."""


@dataclasses.dataclass(frozen=True)
class BestLane:
    """A chosen row of a sweep: values of its hyperparameters, also as attributes; its metric.

    Attributes:
        hyperparameters: by name, without the seed.
        metric: name of the metric that chose it.
        mean: of that metric over seeds.
        standard_error: of the mean; NaN for a single seed.
        lanes: names of its lanes, one per seed.
    """

    hyperparameters: dict[str, Value]
    metric: str
    mean: float
    standard_error: float
    lanes: tuple[str, ...]

    def __getattr__(self, name: str) -> Value:
        try:
            return self.__dict__["hyperparameters"][name]
        except KeyError as error:
            raise AttributeError(f"There is no hyperparameter {name!r}.") from error


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """The outcome of `run_sweep`.

    Attributes:
        grid: the lanes.
        table: one row per lane in the order of the grid: `id`, the hyperparameters, `status`,
            `step` (the last that counts, or the one that diverged), and the metrics. A status is
            "done", "stopped" (no longer improving), "dropped" (beaten at a rung), "diverged" or
            "failed".
        rules: metric, its direction, who left early, whose parameters are kept.
        failures: why groups of lanes failed, by their choices as JSON.
        times: seconds of every chunk with its number of lanes, and of what else was timed.
        plan: width, workers, devices, versions, as recorded before the first lane.
        events: what happened, with times.
    """

    grid: Grid
    table: pl.DataFrame
    rules: Rules
    failures: dict[str, str]
    times: pl.DataFrame
    plan: dict[str, Any]
    events: pl.DataFrame
    _curves: dict[int, dict[str, np.ndarray]]
    _params: dict[int, bytes]

    def params(self, lane: str | int) -> dict[str, np.ndarray]:
        """Return the parameters of a lane by their path, such as `layers/0/weight`.

        Args:
            lane: its name, or its place in the grid.

        Raises:
            KeyError: if they were not kept.
        """
        if isinstance(lane, str) and lane not in self.grid.ids:
            raise KeyError(f"The grid has no lane {quoted(lane)}.")
        place = self.grid.ids.index(lane) if isinstance(lane, str) else lane
        if place not in self._params:
            raise KeyError(
                f"The parameters of lane {lane} were not kept; of these they were: "
                f"{', '.join(self.grid.ids[kept] for kept in sorted(self._params)[:10])}."
            )
        return arrays_from(self._params[place])

    def kept(self) -> list[str]:
        """Return the names of the lanes whose parameters were kept."""
        return [self.grid.ids[lane] for lane in sorted(self._params)]

    def curves(self) -> pl.DataFrame:
        """Return one row per lane and point: id, hyperparameters, step or index, metrics.

        A pure training function gives curves as metrics of shape (n,), a `Training` by
        `evaluate_every`.
        """
        if not self._curves:
            return pl.DataFrame()
        lanes = sorted(self._curves)
        found = [self._curves[lane] for lane in lanes]
        longest = [max(map(len, curves.values())) for curves in found]
        curves = [{"step": np.arange(1, n + 1)} | c for n, c in zip(longest, found, strict=True)]
        row_of = {name: row for row, name in enumerate(self.table["id"])}
        rows = np.repeat([row_of[self.grid.ids[lane]] for lane in lanes], longest)
        starts = np.cumsum(longest) - longest
        names = dict.fromkeys(name for of_lane in curves for name in of_lane)
        columns = [_column(name, curves, starts, len(rows)) for name in names]
        return self.table.select("id", *self.grid.columns)[rows].with_columns(columns)

    def summary(self) -> pl.DataFrame:
        """Return mean and standard error over seeds of every metric, by hyperparameters.

        Lanes that were dropped, diverged or failed are left out; `n_lanes` counts the others.
        """
        keys = [name for name in self.grid.columns if name != SEED]
        metrics = self.metrics()
        root = pl.len().sqrt()
        counted = self.table.filter(pl.col("status").is_in(_COUNTED))
        by = counted.group_by(keys or [pl.lit(0).alias("all")], maintain_order=True)
        return by.agg(
            [pl.col(name).mean() for name in metrics]
            + [(pl.col(name).std() / root).alias(f"{name}_se") for name in metrics]
            + [pl.len().alias("n_lanes"), pl.col("id").alias("lanes")]
        )

    def metrics(self) -> list[str]:
        """Return the names of the metrics."""
        return self.table.columns[self.table.columns.index("step") + 1 :]

    def best(self, metric: str | None = None) -> BestLane:
        """Return the hyperparameters with the best mean of the metric over seeds.

        As in `SuccessiveHalving`, hyperparameters of which a seed diverged or failed come behind
        all without; the mean is over the other seeds.
        """
        name, summary, order, _ = self._ranked(metric)
        return self._chosen(name, summary.row(int(np.argmin(order)), named=True))

    def ranking(self, metric: str | None = None) -> pl.DataFrame:
        """Return the rows of `summary` from the best on, in the order of `best`."""
        name, summary, _, n_lost = self._ranked(metric)
        order = np.lexsort((self._costs(summary, name), n_lost))
        return summary[order.tolist()]

    def one_standard_error(self, strongest: str, metric: str | None = None) -> BestLane:
        """Return the largest `strongest` whose mean is within a standard error of the best.

        Args:
            strongest: a hyperparameter that makes a simpler model the larger it is, `lambda_`.
            metric: by default that of the sweep.

        Raises:
            ValueError: if a single seed tells no standard error.
        """
        name, summary, order, _ = self._ranked(metric)
        best = int(np.argmin(order))
        error = summary[f"{name}_se"].cast(pl.Float64).to_numpy()[best]
        if not np.isfinite(error):
            raise ValueError("A single seed tells no standard error: use two seeds or more.")
        if strongest not in summary.columns:
            raise ValueError(f"There is no hyperparameter {strongest!r}.")
        sizes = summary[strongest].cast(pl.Float64).to_numpy()
        within = np.where(order <= order[best] + error, sizes, -np.inf)
        # Of equally strong ones the best.
        candidates = np.flatnonzero(within == within.max())
        return self._chosen(
            name, summary.row(int(candidates[np.argmin(order[candidates])]), named=True)
        )

    def _ranked(self, metric: str | None) -> tuple[str, pl.DataFrame, np.ndarray, np.ndarray]:
        """Return the metric, the summary, and per row its cost and the number of seeds lost.

        The cost is infinite for rows that lost more seeds than others.
        """
        name = metric or self.rules.metric
        if name is None or name not in self.metrics():
            raise ValueError(f"Name a metric of this sweep: {', '.join(self.metrics())}.")
        summary = self.summary()
        keys = [key for key in self.grid.columns if key != SEED]
        n_lost = np.zeros(len(summary), int)
        if keys:
            gone = self.table.filter(pl.col("status").is_in(["diverged", "failed"]))
            lost = gone.group_by(keys).agg(pl.len().alias("n_lost"))
            out = summary.join(lost, keys, "left", nulls_equal=True, maintain_order="left")
            n_lost = out["n_lost"].fill_null(0).to_numpy().astype(int)
        found = self._costs(summary, name)
        finite = np.isfinite(found)
        if not finite.any():
            raise NoFiniteRunError(f"No {name} is finite: all lanes diverged or failed.")
        order = np.where(n_lost == n_lost[finite].min(), found, np.inf)
        return name, summary, order, n_lost

    def _costs(self, summary: pl.DataFrame, metric: str) -> np.ndarray:
        return costs(summary[metric].cast(pl.Float64).to_numpy(), self.rules.mode)

    def _chosen(self, metric: str, row: dict[str, Any]) -> BestLane:
        names = [name for name in self.grid.columns if name != SEED]
        error = row[f"{metric}_se"]
        return BestLane(
            {name: row[name] for name in names},
            metric,
            row[metric],
            float("nan") if error is None else error,
            tuple(row["lanes"]),
        )


def read_outcome(store: Store, grid: Grid, rules: Rules) -> SweepRun:
    """Return the outcome that a store holds."""
    results = {result.lane: result for result in store.results()}
    names = list(dict.fromkeys(name for r in results.values() for name in r.metrics))
    failures = {}
    lost: set[int] = set()
    groups = grid.groups()
    for number, reason in store.failures().items():
        failures[json.dumps(groups[number].choices)] = reason
        lost |= set(groups[number].lanes)
    lanes = [lane for lane in range(len(grid)) if lane in results or lane in lost]
    columns: dict[str, list] = {"id": [grid.ids[lane] for lane in lanes]}
    columns |= {name: [column[lane] for lane in lanes] for name, column in grid.columns.items()}
    columns["status"] = [results[n].status if n in results else "failed" for n in lanes]
    columns["step"] = [results[n].step if n in results else None for n in lanes]
    for name in names:
        columns[name] = [results[n].metrics.get(name) if n in results else None for n in lanes]
    types = {"step": pl.Int64} | dict.fromkeys(names, pl.Float64)
    kept = rules.keeps(results.values(), lost - set(results), grid)
    times = store.times()
    events = store.events()
    return SweepRun(
        grid,
        pl.DataFrame(columns, schema_overrides=types, strict=False),
        rules,
        failures,
        pl.DataFrame(times, schema=_TIMES, orient="row"),
        store.fact("plan") or {},
        pl.DataFrame(events, schema=_EVENTS, orient="row"),
        {n: r.curves for n, r in results.items() if r.curves is not None},
        {lane: arrays for lane, arrays in store.all_params().items() if lane in kept},
    )


def _column(
    name: str, curves: Sequence[Mapping[str, np.ndarray]], starts: np.ndarray, n_rows: int
) -> pl.Series:
    """Return curves of a name one below the other; null where a lane has none, or no more."""
    there = [(start, c[name]) for start, c in zip(starts, curves, strict=True) if name in c]
    rows = np.concatenate([start + np.arange(len(values)) for start, values in there])
    values = np.concatenate([values for _, values in there])
    filled, is_null = np.zeros(n_rows, values.dtype), np.ones(n_rows, bool)
    filled[rows], is_null[rows] = values, False
    return pl.Series(name, filled).set(pl.Series(is_null), None)


def write_outcome(run: SweepRun, folder: pathlib.Path) -> dict[str, Any]:
    """Write the files of a sweep into a folder, and return what its manifest says."""
    run.table.write_csv(folder / "results.csv")
    run.table.write_parquet(folder / "results.parquet")
    run.times.write_csv(folder / "times.csv")
    run.events.write_csv(folder / "events.csv")
    curves = run.curves()
    if len(curves):
        curves.write_parquet(folder / "curves.parquet")
    if run.kept():
        (folder / "params").mkdir()
        for lane in run.kept():
            safetensors.numpy.save_file(run.params(lane), folder / "params" / f"{lane}.safetensors")
    return {"rules": str(run.rules), "plan": run.plan, "failures": run.failures}
