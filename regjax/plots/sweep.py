"""Figures of a sweep."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regjax.plots._heat_map import heat_map
from regjax.plots._style import (
    BLACK,
    BLUE,
    CYCLE,
    DASHES,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    panels,
    short,
)
from regjax.plots.geometry import entry_strength, geometry

if TYPE_CHECKING:
    from regjax.sweeps import SweepResult

_LAMBDA = "strength $\\lambda$"
_NAMED_PATHS = 8


def loss_over_lambda(result: SweepResult) -> Figure:
    """Return training and validation loss over the strength, one panel per model.

    Means over seeds with one standard error. Both choices of the strength are marked; the
    strengths at which the model over- or underfits are shaded.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> [axis.get_title() for axis in regjax.plots.loss_over_lambda(result).axes]
        ['ridge', 'lasso', 'elastic net']
    """
    names = list(result.entries)
    figure, axes = panels(len(names), width=4.2, height=3.6)
    for axis, name in zip(axes, names, strict=True):
        rows = _rows(result, name)
        positive = rows["lambda_"] > 0
        x = rows["lambda_"][positive]
        if x.size == 0:
            raise ValueError(f"The sweep of {name} has no strength above 0 to draw.")
        for part, color, dash in (("train", ORANGE, "--"), ("validation", BLUE, "-")):
            mean = rows[f"{part}_loss"][positive]
            error = rows[f"{part}_loss_se"][positive]
            axis.plot(x, mean, dash, color=color, marker="o", ms=3, label=part)
            axis.fill_between(x, mean - error, mean + error, color=color, alpha=0.2, lw=0)
        if not positive.all():
            axis.axhline(
                rows["validation_loss"][~positive][0],
                color="0.45",
                ls=":",
                label="validation, no penalty",
            )
        choice = next(row for row in result.choices().to_dicts() if row["model"] == name)
        title = result.entries[name].label
        for column, dash, label in (
            ("lambda_min", "-", "minimum"),
            ("lambda_1se", "--", "one standard error"),
        ):
            chosen = choice[column]
            if chosen:
                axis.axvline(chosen, color=GREEN, ls=dash, lw=1.2, label=label)
            elif chosen == 0:
                title += f"\n{label}: no penalty"
        _shade_verdicts(axis, x, rows["verdict"][positive])
        _log_strengths(axis, x)
        axis.set_title(title)
        axis.set_xlabel(_LAMBDA)
    losses = np.concatenate([_rows(result, name)["validation_loss"] for name in names])
    if np.nanmax(losses) > 100 * np.nanmin(losses):
        for axis in axes:
            axis.set_yscale("log")
    axes[0].set_ylabel(_loss_label(result))
    _legend_below(figure, axes[0])
    return figure


def loss_over_rate_and_lambda(result: SweepResult) -> Figure:
    """Return the validation loss over strength and learning rate, one panel per perceptron.

    Means over seeds; the best pair is marked, pairs that diverged stay empty. A strength of 0 has
    a row of its own at the bottom.

    Example:
        >>> import regjax
        >>> mlp = regjax.sweeps.MLPOptions(hidden=4, epochs=2, learning_rate=(0.01, 0.1))
        >>> result = regjax.sweep("diabetes", models="mlp_l2", lambdas=[0, 0.1], seeds=1, mlp=mlp)
        >>> regjax.plots.loss_over_rate_and_lambda(result).axes[0].get_xlabel()
        'learning rate'
    """
    names = [name for name, entry in result.entries.items() if entry.rates]
    if not names:
        raise ValueError("This sweep has a single learning rate: sweep several.")
    figure, axes = panels(len(names), width=4.6, height=4.2)
    summary = result.summary()
    for axis, name in zip(axes, names, strict=True):
        rows = summary.filter(summary["model"] == name)
        best = result.best()[name]
        heat_map(
            axis,
            rows["learning_rate"].to_numpy(),
            rows["lambda_"].to_numpy(),
            rows["validation_loss"].cast(float).to_numpy(),
            mark=(best.learning_rate, best.lambda_),
            label=_loss_label(result),
        )
        axis.set(title=result.entries[name].label, xlabel="learning rate", ylabel=_LAMBDA)
    return figure


def weight_distributions(result: SweepResult) -> Figure:
    """Return the weights without a penalty, with L1 and with L2, each at its chosen strength.

    Few weights are drawn one by one, many as a histogram; exact zeros are counted. The
    panels of L1 and L2 share their scale; the one without a penalty has its own.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> len(regjax.plots.weight_distributions(result).axes)
        2
    """
    lanes = _distribution_lanes(result)
    figure, axes = panels(len(lanes), width=4.0, height=3.4)
    size = max(weights.size for _, weights in lanes)
    largest = max(np.abs(weights).max() for _, weights in lanes)
    features = result.data.encoding.feature_names
    for axis, (title, weights), color in zip(axes, lanes, (BLACK, RED, BLUE), strict=False):
        zeros = np.mean(weights == 0)
        axis.set_title(f"{title}\n{zeros:.0%} exact zeros", fontsize=11)
        if size <= 100:
            x = np.arange(weights.size)
            axis.vlines(x, 0, weights, color=color, lw=1.5)
            axis.plot(x[weights != 0], weights[weights != 0], "o", color=color, ms=3.5)
            axis.plot(x[weights == 0], weights[weights == 0], "o", mfc="w", color=color, ms=3.5)
            axis.axhline(0, color="0.6", lw=0.8)
            if len(features) == size <= 12:
                axis.set_xticks(x, list(map(short, features)), rotation=60, ha="right", fontsize=8)
            else:
                axis.set_xlabel("weight number")
        else:
            edges = np.linspace(-largest, largest, 81)
            axis.hist(weights[weights != 0], edges.tolist(), color=color, alpha=0.8)
            if zeros > 0:
                axis.plot([0, 0], [0.5, np.sum(weights == 0)], "-", color=color, lw=1.5)
                axis.plot([0], [np.sum(weights == 0)], "v", color=color, ms=8)
            axis.set_yscale("log")
            axis.set_ylim(bottom=0.7)
            axis.set_xlabel("weight")
    penalised = axes[-2:] if len(lanes) == 3 else axes
    low = min(axis.get_ylim()[0] for axis in penalised)
    high = max(axis.get_ylim()[1] for axis in penalised)
    for axis in penalised:
        axis.set_ylim(low, high)
    few = size <= 100
    axes[0].set_ylabel("weight (standardised features)" if few else "number of weights")
    return figure


def coefficient_paths(result: SweepResult) -> Figure:
    """Return the coefficients of the linear models over the strength, one panel per model.

    They belong to standardised features, and to the first seed; of a classification, to
    its last class. The largest at the chosen strengths are named.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> regjax.plots.coefficient_paths(result).axes[1].get_title()
        'lasso'
    """
    names = [name for name, entry in result.entries.items() if entry.is_linear]
    if not names:
        raise ValueError("Coefficient paths are drawn for linear models; this sweep has none.")
    figure, axes = panels(len(names), width=4.6, height=4.0, sharey=True)
    features = result.data.encoding.feature_names
    paths = {name: result.lane_params[name]["weights"][0] for name in names}
    paths = {name: path if path.ndim == 2 else path[:, :, -1] for name, path in paths.items()}
    # One ranking for all panels, so that a feature looks the same in each; and one scale,
    # that of the strengths around the choice: far below it, coefficients can explode.
    lanes = {name: np.asarray(result.entries[name].lambdas) for name in names}
    best = {name: choice.lambda_ for name, choice in result.best().items()}
    chosen = [np.abs(paths[name][lanes[name] == best[name]][0]) for name in names]
    rank = np.argsort(-np.max(chosen, axis=0), kind="stable")
    near = [np.abs(paths[name][lanes[name] >= best[name] / 10]).max() for name in names]
    for axis, name in zip(axes, names, strict=True):
        strengths = lanes[name]
        order = np.argsort(strengths)
        order = order[strengths[order] > 0]
        for place, j in enumerate(rank):
            named = place < _NAMED_PATHS
            axis.plot(
                strengths[order],
                paths[name][order, j],
                color=CYCLE[place % len(CYCLE)] if named else "0.75",
                ls=DASHES[place // len(CYCLE) % len(DASHES)],
                lw=1.5 if named else 0.7,
                zorder=2 if named else 1,
                label=short(features[j]) if named else None,
            )
        _mark_chosen(axis, result, name)
        axis.axhline(0, color="0.4", lw=0.8)
        _log_strengths(axis, strengths[order])
        axis.set_xlabel(_LAMBDA)
        axis.set_title(result.entries[name].label)
    largest = max(1.15 * max(near), 1e-3)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(max(low, -largest), min(high, largest))
    label = "coefficient (standardised features)"
    if result.data.encoding.task == "classification":
        label += f"\nof the class {short(result.data.encoding.classes[-1])}"
    axes[0].set_ylabel(label)
    _legend_below(figure, axes[0])
    return figure


def sparsity_and_condition(result: SweepResult) -> Figure:
    """Return the share of exact zeros and the condition number over the strength.

    The condition number is that of `X'X / n` plus the L2 part of the strength; perceptrons
    have none, and then the figure has one panel.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> regjax.plots.sparsity_and_condition(result).axes[0].get_ylabel()
        'exact zeros (% of weights)'
    """
    linear = [name for name, entry in result.entries.items() if entry.is_linear]
    figure, axes = panels(2 if linear else 1, width=4.8, height=3.6)
    for place, name in enumerate(result.entries):
        style: dict[str, Any] = {
            "color": CYCLE[place % len(CYCLE)],
            "ls": DASHES[place % len(DASHES)],
            "marker": "osD^v>"[place % 6],
            "ms": 3.5,
            "label": result.entries[name].label,
        }
        rows = _rows(result, name)
        positive = rows["lambda_"] > 0
        x = rows["lambda_"][positive]
        axes[0].plot(x, 100 * rows["zero_share"][positive], **style)
        if name in linear:
            condition = rows["condition_number"][positive]
            axes[1].plot(x, np.where(np.isfinite(condition), condition, np.nan), **style)
    strengths = np.concatenate([entry.lambdas for entry in result.entries.values()])
    for axis in axes:
        _log_strengths(axis, strengths[strengths > 0])
    axes[0].set(xlabel=_LAMBDA, ylabel="exact zeros (% of weights)", ylim=(-3, 103))
    axes[0].legend(fontsize=8)
    if linear:
        axes[1].set(
            yscale="log",
            xlabel=_LAMBDA,
            ylabel="condition number of $X^TX/n + \\lambda_2 I$",
        )
    return figure


def result_geometry(result: SweepResult) -> Figure:
    """Return `geometry` for two features of a regression, which and the response are standardized.

    The first is the one of largest correlation with the response; the second is the one
    that the lasso takes in nearest to 0.4 of the strength at which it takes in the first,
    so that the corner of the diamond shows.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> figure = regjax.plots.result_geometry(result)
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('bmi (standardized)', 's6 (standardized)')
    """
    if result.data.encoding.task != "regression" or result.data.X.shape[1] < 2:
        raise ValueError("The geometry is drawn for a regression with at least two features.")
    X = result.data.X - result.data.X.mean(axis=0)
    scale = X.std(axis=0)
    X = X / np.where(scale > 0, scale, 1)
    y = result.data.y - result.data.y.mean()
    first = int(np.argmax(np.abs(X.T @ y)))
    y = y / y.std()
    others = [j for j in np.flatnonzero(scale > 0).tolist() if j != first]
    share = [
        abs(entry_strength(X[:, [first, j]], y) / np.abs(X[:, first] @ y / len(y)) - 0.4)
        for j in others
    ]
    pair = [first, others[int(np.argmin(share))]]
    names = [f"{short(result.data.encoding.feature_names[j])} (standardized)" for j in pair]
    return geometry(X[:, pair], y, feature_names=names)


def save_figures(result: SweepResult, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Write every figure that fits the sweep to `folder` as PNG and return their paths.

    Example:
        >>> import tempfile, regjax
        >>> result = regjax.sweep("diabetes", models="lasso", lambdas=[0.1, 1.0], seeds=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     len(regjax.plots.save_figures(result, folder))
        5
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawings = []
    if all(max(entry.lambdas) > 0 for entry in result.entries.values()):
        drawings += [loss_over_lambda, sparsity_and_condition]
        if any(entry.is_linear for entry in result.entries.values()):
            drawings.append(coefficient_paths)
    if any(entry.rates for entry in result.entries.values()):
        drawings.append(loss_over_rate_and_lambda)
    if _distribution_lanes(result):
        drawings.append(weight_distributions)
    varying = int(np.sum(np.ptp(result.data.X, axis=0) > 0))
    if result.data.encoding.task == "regression" and varying >= 2:
        drawings.append(result_geometry)
    paths = []
    for draw in drawings:
        path = folder / f"{draw.__name__.removeprefix('result_')}.png"
        draw(result).savefig(path, dpi=150)
        paths.append(path)
    return paths


def _loss_label(result: SweepResult) -> str:
    if result.data.encoding.task == "regression":
        return "loss (mean squared error / 2,\nresponse standardised)"
    return "loss (cross-entropy, nats)"


def _rows(result: SweepResult, name: str) -> dict[str, np.ndarray]:
    """Return the columns of a model's summary, and its verdicts, by rising strength."""
    rows = result.curve(name)
    order = np.argsort(rows["lambda_"].to_numpy())
    columns = {column: rows[column].to_numpy()[order] for column in rows.columns}
    return columns | {"verdict": np.array(result.verdicts(name))[order]}


def _shade_verdicts(axis: Axes, x: np.ndarray, verdicts: np.ndarray) -> None:
    edges = np.sqrt(x[1:] * x[:-1])
    first, last = (x[0], x[-1]) if x.size > 1 else (x[0] / 2, 2 * x[0])
    left, right = np.r_[first, edges], np.r_[edges, last]
    for verdict, color in (("overfitting", RED), ("underfitting", PURPLE)):
        for start, stop in _runs(verdicts == verdict):
            low, high = left[start], right[stop - 1]
            axis.axvspan(low, high, color=color, alpha=0.10, lw=0)
        if (verdicts == verdict).any():
            start, stop = max(_runs(verdicts == verdict), key=lambda run: run[1] - run[0])
            axis.text(
                np.sqrt(left[start] * right[stop - 1]),
                0.99,
                verdict,
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=8,
                color=color,
            )


def _log_strengths(axis: Axes, x: np.ndarray) -> None:
    """Set a logarithmic axis over positive strengths, with room around a single one."""
    axis.set_xlim(x.min() / 1.5, 1.5 * x.max())
    axis.set_xscale("log")


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and stop of every stretch of True."""
    turns = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(int)))
    return list(zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True))


def _mark_chosen(axis: Axes, result: SweepResult, name: str) -> None:
    chosen = result.best()[name].lambda_
    if chosen > 0:
        axis.axvline(chosen, color=GREEN, lw=1.2)


def _legend_below(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def _distribution_lanes(result: SweepResult) -> list[tuple[str, np.ndarray]]:
    """Return (title, weights) without penalty, with L1 and with L2, as far as swept."""
    by_penalty = {entry.penalty: name for name, entry in reversed(result.entries.items())}
    found: list[tuple[str, str, float]] = []
    for penalty in ("L1", "L2"):
        if penalty in by_penalty:
            name = by_penalty[penalty]
            found.append((penalty, name, result.best()[name].lambda_))
    for _, name, _ in found[:1]:
        if 0.0 in result.entries[name].lambdas:
            found.insert(0, ("no penalty", name, 0.0))
    lanes = []
    for title, name, strength in found:
        lane = result.entries[name].lambdas.index(strength)
        tree = _lane(result.lane_params[name], lane)
        arrays = result.entries[name].model.penalized_weights(tree)
        weights = np.concatenate([np.asarray(array).ravel() for array in arrays])
        label = title if title == "no penalty" else f"{title}, $\\lambda$ = {strength:.3g}"
        lanes.append((label, weights))
    return lanes


def _lane(params: Any, lane: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[0, lane], params)
