"""Figures of a sweep of lanes: a metric over two hyperparameters, and over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from regjax.plots._heat_map import heat_map
from regjax.plots._style import CYCLE, DASHES, panels, short

if TYPE_CHECKING:
    from regjax.sweeps import SweepRun

_SEED = "seed"


def sweep_heat_map(run: SweepRun, x: str, y: str, metric: str | None = None) -> Figure:
    """Return a metric over two hyperparameters of a sweep, means over seeds.

    Of other hyperparameters the best values are taken, cell by cell. The best cell is marked.

    Args:
        run: of `run_sweep`.
        x, y: names of numeric hyperparameters.
        metric: by default that of the sweep.

    Example:
        >>> from regjax.sweeps import Grid, run_sweep
        >>> grid = Grid.product(lambda_=[0.1, 1.0], rate=[1.0, 2.0, 4.0])
        >>> train = lambda hp, key: {"loss": (hp["lambda_"] - 0.1) ** 2 + hp["rate"]}
        >>> figure = sweep_heat_map(run_sweep(train, grid, metric="loss"), "rate", "lambda_")
        >>> figure.axes[0].get_ylabel()
        'lambda_'
    """
    best = run.best(metric)
    name = best.metric
    cells = run.ranking(name).unique([x, y], keep="first", maintain_order=True)
    figure, (axis,) = panels(1, width=5.2, height=4.2)
    columns, rows, values = (cells[column].cast(float).to_numpy() for column in (x, y, name))
    mark = (best.hyperparameters[x], best.hyperparameters[y])
    heat_map(axis, columns, rows, values, mark=mark, label=short(name))
    axis.set(xlabel=short(x), ylabel=short(y))
    return figure


def sweep_curves(run: SweepRun, metric: str | None = None, *, most: int = 7) -> Figure:
    """Return a metric over the steps: means over seeds, shaded from the least to the largest.

    Args:
        run: of `run_sweep`, with curves.
        metric: by default that of the sweep.
        most: how many settings are drawn, from the best on.

    Raises:
        ValueError: if the sweep has no curves of the metric.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax.sweeps import Grid, run_sweep
        >>> def train(hyperparameters, key):
        ...     losses = jnp.exp(-hyperparameters["rate"] * jnp.arange(5.0))
        ...     return {"loss": losses[-1], "losses": losses}
        >>> run = run_sweep(train, Grid.product(rate=[0.1, 1.0]), metric="loss")
        >>> sweep_curves(run, "losses").axes[0].get_ylabel()
        'losses'
    """
    name = metric or run.rules.metric
    curves = run.curves()
    if name is None or name not in curves.columns:
        raise ValueError(f"There are no curves of {name!r}: set evaluate_every, or return some.")
    ranking = name if name in run.metrics() else None
    order = run.ranking(ranking)
    keys = [key for key in run.grid.columns if key != _SEED]
    figure, (axis,) = panels(1, width=5.6, height=3.8)
    for place, row in enumerate(order.head(most).iter_rows(named=True)):
        points = curves.filter(curves["id"].is_in(row["lanes"])).drop_nulls(name)
        at, values = points["step"].to_numpy(), points[name].to_numpy()
        steps = np.unique(at)
        spread = [values[at == step] for step in steps]
        color = CYCLE[place % len(CYCLE)]
        text = ", ".join(f"{short(key)} = {_value(row[key])}" for key in keys)
        dash = DASHES[place // len(CYCLE) % len(DASHES)]
        axis.plot(steps, [np.mean(s) for s in spread], dash, color=color, lw=1.5, label=text)
        low, high = [np.min(s) for s in spread], [np.max(s) for s in spread]
        axis.fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
    axis.set(xlabel="step", ylabel=short(name))
    values = curves[name].drop_nulls().to_numpy()
    if 0 < 10 * values.min() < values.max():
        axis.set_yscale("log")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else short(str(value))
