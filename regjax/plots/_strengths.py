"""The axis of lambdas that figures of paths share: its ticks, counts above it, marks on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import LogLocator

from regjax.plots._style import DASHES

SMALL = 8
"""Size of text within a figure, in points."""

_COUNTS_ABOVE = 8
_OFF_LINE, _OFF_DOTS = 2, 8
# A colour that no curve has.
_MARK = "0.35"


def strengths(axis: Axes, lambdas: np.ndarray) -> np.ndarray:
    """Set up the axis of lambdas, and return where on it each of them stands."""
    positive = lambdas[lambdas > 0]
    low, high = positive.min(initial=np.inf), positive.max(initial=0.0)
    zero = low / max(2.0, (high / low) ** 0.1) if positive.size else 1.0
    x = np.where(lambdas > 0, lambdas, zero)
    room = (x.max() / x.min()) ** 0.07 if x.max() > x.min() else 1.5
    axis.set_xscale("log")
    axis.set_xlim(x.min() / room, x.max() * room)
    axis.set_xlabel("strength $\\lambda$")
    minor = np.zeros(0)
    if not positive.size:
        ticks = {}
    elif high < 1.3 * low:
        ticks = {low: f"{low:.3g}"}
    else:
        least = low if positive.size < lambdas.size else low / room
        ticks, minor = _ticks(least, high * room)
    if positive.size < lambdas.size:
        ticks[zero] = "0"
        if positive.size:
            axis.text(
                np.sqrt(zero * low),
                0,
                "//",
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="center",
                fontsize=SMALL,
                bbox={"facecolor": "w", "edgecolor": "none", "pad": 0.5},
            )
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.set_xticks(minor, [""] * len(minor), minor=True)
    return x


def _ticks(low: float, high: float) -> tuple[dict[float, str], np.ndarray]:
    """Return ticks from `low` to `high` with their labels, and minor ticks."""
    decades = _between(np.asarray(LogLocator(numticks=9).tick_values(low, high)), low, high)
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))[:, None]
    if len(decades) > 1:
        minor = _between(powers * np.arange(2, 10), low, high if high < 1e9 * low else 0.0)
        labels = [f"$10^{{{round(np.log10(tick))}}}$" for tick in decades]
        return dict(zip(decades.tolist(), labels, strict=True)), minor
    for multiples in ([1, 2, 5], np.arange(1, 10), np.arange(10, 100, 2) / 10):
        ticks = _between(powers * multiples, low, high)
        if len(ticks) > 1:
            break
    return {tick: f"{tick:.6g}" for tick in ticks.tolist()}, np.zeros(0)


def _between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return values[(values >= low) & (values <= high)]


def counts_above(axis: Axes, x: np.ndarray, coef: np.ndarray) -> Text:
    """Write the numbers of coefficients that are not 0 above the axis; return the label there."""
    counts = np.count_nonzero(coef, axis=1)
    wanted = np.geomspace(x[-1], x[0], _COUNTS_ABOVE)
    nearest = [int(np.abs(np.log(x / place)).argmin()) for place in wanted]
    shown = nearest[:1]
    for i in nearest[1:]:
        if np.log(x[i] / x[shown[-1]]) > 0.7 / _COUNTS_ABOVE * np.log(x[0] / x[-1]):
            shown.append(i)
    above = axis.secondary_xaxis("top")
    above.set_xticks(x[shown], [str(count) for count in counts[shown]], fontsize=SMALL)
    above.minorticks_off()
    above.spines["top"].set_visible(False)
    above.set_xlabel("coefficients that are not 0", fontsize=SMALL)
    return above.xaxis.label


def check_marks(lambdas: np.ndarray, marks: Mapping[str, float]) -> dict[float, str]:
    """Return the texts by rising lambda, those of one lambda together.

    Args:
        lambdas: (n_lambdas,) descending.
        marks: lambdas by their texts.

    Raises:
        ValueError: if a mark is outside the lambdas.
    """
    texts: dict[float, str] = {}
    # The axis is broken between 0 and the least strength above it.
    positive = lambdas[lambdas > 0] if lambdas.any() else lambdas
    for text, lambda_ in sorted(marks.items(), key=lambda item: item[1]):
        if lambda_ not in lambdas and not positive.min() <= lambda_ <= positive.max():
            raise ValueError(
                f"The mark {text!r} at {lambda_:g} is outside the lambdas, {positive.min():g} to "
                f"{positive.max():g}."
            )
        texts[lambda_] = f"{texts[lambda_]}\n{text}" if lambda_ in texts else text
    return texts


def mark(
    axis: Axes,
    marks: Mapping[float, str],
    x: np.ndarray,
    curves: np.ndarray,
) -> None:
    """Draw a vertical line with its text at every marked lambda.

    Args:
        marks: texts by rising lambda.
        x: (n_lambdas,) where the lambdas stand, descending.
        curves: (n_curves, n_lambdas) values from which the texts keep away.
    """
    for i, (lambda_, text) in enumerate(marks.items()):
        place = lambda_ or x[-1]
        axis.axvline(place, color=_MARK, ls=DASHES[i % len(DASHES)], lw=1.2, zorder=1.5)
        # The text stands on the right, unless the next mark is too near.
        places = [following or x[-1] for following in list(marks)[i + 1 :]]
        left = bool(places) and np.log(places[0] / place) < 0.07 * np.log(x[0] / x[-1])
        away = -_OFF_LINE if left else _OFF_LINE if len(x) > 1 else _OFF_DOTS
        near = curves[:, np.abs(np.log(x / place)).argmin()]
        height = axis.transAxes.inverted().transform(
            axis.transData.transform(np.column_stack([np.full(len(near), place), near]))
        )[:, 1]
        top = np.count_nonzero(height > 0.55) <= np.count_nonzero(height < 0.45)
        axis.annotate(
            f"{text} ({lambda_:.3g})",
            (place, float(top)),
            (away, -_OFF_LINE if top else _OFF_LINE),
            xycoords=axis.get_xaxis_transform(),
            textcoords="offset points",
            rotation=90,
            ha="right" if left else "left",
            va="top" if top else "bottom",
            fontsize=SMALL,
            color=_MARK,
            path_effects=[withStroke(linewidth=2.5, foreground="w")],
        )
