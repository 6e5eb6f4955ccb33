"""The figure: trajectories in the plane, end points in four dimensions, singular values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.report import Record

if TYPE_CHECKING:
    from experiments.what_adamw_minimises import Config

_BLUE, _RED, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
# What stands in one panel: names with colour, line and marker.
_PANELS = {
    "L2: all end in the ridge solution": {
        "sgd_l2": (_BLUE, "-", "o"),
        "sgdw": (_RED, ":", "^"),
        "adam_l2": (_GREEN, "--", "s"),
    },
    "decoupled decay: best point of a box": {
        "adamw": (_BLUE, "-", "o"),
        "lionw": (_RED, "--", "^"),
    },
    "L1: the lasso needs Adam's own metric": {
        "prox_sgd, L1": (_BLUE, "-", "o"),
        "prox_adam, L1": (_GREEN, "--", "s"),
        "prox_adamw, L1": (_RED, "-.", "^"),
    },
    "decay that lets go": {
        "adamw, cautious": (_PURPLE, "-", "D"),
        "adamw, target norm": (_GREEN, "--", "s"),
    },
}
_IN_SPACE = {
    "adam_l2": (_GREEN, "s"),
    "adamw": (_BLUE, "o"),
    "prox_adam, L1": (_RED, "^"),
    "adamw, target norm": (_PURPLE, "D"),
}
_OF_MATRICES = {"muonw": (_RED, "^"), "exact muonw": (_BLUE, "o")}


def draw(records: Sequence[Record], config: Config) -> Figure:
    """Return trajectories in the plane, end points in four dimensions, and singular values."""
    by_loss: dict[str, dict[str, Record]] = {}
    for record in records:
        by_loss.setdefault(record["loss"], {})[record["optimizer"]] = record
    figure = Figure(figsize=(12.6, 7.3), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    for axis, (title, styles) in zip(axes, _PANELS.items(), strict=False):
        _draw_plane(axis, title, styles, by_loss["plane"], config)
    _draw_coordinates(
        axes[4],
        "four dimensions, same $\\lambda$",
        _IN_SPACE,
        by_loss["space"],
        [f"$w_{i + 1}$" for i in range(len(config.optimum))],
        config.optimum,
    )
    singular = sorted(map(abs, config.optimum), reverse=True)
    _draw_coordinates(
        axes[5],
        "Muon: the same box for singular values",
        _OF_MATRICES,
        by_loss["square"],
        [f"$\\sigma_{i + 1}$" for i in range(len(singular))],
        singular,
    )
    for axis in axes[4:]:
        for side in (1 / config.lambda_, -1 / config.lambda_)[: 1 if axis is axes[5] else 2]:
            axis.axhline(side, color="0.6", lw=0.8, ls="--", zorder=0)
    return figure


def _draw_plane(axis: Axes, title: str, styles: dict, by_name: dict, config: Config) -> None:
    rho, (x, y) = config.plane_correlation, config.plane_optimum
    w1, w2 = np.meshgrid(np.linspace(-1, 3.6, 120), np.linspace(-0.6, 2.2, 90))
    loss = ((w1 - x) ** 2 + 2 * rho * (w1 - x) * (w2 - y) + (w2 - y) ** 2) / 2
    axis.contour(w1, w2, loss, np.array([0.1, 0.5, 1.2, 2.2, 3.5, 5.1]), colors="0.85", zorder=0)
    axis.axhline(0, color="0.75", lw=0.6, zorder=0)
    axis.axvline(0, color="0.75", lw=0.6, zorder=0)
    if "adamw" in styles:
        side = 1 / config.lambda_
        box = Rectangle((-side, -side), 2 * side, 2 * side, fc="#56B4E9", alpha=0.25, zorder=0)
        axis.add_patch(box)
        axis.text(-0.93, -0.5, "$||w||_\\infty \\leq 1 / \\lambda$", fontsize=9)
    ends = {tuple(np.round(by_name[name]["expected"], 6)) for name in styles}
    for i, end in enumerate(sorted(ends)):
        label = "theory" if i == 0 else None
        axis.plot(*end, "o", ms=15, mfc="none", mec="black", mew=1.2, label=label, zorder=4)
    for name, (color, dash, marker) in styles.items():
        path = np.array(by_name[name]["path"])
        axis.plot(path[:, 0], path[:, 1], dash, color=color, lw=1.8)
        axis.plot(*path[-1], marker, color=color, ms=6, zorder=5)
        axis.plot([], [], dash, marker=marker, color=color, ms=6, lw=1.8, label=name)
    axis.plot(x, y, "x", color="black", ms=8, mew=1.8, label="minimum of the loss", zorder=3)
    axis.plot(*config.plane_start, ".", color="0.4", ms=9)
    axis.annotate(
        "start", config.plane_start, xytext=(6, 4), textcoords="offset points", color="0.3"
    )
    axis.set(title=title, xlim=(-1, 3.6), ylim=(-0.6, 2.2), xlabel="$w_1$", ylabel="$w_2$")
    axis.set_aspect("equal")
    axis.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.23), ncols=2, frameon=False)


def _draw_coordinates(
    axis: Axes,
    title: str,
    styles: dict,
    by_name: dict,
    names: Sequence[str],
    optimum: Sequence[float],
) -> None:
    places = np.arange(len(names))
    axis.plot(places, optimum, "x", color="black", ms=8, mew=1.8, label="minimum of the loss")
    width = 0.74 / len(styles)
    for k, (name, (color, marker)) in enumerate(styles.items()):
        at = places + 0.12 + width * (k + 0.5)
        theory = "theory" if k == 0 else None
        expected = by_name[name]["expected"]
        axis.plot(at, expected, "o", ms=12, mfc="none", mec="black", mew=1.0, label=theory)
        axis.plot(at, by_name[name]["end"], marker, color=color, ms=6, label=name)
    axis.axhline(0, color="0.75", lw=0.6, zorder=0)
    axis.set_xticks(places + 0.4, names)
    axis.set(title=title, ylabel="end point", xlim=(-0.2, len(names)))
    axis.set_box_aspect(2.8 / 4.6)
    axis.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
