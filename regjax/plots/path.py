"""Figures of a path and of its cross-validation.

Strengths rise to the right on a logarithmic axis; lambda = 0, where a path has it, stands left of a
break in that axis. Above it stand the numbers of coefficients that are not 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation

from regjax.paths import CrossValidation, Path
from regjax.plots._strengths import SMALL, check_marks, counts_above, mark, strengths
from regjax.plots._style import (
    CYCLE,
    DASHES,
    panels,
    short,
)

_LINE_HEIGHT = 1.25 * SMALL
_FOLDS_DRAWN = 20
_BELOW_LABEL = 34


def plot_path(
    path: Path | CrossValidation,
    *,
    feature_names: Sequence[str] | None = None,
    scale: Any = None,
    marks: Mapping[str, float] | None = None,
    n_labels: int = 10,
    axis: Axes | None = None,
) -> Figure:
    """Return the coefficients over lambda, the largest of them named where they end.

    The others are thin and grey; those that are 0 at every lambda are not drawn.

    Args:
        path: one path, or a cross-validation, whose path is drawn with its two choices marked.
        feature_names: (n_features,) names; by default those of the path, or x0, x1, ...
        scale: (n_features,) standard deviations of the features, by which coefficients are
            multiplied so that they compare.
        marks: lambdas to mark, by the text beside each.
        n_labels: how many coefficients are named at most, those that are largest anywhere on the
            path; fewer where the axis is too low for so many names.
        axis: where to draw; by default in a figure of its own.

    Raises:
        TypeError: if `path` is neither of the two.
        ValueError: if it holds several responses, or another argument does not fit it.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import lasso_path
        >>> X = np.random.default_rng(0).normal(size=(50, 3))
        >>> figure = plot_path(lasso_path(X, X[:, 0] - X[:, 2]), feature_names=["age", "bmi", "bp"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['bp', 'age']
    """
    if isinstance(path, CrossValidation):
        _check_single(path)
        marks = _choices(path) if marks is None else marks
        path = path.path
    if not isinstance(path, Path):
        raise TypeError(f"plot_path draws a Path or a CrossValidation, not {type(path).__name__}.")
    if path.coef.ndim != 2:
        raise ValueError(
            f"These are several paths, {path.coef.shape[:-2]}; take one of them, the first with "
            f"path.select({', '.join('0' * (path.coef.ndim - 2))})."
        )
    names = _names(path, feature_names)
    coef = path.coef if scale is None else path.coef * _scale(scale, path.coef.shape[1])
    if n_labels < 0:
        raise ValueError(f"n_labels must be at least 0, got {n_labels}.")
    texts = check_marks(path.lambdas, marks or {})
    axis = _axis_or_new(axis, height=4.0 + 0.15 * max(0, min(n_labels, len(names)) - 16))
    x = strengths(axis, path.lambdas)
    size = np.abs(coef).max(axis=0)
    rank = np.argsort(-size, kind="stable")[: np.count_nonzero(size)]
    above = counts_above(axis, x, path.coef)
    unit = "(units of the data)" if scale is None else "per standard deviation"
    axis.set_ylabel(f"coefficient {unit}")
    low, high = coef.min(initial=0.0), coef.max(initial=0.0)
    room = 0.05 * (high - low) or 1.0
    axis.set_ylim(low - room, high + room)
    height = _height(axis)
    named, rest = np.split(rank, [min(n_labels, int(height / _LINE_HEIGHT))])
    dots = "o" if len(x) == 1 else None
    # Over the curves: those that are 0 would be a stripe of many colours.
    axis.axhline(0, color="0.4", lw=1.5, zorder=2.5)
    if len(rest):
        above.set_text(f"{above.get_text()} (the {len(named)} largest are named)")
        curves = [np.column_stack([x, coef[:, j]]) for j in rest]
        axis.add_collection(LineCollection(curves, colors="0.75", linewidths=0.7, zorder=1))
        if dots:
            axis.plot(np.repeat(x, len(rest)), coef[0, rest], dots, color="0.75", ms=3, zorder=1)
    if not len(rank):
        axis.annotate(
            "every coefficient is 0",
            (x[0], 0),
            (0, 4),
            textcoords="offset points",
            ha="right",
            color="0.4",
        )
    for place, j in enumerate(named):
        axis.plot(
            x,
            coef[:, j],
            color=CYCLE[place % len(CYCLE)],
            ls=DASHES[place // len(CYCLE) % len(DASHES)],
            lw=1.5,
            marker=dots,
            label=names[j],
        )
    ends = [(coef[-1, j], names[j], CYCLE[i % len(CYCLE)]) for i, j in enumerate(named)]
    _name_ends(axis, x[-1], sorted(ends), height, left=0.45 if dots else 0.0)
    mark(axis, texts, x, coef[:, rank].T)
    return _figure(axis)


def plot_cross_validation(cv: CrossValidation, *, axis: Axes | None = None) -> Figure:
    """Return the mean error over lambda, one curve per `l1_ratio`, with the two choices marked.

    The chosen mix has a band of one standard error to either side and, up to 20 folds, the curve
    of every fold; the numbers of coefficients above are its own.

    Args:
        cv: of one response.
        axis: where to draw; by default in a figure of its own.

    Raises:
        TypeError: if `cv` is something else.
        ValueError: if it holds several responses.

    Example:
        >>> import numpy as np
        >>> from regjax.paths import lasso_cv
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(50, 3))
        >>> figure = plot_cross_validation(lasso_cv(X, X[:, 0] + rng.normal(size=50), folds=4))
        >>> figure.axes[0].get_legend_handles_labels()[1]
        ['each fold', 'mean of 4 folds', 'one standard error']
    """
    if not isinstance(cv, CrossValidation):
        raise TypeError(f"plot_cross_validation draws a CrossValidation, not {type(cv).__name__}.")
    _check_single(cv)
    axis = _axis_or_new(axis, height=4.0)
    x = strengths(axis, cv.lambdas)
    chosen = int(np.flatnonzero(cv.l1_ratios == cv.l1_ratio)[0])
    several = len(cv.l1_ratios) > 1
    above = counts_above(axis, x[chosen], cv.path.coef)
    if several:
        above.set_text(f"{above.get_text()} (l1_ratio = {cv.l1_ratio:g})")
    axis.set_ylabel("mean squared error of test rows\n(squared units of the response)")
    folds, mean, spread = cv.fold_errors[chosen], cv.mean_error[chosen], cv.standard_error[chosen]
    dots = "o" if x.shape[1] == 1 else None
    curves = mean[None]
    if 1 < len(folds) <= _FOLDS_DRAWN:
        curves = np.vstack([curves, folds])
        for label, fold in zip(["each fold"] + [None] * len(folds), folds, strict=False):
            axis.plot(x[chosen], fold, color="0.75", lw=0.7, marker=dots, zorder=1, label=label)
    of_folds = f"mean of {len(folds)} folds" if len(folds) else "generalised cross-validation"
    for i, ratio in enumerate(cv.l1_ratios):
        name = f"l1_ratio = {ratio:g}" + " (chosen)" * (i == chosen)
        axis.plot(
            x[i],
            cv.mean_error[i],
            color=CYCLE[i % len(CYCLE)],
            ls="-" if i == chosen else DASHES[1 + i % (len(DASHES) - 1)],
            lw=2.0 if i == chosen else 1.3,
            label=name if several else of_folds,
            marker=dots,
        )
    if np.isfinite(spread).all():
        draw = axis.vlines if dots else axis.fill_between
        draw(
            x[chosen],
            mean - spread,
            mean + spread,
            color=CYCLE[chosen % len(CYCLE)],
            alpha=0.2,
            lw=8 if dots else 0,
            label="one standard error",
        )
    if cv.mean_error.max() > 100 * cv.mean_error.min() > 0:
        axis.set_yscale("log")
    mark(axis, check_marks(cv.lambdas[chosen], _choices(cv)), x[chosen], curves)
    axis.legend(
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axis.transAxes
        + ScaledTranslation(0, -_BELOW_LABEL / 72, _figure(axis).dpi_scale_trans),
        ncols=3,
        frameon=False,
    )
    return _figure(axis)


def _check_single(cv: CrossValidation) -> None:
    if cv.lambdas.ndim != 2:
        raise ValueError(
            f"This is the cross-validation of {len(cv.lambdas)} responses; cross-validate the one "
            "to draw, y[:, j], alone."
        )


def _choices(cv: CrossValidation) -> dict[str, float]:
    return {"least error": cv.lambda_, "one standard error": cv.lambda_1se}


def _names(path: Path, given: Sequence[str] | None) -> list[str]:
    n_features = path.coef.shape[1]
    names = path.feature_names if given is None else given
    if names is None:
        return [f"x{j}" for j in range(n_features)]
    if len(names) != n_features:
        raise ValueError(f"There are {len(names)} feature_names for {n_features} coefficients.")
    return [str(name) for name in names]


def _scale(given: Any, n_features: int) -> np.ndarray:
    scale = np.asarray(given, dtype=np.float64)
    if scale.shape != (n_features,) or not (np.isfinite(scale) & (scale >= 0)).all():
        raise ValueError(
            f"scale must be ({n_features},) standard deviations, one a feature, finite and at "
            "least 0."
        )
    return scale


def _figure(axis: Axes) -> Figure:
    """Return the figure of an axis, also where that stands in a figure within another."""
    return axis.figure.canvas.figure


def _axis_or_new(axis: Axes | None, height: float) -> Axes:
    if axis is None:
        axis = panels(1, width=6.0, height=height)[1][0]
    axis.spines[["top", "right"]].set_visible(False)
    return axis


def _height(axis: Axes) -> float:
    """Return the height of an axis in points, as its figure is laid out now."""
    figure = _figure(axis)
    figure.draw_without_rendering()
    return float(axis.bbox.height * 72 / figure.dpi)


def _name_ends(
    axis: Axes, x: float, ends: list[tuple[float, str, str]], height: float, left: float
) -> None:
    """Name the curves that end at `x` left of it, and make room for the names.

    Args:
        ends: rising value, name and colour of every curve.
        height: of the axis in points.
        left: where names end, as a share of the axis; at 0 the vertical axis moves further left.
    """
    low, high = axis.get_ylim()
    wanted = np.array([(value - low) / (high - low) * height for value, _, _ in ends])
    width = 0.0
    for (value, name, color), place in zip(ends, _spread(wanted, height), strict=True):
        label = axis.annotate(
            short(name),
            (x, value),
            (left, place / height),
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=SMALL,
            color=color,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "lw": 0.6,
                "relpos": (1, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        # An annotation's own extent would include the line to the end of the curve.
        width = max(width, Text.get_window_extent(label).width * 72 / _figure(axis).dpi)
    if ends and left == 0:
        axis.spines["left"].set_position(("outward", width + 6))


def _spread(wanted: np.ndarray, height: float, gap: float = _LINE_HEIGHT) -> np.ndarray:
    """Return the places in [0, height] nearest to rising `wanted` that stand `gap` apart."""
    steps = gap * np.arange(len(wanted))
    # Less the steps, the places need only rise: the nearest that do are means of neighbours.
    blocks: list[list[float]] = []
    for value in wanted - steps:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    rising = np.array([np.mean(block) for block in blocks for _ in block])
    return np.clip(rising, gap / 2, height - gap / 2 - steps.max(initial=0.0)) + steps
