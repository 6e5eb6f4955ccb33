"""The figure: norms settle, rotations are those of theory, and whether gradients' size matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.report import Record

# Colour, marker, and line and marker size where lines lie upon each other.
_STYLES = {
    "SGD, momentum, L2": ("#0072B2", "o", "-", 10),
    "AdamW": ("#D55E00", "s", "--", 7),
    "Lion": ("#009E73", "^", ":", 5),
    "Adam, L2": ("#CC79A7", "D", "-", 6),
}


def draw(records: Sequence[Record]) -> Figure:
    """Return norms over steps, rotations beside theory, and rotations over the gradient's size."""
    figure = Figure(figsize=(13.2, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, (color, marker, line, size) in _STYLES.items():
        own = [record for record in records if record["optimizer"] == name]
        walks = [record for record in own if record["weights"] == "random walk"]
        # The strength at which starts and gradients were varied is that of the last one.
        varied = [record for record in walks if record["lambda"] == walks[-1]["lambda"]]
        style = {"color": color, "marker": marker}
        _draw_norms(left, varied, color)
        middle.plot(
            [record["rotation, theory"] for record in walks],
            [record["rotation"] for record in walks],
            ls="",
            ms=6,
            label=name,
            **style,
        )
        layers = [r for r in own if r not in walks and r["rotation, theory"] is not None]
        middle.plot(
            [record["rotation, theory"] for record in layers],
            [record["rotation"] for record in layers],
            ls="",
            ms=11,
            mfc="none",
            **style,
        )
        by_scale = {r["gradient scale"]: r["rotation"] for r in varied if r["start"] == 1}
        scales = sorted(by_scale)
        turns = [by_scale[scale] / by_scale[1.0] for scale in scales]
        right.plot(scales, turns, ls=line, ms=size, lw=1.8, label=name, **style)
    middle.plot([], [], "o", ms=11, mfc="none", color="0.4", label="layer of the network")
    ends = np.array(middle.get_xlim())
    middle.plot(ends, ends, "-", color="0.6", lw=1, zorder=0, label="theory")
    left.axhline(1, color="0.6", lw=1, zorder=0)
    left.set(
        yscale="log",
        xlabel="thousand steps",
        ylabel="norm of the weights, relative to theory",
        title="norms settle",
    )
    middle.set(
        xscale="log",
        yscale="log",
        xlabel="theory (radians per step)",
        ylabel="rotation (radians per step)",
        title="rotation",
    )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="size of the gradient",
        ylabel="rotation, relative to that at size 1",
        title="what a larger gradient does",
    )
    for axis, (across, up) in {
        left: (None, [0.3, 0.5, 1, 2, 3]),
        middle: ([0.002, 0.005, 0.01, 0.02, 0.04], [0.002, 0.005, 0.01, 0.02, 0.04]),
        right: ([0.25, 1, 4], [0.5, 1, 2]),
    }.items():
        if across:
            axis.set_xticks(across, [f"{tick:g}" for tick in across])
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_yticks(up, [f"{tick:g}" for tick in up])
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(
        handles=[
            left.plot([], [], color=color, label=name)[0] for name, (color, *_) in _STYLES.items()
        ],
        frameon=False,
        fontsize=9,
    )
    middle.legend(frameon=False, fontsize=9)
    right.legend(frameon=False, fontsize=9)
    return figure


def _draw_norms(axis: Axes, walks: Sequence[Record], color: str) -> None:
    for record in walks:
        if record["start"] != 1:
            steps = (np.arange(len(record["norms"])) + 0.5) * record["steps per mean"]
            norms = np.array(record["norms"]) / record["norm, theory"]
            axis.plot(steps / 1000, norms, color=color, lw=1.4)
