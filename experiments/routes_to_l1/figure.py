"""The figure: what is above the optimum over the steps, and the zeros at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report import Record

_STYLES = {
    "subgradient, SGD": ("#E69F00", "--"),
    "subgradient, Adam": ("#E69F00", "-"),
    "ISTA": ("#0072B2", "--"),
    "FISTA": ("#0072B2", "-"),
    "prox_sgd": ("#0072B2", ":"),
    "prox_adam": ("#009E73", "-"),
    "prox_adamw": ("#D55E00", "-"),
    "spred, SGD": ("#CC79A7", "--"),
    "spred, Adam": ("#CC79A7", ":"),
    "spred, L-BFGS": ("#CC79A7", "-"),
}
_LEAST = 1e-14


def draw(records: Sequence[Record]) -> Figure:
    """Return a column per problem: objectives over the steps, and counts of zeros."""
    problems = list(dict.fromkeys(record["problem"] for record in records))
    figure = Figure(figsize=(4.4 * len(problems), 7.6), layout="constrained")
    axes = figure.subplots(2, len(problems), squeeze=False, height_ratios=(1.3, 1))
    for (above, below), problem in zip(axes.T, problems, strict=True):
        own = [record for record in records if record["problem"] == problem]
        for record in own:
            color, line = _STYLES[record["route"]]
            shown = np.maximum(record["above"], _LEAST)
            above.plot(record["shown"], shown, ls=line, color=color, lw=1.6)
        above.set(xscale="log", yscale="log", title=problem, xlabel="step", ylim=(_LEAST / 3, 5))
        _draw_zeros(below, own)
        for axis in (above, below):
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("objective above the optimum, relative to the start")
    figure.legend(
        handles=[
            axes[0, 0].plot([], [], ls=line, color=color, lw=1.6, label=name)[0]
            for name, (color, line) in _STYLES.items()
        ],
        loc="outside upper center",
        ncols=5,
        frameon=False,
    )
    figure.legend(
        *axes[1, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def _draw_zeros(axis: Axes, records: Sequence[Record]) -> None:
    places = np.arange(len(records))[::-1]
    right = [record["right zeros"] for record in records]
    wrong = [record["wrong zeros"] for record in records]
    axis.barh(places, right, color="#56B4E9", label="zero in the lasso too")
    axis.barh(places, wrong, left=right, color="#D55E00", hatch="//", label="not zero in the lasso")
    axis.axvline(
        records[0]["zeros of the lasso"], color="black", ls="--", lw=1, label="zeros of the lasso"
    )
    axis.set_yticks(places, [record["route"] for record in records])
    axis.set(xlabel="exact zeros at the end", xlim=(0, 1.1 * records[0]["zeros of the lasso"]))
