"""The lasso path of the diabetes data, knot by knot, and the paths of ridge and elastic net."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report import Claim, Record
from regjax.datasets import load_dataset
from regjax.paths import elastic_net_path


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.diabetes_path`, about 2 s on 2 cores.

    Strengths are those of `RSS / 2 + lambda_ ||b||_1` with columns of unit norm, as in the paper;
    for ridge of `RSS / 2 + lambda_ ||b||^2 / 2`. Coefficients are in the hundreds there, so that
    the elastic net is ridge, or nearly, unless its mix is next to 1.
    """

    seed: int = 0
    n_lambdas: int = 4000
    least: float = 1e-4
    elastic_net: float = 0.998


# Efron, Hastie, Johnstone and Tibshirani (2004) show who enters or leaves in a figure; at which
# strengths, and where the path ends, is from scikit-learn's `lars_path`, which is their algorithm.
EVENTS = "bmi in, s5 in, bp in, s3 in, sex in, s6 in, s1 in, s4 in, s2 in, age in, s3 out, s3 in"
KNOTS = [949.435, 889.314, 452.896, 316.073, 130.130, 88.784]
KNOTS += [68.965, 19.981, 5.478, 5.088, 2.182, 1.310]
END = [-10.010, -239.816, 519.846, 324.385, -792.176, 476.739, 101.043, 177.063, 751.274, 67.627]

RTOL = 1e-6


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return the paths of lasso, elastic net and ridge, and where a variable enters or leaves.

    `key` is not used: nothing here is random.
    """
    X, y, names = unit_columns()
    largest = np.max(np.abs(X.T @ y))
    records = []
    for family, l1_ratio in (("lasso", 1.0), ("elastic net", config.elastic_net), ("ridge", 0.0)):
        # Ridge has no strength that leaves nothing: it starts where next to nothing is left.
        ends = largest / (l1_ratio or 1.0), config.least
        strengths = np.append(np.geomspace(*ends, config.n_lambdas), 0.0)
        coef = _path(X, y, strengths, l1_ratio)
        changes = _changes(coef) if l1_ratio else []
        events = [f"{names[j]} {event}" for _, j, event in changes]
        knots = [_knot(X, y, l1_ratio, j, event, strengths[k : k + 2]) for k, j, event in changes]
        kept = np.unique(np.linspace(0, config.n_lambdas, 400).astype(int))
        records.append(
            {
                "path": family,
                "steps": len(changes),
                "events": events,
                "knots": [round(knot, 6) for knot in knots],
                "norms": [round(float(np.abs(coef[k]).sum()), 4) for k, _, _ in changes],
                "names": names,
                "coef": coef[kept].round(4).tolist(),
            }
        )
    return records


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what the paper, its algorithm and theory say of the three paths."""
    lasso, mixed, ridge = records
    events, published = lasso["events"], EVENTS.split(", ")
    # Knots of other events than the published ones have nothing to be compared with.
    error = np.max(np.abs(np.subtract(lasso["knots"], KNOTS))) if events == published else np.inf
    apart = max(np.max(np.abs(np.subtract(r["coef"][-1], END))) for r in records)
    return [
        Claim(
            "the lasso's steps, in order", EVENTS, ", ".join(events), "none", events == published
        ),
        Claim(
            "largest distance of a knot from LARS's",
            "0",
            f"{error:.1e}",
            f"{_ROUNDING:g}, the digits LARS's are written with",
            bool(error <= _ROUNDING),
        ),
        Claim(
            "largest distance from least squares where the three paths end",
            "0",
            f"{apart:.1e}",
            f"{_ROUNDING:g}, as above",
            bool(apart <= _ROUNDING),
        ),
        Claim(
            "ridge has every variable in at once, the elastic net lets them in step by step",
            "steps: ridge 0, elastic net above 0",
            f"{ridge['steps']}, {mixed['steps']}",
            "none",
            ridge["steps"] == 0 < mixed["steps"],
        ),
    ]


# Half a unit of the last digit, and what a knot or a coefficient may be off itself.
_ROUNDING = 6e-4


def unit_columns() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the data with columns centred and of norm 1, the centred response, and the names."""
    frame, target = load_dataset("diabetes")
    features = frame.drop(target)
    X, y = features.to_numpy().astype(float), frame[target].to_numpy().astype(float)
    X = X - X.mean(axis=0)
    return X / np.linalg.norm(X, axis=0), y - y.mean(), features.columns


def _path(X: np.ndarray, y: np.ndarray, strengths: np.ndarray, l1_ratio: float) -> np.ndarray:
    """Return coefficients (n_lambdas, n_features) at strengths of `RSS / 2 + lambda_ penalty`."""
    path = elastic_net_path(X, y, l1_ratio=l1_ratio, lambdas=strengths / len(y), tol=1e-12)
    return path.coef


def _changes(coef: np.ndarray) -> list[tuple[int, int, str]]:
    """Return after which strength which variable enters ("in") or leaves ("out")."""
    active = coef != 0
    changes = np.argwhere(active[1:] != active[:-1]).tolist()
    return [(k, j, "in" if active[k + 1, j] else "out") for k, j in changes]


def _knot(
    X: np.ndarray, y: np.ndarray, l1_ratio: float, j: int, event: str, around: np.ndarray
) -> float:
    """Return the strength, between two, at which coefficient `j` becomes 0.

    Between two knots the lasso is linear in lambda: the line through two solutions on the side
    where `j` is in leads there. For the elastic net it is the tangent, nearly.
    """
    above, below = around
    apart = (above - below) / 100
    pair = [below, below - apart] if event == "in" else [above + apart, above]
    first, second = _path(X, y, np.array(pair), l1_ratio)[:, j]
    return float(pair[0] - first * (pair[1] - pair[0]) / (second - first))


_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_DASHES = ("-", "--")


def draw(records: Sequence[Record]) -> Figure:
    """Return the three paths over the norm of the coefficients, the knots of the lasso marked."""
    figure = Figure(figsize=(12.6, 4.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for axis, record in zip(axes, records, strict=True):
        _draw_path(axis, record)
    axes[0].set_ylabel("coefficient, per column of unit norm")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=10, frameon=False)
    return figure


def _draw_path(axis: Axes, record: Record) -> None:
    coef = np.array(record["coef"])
    norm = np.abs(coef).sum(axis=1)
    order = np.argsort(norm)
    for j, name in enumerate(record["names"]):
        style = {"color": _COLORS[j % 5], "ls": _DASHES[j // 5]}
        axis.plot(norm[order], coef[order, j], lw=1.6, label=name, **style)
    axis.axhline(0, color="0.7", lw=0.7, zorder=0)
    at_top = axis.get_xaxis_transform()
    axis.vlines(record["norms"], 0.97, 1.0, color="0.3", lw=1, transform=at_top)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set(title=record["path"], xlabel="$||b||_1$", xlim=(0, None))
