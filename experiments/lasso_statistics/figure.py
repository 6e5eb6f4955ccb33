"""The figure: a panel for each question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.lasso_statistics.recovery import weak_threshold
from experiments.report import Record

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_DASHES = ("-", "--", "-.", ":")


def draw(records: Sequence[Record]) -> Figure:
    """Return degrees of freedom, shares of signs found, shares of weight, and what is recovered."""
    figure = Figure(figsize=(10.6, 8.2), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    panels = (_draw_freedom, _draw_signs, _draw_groups, _draw_recovery)
    for axis, panel, record in zip(axes, panels, records, strict=True):
        panel(axis, record)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_freedom(axis: Axes, record: Record) -> None:
    x = record["strengths"]
    axis.plot(x, record["active variables"], color=_COLORS[0], label="active variables, mean")
    axis.errorbar(
        x,
        record["degrees of freedom"],
        3 * np.array(record["standard errors"]),
        fmt="o",
        ms=5,
        color=_COLORS[1],
        label="degrees of freedom, with 3 standard errors",
    )
    axis.set(
        title="degrees of freedom, diabetes design",
        xlabel="$\\lambda$ of $RSS/2 + \\lambda||b||_1$",
        ylabel="degrees of freedom; variables",
        xscale="log",
    )
    axis.legend(frameon=False)


def _draw_signs(axis: Axes, record: Record) -> None:
    names = ("equal", "opposite")
    for name, color, marker, dash in zip(names, _COLORS, "os", _DASHES, strict=False):
        shares = 100 * np.array(record[f"shares, {name} signs"])
        label = f"$b_1$, $b_2$ of {name} signs"
        axis.plot(record["values"], shares, dash, marker=marker, ms=5, color=color, label=label)
    axis.axvline(1.0, color="0.6", lw=0.8, zorder=0)
    axis.axhline(50, color="0.6", lw=0.8, ls=":", zorder=0)
    axis.set(
        title="signs recovered at some strength",
        xlabel="irrepresentable condition, $2r$: met below 1 for equal signs",
        ylabel="draws (%)",
        ylim=(0, 105),
    )
    axis.legend(frameon=False, loc="lower left")


def _draw_groups(axis: Axes, record: Record) -> None:
    x = record["strengths, in units of the largest"]
    for case, color, dash in zip(record["cases"], _COLORS, _DASHES, strict=False):
        name = "lasso" if case["mix"] == 1 else "elastic net"
        label = f"{name}, noise {case['noise']:g}"
        axis.plot(x, case["variables of the group"], dash, color=color, lw=2, label=label)
    axis.set(
        title="three nearly equal variables",
        xlabel="$\\lambda$, in units of the largest",
        ylabel="variables that are not 0, mean over draws",
        xscale="log",
        ylim=(0, 3.1),
    )
    axis.legend(frameon=False, loc="lower left")


def _draw_recovery(axis: Axes, record: Record) -> None:
    curve = np.linspace(0.02, 0.98, 97)
    theory = [weak_threshold(float(ratio)) for ratio in curve]
    axis.plot(curve, theory, color="black", label="weak threshold, theory")
    for ratio, sizes, shares in zip(
        record["n / p"], record["k / n"], record["shares"], strict=True
    ):
        points = axis.scatter(
            [ratio] * len(sizes),
            sizes,
            c=100 * np.array(shares),
            cmap="cividis",
            s=28,
            vmin=0,
            vmax=100,
        )
    axis.plot(
        record["n / p"],
        record["k / n at one half"],
        "x",
        ms=9,
        mew=2,
        color=_COLORS[1],
        label="recovered in half of the draws",
    )
    axis.figure.colorbar(points, ax=axis, label="draws recovered (%)")
    axis.set(
        title="what least L1 norm recovers",
        xlabel="equations per coefficient, $n/p$",
        ylabel="coefficients that are not 0 per equation, $k/n$",
        xlim=(0, 1),
        ylim=(0, 1.05),
    )
    axis.legend(frameon=False, loc="upper left")
