"""The figure: accuracy over zeros and over neurons, the weights' magnitudes, and the speed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report import Record
from experiments.sparse_networks.compaction import speeds

# Of log10 |w|.
BINS = np.linspace(-9, 1, 51)

_NEURON_TICKS = (500, 200, 100, 50, 20, 10)

_STYLES = {
    "none": ("#000000", "-", "o"),
    "L1, proximal": ("#0072B2", "-", "o"),
    "group lasso, proximal": ("#009E73", "--", "s"),
    "L1, subgradient": ("#D55E00", ":", "^"),
    "L2": ("#CC79A7", "-.", "D"),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return accuracy over zeros and over neurons, the weights' magnitudes, and the speed."""
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis in axes.ravel():
        axis.spines[["top", "right"]].set_visible(False)
    (over_zeros, over_neurons), (magnitudes, speed) = axes
    for axis, name in (
        (over_zeros, "zeros over lambda (%)"),
        (over_neurons, "neurons over lambda"),
    ):
        _draw_accuracies(axis, records, name)
    over_zeros.set(
        title="accuracy and exact zeros, over lambda",
        xlabel="weights that are exactly 0 (%)",
        ylabel="test accuracy (%)",
    )
    over_neurons.set(
        title="accuracy and neurons, over lambda",
        xlabel="hidden neurons kept",
        ylabel="test accuracy (%)",
        xscale="log",
    )
    over_neurons.invert_xaxis()
    over_neurons.set_xticks(_NEURON_TICKS, map(str, _NEURON_TICKS))
    over_neurons.minorticks_off()
    _draw_magnitudes(magnitudes, records)
    _draw_speed(speed, records)
    handles, names = over_zeros.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_accuracies(axis: Axes, records: Sequence[Record], name: str) -> None:
    for record in records:
        method = record["method"]
        color, dash, marker = _STYLES[method]
        y = record["test accuracies (%)"]
        if method == "none":
            axis.axhline(y[0], color=color, lw=1, label="no penalty")
            continue
        x = record[name]
        axis.plot(x, y, dash, marker=marker, ms=5, color=color, label=method)
        i = record["lambdas"].index(record["lambda"])
        label = "chosen on validation images" if record is records[-1] else None
        axis.plot(x[i], y[i], "o", ms=12, mfc="none", mec="black", label=label)


def _draw_magnitudes(axis: Axes, records: Sequence[Record]) -> None:
    at_zero = BINS[0] - 1
    for record in records:
        color, dash, marker = _STYLES[record["method"]]
        shares = 100 * np.asarray(record["share of weights per bin"])
        axis.stairs(np.where(shares > 0, shares, np.nan), BINS, color=color, ls=dash, lw=1.4)
        if record["exact zeros (%)"] > 0:
            axis.plot(at_zero, record["exact zeros (%)"], marker, color=color, ms=7)
    axis.axvline(BINS[0] - 0.5, color="0.7", lw=0.8)
    ticks = [-8, -6, -4, -2, 0]
    axis.set_xticks([at_zero, *ticks], ["0", *(f"$10^{{{t}}}$" for t in ticks)])
    axis.set(
        title="magnitudes of the weights, at the chosen lambda",
        xlabel="$|w|$; the symbols at the left are exact zeros",
        ylabel="weights per bin (%)",
        yscale="log",
    )


def _draw_speed(axis: Axes, records: Sequence[Record]) -> None:
    dense = [name for name in records[0] if name.startswith("dense, ")]
    sizes = [name.removeprefix("dense, batch ").removesuffix(" (ms)") for name in dense]
    for record in records:
        color, dash, marker = _STYLES[record["method"]]
        axis.plot(range(len(sizes)), speeds(record), dash, marker=marker, color=color)
    axis.set_xticks(range(len(sizes)), sizes)
    axis.axhline(1, color="0.7", lw=0.8, zorder=0)
    axis.set(
        title="speed of the compacted network",
        xlabel="images per call",
        ylabel="times faster than the dense one",
        yscale="log",
    )
    axis.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axis.minorticks_off()
