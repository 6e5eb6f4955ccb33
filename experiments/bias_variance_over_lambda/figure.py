"""The figure: losses over the strength, and what the choices of it cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report import Record

_CURVES = (
    ("validation loss", "#000000", "-"),
    ("training loss", "#56B4E9", "--"),
    ("squared bias", "#D55E00", "-."),
    ("variance", "#0072B2", ":"),
)
_CHOICES = (
    ("oracle", "#E69F00", "-"),
    ("minimum", "#009E73", "--"),
    ("one s.e.", "#CC79A7", "-."),
)


def draw(records: Sequence[Record]) -> Figure:
    """Return for each penalty the losses over the strength, and the risks of three choices."""
    figure = Figure(figsize=(10.6, 8.0), layout="constrained")
    axes = figure.subplots(len(records), 2, sharey="col")
    for (losses, risks), record in zip(axes, records, strict=True):
        _draw_losses(losses, record)
        _draw_risks(risks, record)
        for axis in (losses, risks):
            axis.spines[["top", "right"]].set_visible(False)
    # Below 0 for the strengths chosen.
    axes[0, 0].set_ylim(-1.4, 1.05 * max(max(record["validation loss"]) for record in records))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    curves, names = axes[0, 1].get_legend_handles_labels()
    figure.legend(
        handles + curves, labels + names, loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _draw_losses(axis: Axes, record: Record) -> None:
    strengths = np.array(record["lambdas"])
    shown = strengths > 0
    for name, color, dash in _CURVES:
        y = np.array(record[name])
        axis.plot(strengths[shown], y[shown], dash, color=color, lw=1.8, label=name)
    axis.axhline(record["noise"], color="0.6", lw=0.8, zorder=0, label="variance of the noise")
    axis.axvline(record["oracle"], color="0.6", lw=0.8, ls=":", zorder=0)
    at_bottom = axis.get_xaxis_transform()
    for (name, color, _), height in zip(_CHOICES[1:], (0.03, 0.08), strict=True):
        low, middle, high = record[f"strengths chosen, {name}"]
        axis.plot([low, high], [height] * 2, color=color, lw=2, transform=at_bottom)
        axis.plot([middle], height, "o", ms=6, color=color, transform=at_bottom)
    axis.set(
        title=f"{record['penalty']}: losses",
        xlabel="$\\lambda$",
        ylabel="mean squared error",
        xscale="log",
    )


def _draw_risks(axis: Axes, record: Record) -> None:
    for name, color, dash in _CHOICES:
        risks = record["percentiles of that"][name]
        label = "strength of least risk" if name == "oracle" else f"CV, {name}"
        axis.plot(risks, range(1, 100), dash, color=color, lw=1.8, label=label)
    axis.set(
        title=f"{record['penalty']}: risk of the strength chosen",
        xlabel="excess risk of a draw",
        ylabel="draws with at most this risk (%)",
    )
