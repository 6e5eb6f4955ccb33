"""The geometry of L1 and L2 on two features: balls, contours, solutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from regjax._inputs import as_matrix, as_response
from regjax.plots._style import BLACK, BLUE, RED, SKY, panels
from regjax.regression import LassoRegression, RidgeRegression


def geometry(
    X: Any,
    y: Any,
    lambda_: float | None = None,
    feature_names: Sequence[str] = ("$w_1$", "$w_2$"),
) -> Figure:
    """Return the diamond and the circle with the loss contours they touch, for two features.

    Both panels show the least-squares loss `||y - X w - b||^2 / (2 n)` of the data as given, at
    its best intercept b: the weights are those of `lasso_path` and `ridge_path`. Each ball is the
    one that touches the solution at the same strength: `sum |w| = sum |w_lasso|` and
    `||w|| = ||w_ridge||`. It is not 1 / lambda. Standardize features of unlike units first, and
    say so in `feature_names`.

    Args:
        X: (n_samples, 2).
        y: (n_samples,).
        lambda_: strength, as in `lasso_path`; by default one at which the lasso keeps one
            feature, a fifth of the way from where it loses the second to where it loses both.
        feature_names: labels of the two axes.

    Raises:
        ValueError: if X has not two columns that vary, or y is constant.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = geometry(X, 2 * X[:, 0] + X[:, 1], lambda_=0.5)
        >>> [axis.get_title() for axis in figure.axes]
        ['lasso: $|w_1| + |w_2|$', 'ridge: $w_1^2 + w_2^2$']
    """
    X = as_matrix(X).astype(np.float64)
    y = as_response(y, len(X), X.dtype)
    if X.shape[1] != 2 or (np.ptp(X, axis=0) == 0).any() or np.ptp(y) == 0:
        raise ValueError("geometry takes two features that vary and a response that varies.")
    X, y = X - X.mean(axis=0), y - y.mean()
    if lambda_ is None:
        lambda_ = _corner_strength(X, y)
    gram, cross = X.T @ X / len(y), X.T @ y / len(y)
    least_squares = np.linalg.lstsq(gram, cross, rcond=None)[0]
    lasso = LassoRegression(lambda_, "auto").fit(X, y).get_weights()
    ridge = RidgeRegression(lambda_, "auto").fit(X, y).get_weights()

    figure, axes = panels(2, width=4.6, height=4.4, sharey=True)
    reach = 1.5 * max(np.abs(least_squares).max(), np.abs(lasso).sum(), np.linalg.norm(ridge))
    line = np.linspace(-reach, reach, 201)
    w1, w2 = np.meshgrid(line, line)
    excess = _quadratic(w1 - least_squares[0], w2 - least_squares[1], gram)
    angle = np.linspace(0, 2 * np.pi, 200)
    radius = np.abs(lasso).sum()
    diamond = radius * np.array([[1, 0, -1, 0, 1], [0, 1, 0, -1, 0]])
    circle = np.linalg.norm(ridge) * np.array([np.cos(angle), np.sin(angle)])
    for axis, ball, w, title in (
        (axes[0], diamond, lasso, "lasso: $|w_1| + |w_2|$"),
        (axes[1], circle, ridge, "ridge: $w_1^2 + w_2^2$"),
    ):
        touching = _quadratic(w[0] - least_squares[0], w[1] - least_squares[1], gram)
        levels = touching * np.array([0.1, 0.4, 1.0, 2.0, 3.5, 5.5])
        axis.contour(w1, w2, excess, np.unique(levels), colors="0.6", linewidths=0.8)
        axis.contour(w1, w2, excess, [touching], colors=BLACK, linewidths=1.4)
        axis.fill(*ball, color=SKY, alpha=0.35)
        axis.plot(*ball, color=BLUE)
        axis.plot(*least_squares, "s", color=BLACK, label="least squares")
        axis.plot(*w, "o", color=RED, ms=8, label=f"solution ({w[0]:.2f}, {w[1]:.2f})")
        axis.axhline(0, color="0.4", lw=0.6)
        axis.axvline(0, color="0.4", lw=0.6)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=feature_names[0], title=title)
        axis.set_aspect("equal")
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    axes[0].set_ylabel(feature_names[1])
    figure.suptitle(f"loss contours and the ball that touches, $\\lambda$ = {lambda_:.3g}")
    return figure


def _quadratic(a: Any, b: Any, gram: np.ndarray) -> Any:
    """Return the loss in excess of its minimum at the displacement (a, b)."""
    return (gram[0, 0] * a**2 + 2 * gram[0, 1] * a * b + gram[1, 1] * b**2) / 2


def _corner_strength(X: np.ndarray, y: np.ndarray) -> float:
    largest = np.abs(X.T @ y / len(y)).max()
    enters = entry_strength(X, y)
    return float(enters + 0.2 * (largest - enters))


def entry_strength(X: np.ndarray, y: np.ndarray) -> float:
    """Return the strength at which the lasso takes in the second of two centered features."""
    cross = X.T @ y / len(y)
    first = int(np.argmax(np.abs(cross)))
    largest = np.abs(cross[first])
    # On the first segment the coefficient is sign * (largest - l) / variance, and the other
    # feature's correlation with the residual is linear in l; it enters where that is l or -l.
    slope = np.sign(cross[first]) * (X[:, 0] @ X[:, 1]) / (X[:, first] @ X[:, first])
    start = cross[1 - first] - slope * largest
    with np.errstate(divide="ignore", invalid="ignore"):
        entries = np.array([start / (1 - slope), -start / (1 + slope)])
    inside = entries[(entries > 0) & (entries < largest)]
    return float(inside.max(initial=0.0))
