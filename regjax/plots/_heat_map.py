"""A heat map of values over two hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogLocator

_MOST_TICKS = 8


def heat_map(
    axis: Axes,
    x: np.ndarray,
    y: np.ndarray,
    values: np.ndarray,
    *,
    mark: tuple[Any, Any] | None = None,
    label: str = "",
) -> None:
    """Draw positive values over a grid of x and y; cells without a finite value stay empty.

    Colours are logarithmic where values spread over more than a factor of 3.

    Args:
        axis: to draw on.
        x, y, values: (n,) each; a pair (x, y) once at most.
        mark: the pair to mark.
        label: of the colours.
    """
    columns, rows = np.unique(x), np.unique(y)
    cells = np.full((len(rows), len(columns)), np.nan)
    cells[np.searchsorted(rows, y), np.searchsorted(columns, x)] = values
    cells = np.where(np.isfinite(cells), cells, np.nan)
    low, high = np.nanmin(cells), np.nanmax(cells)
    wide = low > 0 and high > 3 * low
    norm = LogNorm(low, high) if wide else Normalize(low, high)
    axis.set_facecolor("0.85")
    mesh = axis.pcolormesh(cells, cmap="viridis_r", norm=norm)
    bar = axis.figure.colorbar(mesh, ax=axis, label=label)
    if wide:
        # Plain numbers, also where the range is less than a power of ten.
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        bar.ax.yaxis.set_minor_formatter("")
    for places, names, set_ticks in (
        (columns, columns, axis.set_xticks),
        (rows, rows, axis.set_yticks),
    ):
        every = -(-len(places) // _MOST_TICKS)
        shown = np.arange(0, len(places), every)
        set_ticks(shown + 0.5, [f"{names[i]:.2g}" for i in shown])
    axis.tick_params(axis="x", rotation=45)
    if mark is not None:
        place = np.searchsorted(columns, mark[0]) + 0.5, np.searchsorted(rows, mark[1]) + 0.5
        axis.plot(*place, "o", mfc="none", mec="w", ms=11, mew=2.5)
        axis.plot(*place, "o", mfc="none", mec="k", ms=11, mew=1)
