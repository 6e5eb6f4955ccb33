"""What a sweep returns: the table of lanes, the choice of a strength, the refitted models."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import polars as pl

from regjax.diagnostics import Verdict, fit_verdicts
from regjax.sweeps.catalog import Entry
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.lanes.outcome import NoFiniteRunError
from regjax.sweeps.model import Params
from regjax.tables import Table

_AXES = ("lambda_", "learning_rate")

Rule = Literal["minimum", "one_standard_error"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A chosen strength with the metric's mean and standard error over seeds.

    `learning_rate` is that of the choice where several were swept, else None.

    `at_edge` tells that it is the strongest of its grid, or the weakest of one without 0.
    """

    model: str
    lambda_: float
    mean: float
    standard_error: float
    at_edge: bool
    learning_rate: float | None = None


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """The outcome of `regjax.sweep`.

    Attributes:
        table: one row per lane in grid order: model, lambda_, learning_rate where several were
            swept, seed, train_loss, validation_loss, train_score, validation_score (R^2 or
            accuracy), weight_norm, zero_share, condition_number, kkt_residual, duality_gap, status;
            what a model does not measure is NaN.
        entries: the models swept.
        data: features and response.
        lane_params: for every model the parameters of its lanes, with leading axes
            (n_seeds, n_lambdas); of several learning rates, those of the chosen one.
        fitted: every model refitted on all rows at the strength that `rule` chose.
        rule: how strengths were chosen for the refit.
        seconds: of every chunk of lanes, and of planning and compiling.
        settings: arguments of the sweep.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> result.table.shape
        (18, 13)
        >>> result.best()["ridge"].lambda_ < 1
        True
        >>> result.verdicts("lasso")[-1]
        'underfitting'
    """

    table: pl.DataFrame
    entries: dict[str, Entry]
    data: Table
    lane_params: dict[str, Params]
    fitted: dict[str, FittedModel]
    rule: Rule
    seconds: pl.DataFrame
    settings: dict[str, Any]

    def summary(self) -> pl.DataFrame:
        """Return mean and standard error over seeds for every model, strength and learning rate.

        The standard error is the standard deviation over the root of the number of seeds,
        null for a single one. Splits of the same rows overlap, so it understates how much
        the loss would vary from sample to sample.
        """
        metrics = [
            name
            for name, dtype in self.table.schema.items()
            if dtype.is_float() and name not in _AXES
        ]
        root = pl.len().sqrt()
        axes = [name for name in _AXES if name in self.table.columns]
        return self.table.group_by("model", *axes, maintain_order=True).agg(
            [pl.col(name).mean() for name in metrics]
            + [(pl.col(name).std() / root).alias(f"{name}_se") for name in metrics]
        )

    def curve(self, model: str, metric: str = "validation_loss") -> pl.DataFrame:
        """Return the rows of `summary` of a model, at its best learning rate if it has several."""
        rows = self.summary().filter(pl.col("model") == model)
        if not self.entries[model].rates:
            return rows
        costs = self._costs(rows, metric)
        best = rows["learning_rate"][int(np.argmin(costs))]
        return rows.filter(pl.col("learning_rate") == best)

    def best(self, metric: str = "validation_loss", rule: Rule | None = None) -> dict[str, Choice]:
        """Return the chosen strength of every model.

        Args:
            metric: a loss, which is minimised, or a score, which is maximised.
            rule: "minimum" for the best mean; "one_standard_error" for the largest
                strength whose mean is within one standard error of it; by default the rule
                of the sweep, by which models were refitted.

        Raises:
            ValueError: for an unknown metric or rule, if no mean of a model is finite, or if
                a single seed tells no standard error.
        """
        return {name: self._choose(name, metric, rule or self.rule) for name in self.entries}

    def verdicts(self, model: str) -> list[Verdict]:
        """Return for every strength of `model`, in the order of `curve`, how it fits."""
        rows = self.curve(model)
        columns = ("lambda_", "validation_loss", "validation_loss_se")
        return fit_verdicts(*(rows[name].cast(pl.Float64).to_numpy() for name in columns))

    def choices(self) -> pl.DataFrame:
        """Return one row per model: both choices, the one of the refit, and the metrics there.

        The one-standard-error choice of a single seed is null.
        """
        minimum = self.best(rule="minimum")
        several = self.table["seed"].n_unique() > 1
        swept = "learning_rate" in self.table.columns
        one_se = self.best(rule="one_standard_error") if several else {}
        rows = []
        for name, choice in self.best().items():
            at = self.curve(name).row(by_predicate=pl.col("lambda_") == choice.lambda_, named=True)
            rate = {"learning_rate": choice.learning_rate} if swept else {}
            rows.append(
                {
                    "model": name,
                    "lambda_min": minimum[name].lambda_,
                    "lambda_1se": one_se[name].lambda_ if several else None,
                    "lambda_chosen": choice.lambda_,
                    **rate,
                    "validation_loss": at["validation_loss"],
                    "validation_loss_se": at["validation_loss_se"],
                    "train_loss": at["train_loss"],
                    "validation_score": at["validation_score"],
                    "zero_share": at["zero_share"],
                    "at_edge": choice.at_edge,
                }
            )
        return pl.DataFrame(rows, schema_overrides={"lambda_1se": pl.Float64})

    def _choose(self, model: str, metric: str, rule: Rule) -> Choice:
        if not metric.endswith(("_loss", "_score")) or metric not in self.table.columns:
            names = [name for name in self.table.columns if name.endswith(("_loss", "_score"))]
            raise ValueError(f"There is no metric {metric!r}; choose one of {', '.join(names)}.")
        if rule not in ("minimum", "one_standard_error"):
            raise ValueError(f"rule must be 'minimum' or 'one_standard_error', got {rule!r}.")
        rows = self.curve(model, metric)
        columns = ("lambda_", metric, f"{metric}_se")
        strengths, means, errors = (rows[name].cast(pl.Float64).to_numpy() for name in columns)
        costs = self._costs(rows, metric)
        if not np.isfinite(costs).any():
            raise NoFiniteRunError(
                f"No {metric} of {model} is finite: its lanes diverged, or too few rows were "
                "held out. Try a smaller learning rate, other strengths or more validation rows."
            )
        index = int(np.argmin(costs))
        if rule == "one_standard_error":
            if not np.isfinite(errors[index]):
                raise ValueError("A single seed tells no standard error: use two seeds or more.")
            within = costs <= costs[index] + errors[index]
            index = int(np.argmax(np.where(within, strengths, -1.0)))
        chosen = float(strengths[index])
        ends = {strengths.max()} if 0 in strengths else {strengths.max(), strengths.min()}
        edge = len(strengths) > 1 and chosen in ends
        rate = rows["learning_rate"][index] if self.entries[model].rates else None
        return Choice(model, chosen, float(means[index]), float(errors[index]), edge, rate)

    @staticmethod
    def _costs(rows: pl.DataFrame, metric: str) -> np.ndarray:
        """Return what is to be small: a loss, or a score with its sign turned."""
        means = rows[metric].cast(pl.Float64).to_numpy()
        sign = -1.0 if metric.endswith("_score") else 1.0
        return np.where(np.isfinite(means), sign * means, np.inf)
