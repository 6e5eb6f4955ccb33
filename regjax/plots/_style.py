"""Colours and panels that all figures share."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regjax._messages import printable, shortened

# Okabe and Ito: the colour blind can tell them apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
)
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":")


def panels(
    n: int, *, width: float, height: float, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of `n` axes, at most three in a row, each of this size in inches."""
    # A bare Figure, not pyplot's: nothing global is touched, and nothing is left open.
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    axes = list(grid.ravel())
    for unused in axes[n:]:
        unused.remove()
    for axis in axes[:n]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[:n]


def short(name: str, most: int = 24) -> str:
    """Return a label that fits a figure and is not taken for mathematics.

    Long names lose their middle: many differ only at their end.
    """
    name = shortened(printable(" ".join(name.split())), most)
    return name.replace("$", r"\$")
