"""The figure: gaps over the steps of a walk, and of one step over the learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.report import Record

_STYLES = {
    "SGD: L2, decay": ("#0072B2", "-", "o"),
    "momentum: L2, decay": ("#D55E00", "--", "s"),
    "momentum: L2, 10 x decay": ("#CC79A7", ":", "^"),
    "Adam: L2, decay": ("#009E73", "-.", "D"),
    "Adam: best L2 strength, decay": ("#000000", "--", "v"),
    "fixed metric: L2 weighted by it, decay": ("#56B4E9", "-", "x"),
    "fixed metric: best L2 strength, decay": ("#E69F00", "-", "P"),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return the gaps over the steps of a walk, and that of one step over the learning rate."""
    by_pair = {record["pair"]: record for record in records}
    figure = Figure(figsize=(11.6, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    for pair, (color, dash, marker) in _STYLES.items():
        record = by_pair[pair]
        shown = np.maximum(record["gaps"], 1e-17)
        left.plot(record["x"], shown, dash, marker=marker, ms=3.5, color=color, label=pair)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="step",
        ylabel="gap between the two, relative to the weights",
    )
    left.legend(frameon=False, fontsize=9, loc="center")
    single = by_pair["AdamW, Adam-prox: one step"]
    x, gaps = np.array(single["x"]), np.array(single["gaps"])
    right.plot(x, gaps, "o", color="#0072B2", label="AdamW and Adam-prox")
    right.plot(x, gaps[-1] * (x / x[-1]) ** 2, "-", color="0.5", lw=1, label="square of the rate")
    right.set(
        xscale="log", yscale="log", xlabel="learning rate", ylabel="gap after one step, relative"
    )
    right.legend(frameon=False, fontsize=9)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure
