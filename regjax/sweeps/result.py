"""What a sweep returns: the table of lanes, the choice of a strength, the refitted models."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import polars as pl

from regjax.diagnostics import Verdict, fit_verdicts
from regjax.sweeps.catalog import Entry
from regjax.sweeps.fitted import FittedModel
from regjax.sweeps.model import Params
from regjax.tables import Table

Rule = Literal["minimum", "one_standard_error"]

HIGHER_IS_BETTER = ("train_score", "validation_score")
"""Metrics of which `best` takes the largest instead of the smallest."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """A chosen strength with the metric's mean and standard error over seeds.

    `at_edge` tells that it is the weakest or the strongest of its grid.
    """

    model: str
    lambda_: float
    mean: float
    standard_error: float
    at_edge: bool


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """The outcome of `regjax.sweep`.

    Attributes:
        table: one row per lane in grid order: model, lambda_, seed, train_loss,
            validation_loss, train_score, validation_score (R^2 or accuracy), weight_norm,
            zero_share, condition_number, kkt_residual, status.
        entries: the models swept.
        data: features and response.
        lane_params: for every model the parameters of its lanes, with leading axes
            (n_seeds, n_lambdas).
        fitted: every model refitted on all rows at the strength that `rule` chose.
        rule: how strengths were chosen for the refit.
        seconds: compile and run time per model, and of the refit.
        settings: arguments of the sweep.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> result.table.shape
        (18, 12)
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
        """Return mean and standard error over seeds for every model and strength."""
        metrics = [
            name
            for name, dtype in self.table.schema.items()
            if dtype.is_float() and name != "lambda_"
        ]
        root = pl.len().sqrt()
        return self.table.group_by("model", "lambda_", maintain_order=True).agg(
            [pl.col(name).mean() for name in metrics]
            + [
                (pl.col(name).std() / root).fill_null(0.0).alias(f"{name}_se")
                for name in metrics
                if name.endswith(("_loss", "_score"))
            ]
        )

    def best(self, metric: str = "validation_loss", rule: Rule = "minimum") -> dict[str, Choice]:
        """Return the chosen strength of every model.

        Args:
            metric: a column of `table`; scores are maximised, everything else minimised.
            rule: "minimum" for the best mean; "one_standard_error" for the largest
                strength whose mean is within one standard error of it.

        Raises:
            ValueError: for an unknown metric or rule, or if every lane of a model diverged.
        """
        return {name: self._choose(name, metric, rule) for name in self.entries}

    def verdicts(self, model: str) -> list[Verdict]:
        """Return for every strength of `model`, in grid order, whether it over- or underfits."""
        rows = self.summary().filter(pl.col("model") == model)
        columns = ("lambda_", "validation_loss", "validation_loss_se")
        return fit_verdicts(*(rows[name].to_numpy() for name in columns))

    def choices(self) -> pl.DataFrame:
        """Return one row per model: both choices, and the metrics at the minimum."""
        summary = self.summary()
        one_se = self.best(rule="one_standard_error")
        rows = []
        for name, choice in self.best().items():
            at = summary.row(
                by_predicate=(pl.col("model") == name) & (pl.col("lambda_") == choice.lambda_),
                named=True,
            )
            rows.append(
                {
                    "model": name,
                    "lambda_min": choice.lambda_,
                    "lambda_1se": one_se[name].lambda_,
                    "validation_loss": choice.mean,
                    "validation_loss_se": choice.standard_error,
                    "train_loss": at["train_loss"],
                    "validation_score": at["validation_score"],
                    "zero_share": at["zero_share"],
                    "at_edge": choice.at_edge,
                }
            )
        return pl.DataFrame(rows)

    def lambda_chosen(self, model: str) -> float:
        """Return the strength at which `model` was refitted."""
        return self.fitted[model].lambda_

    def _choose(self, model: str, metric: str, rule: Rule) -> Choice:
        if metric not in self.table.columns or not self.table[metric].dtype.is_float():
            raise ValueError(f"There is no metric {metric!r}; see result.table.columns.")
        if rule not in ("minimum", "one_standard_error"):
            raise ValueError(f"rule must be 'minimum' or 'one_standard_error', got {rule!r}.")
        rows = self.table.filter(pl.col("model") == model)
        groups = rows.group_by("lambda_", maintain_order=True).agg(
            pl.col(metric).mean().alias("mean"),
            (pl.col(metric).std() / pl.len().sqrt()).fill_null(0.0).alias("se"),
        )
        strengths, means, errors = (groups[name].to_numpy() for name in ("lambda_", "mean", "se"))
        sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
        costs = np.where(np.isfinite(means), sign * means, np.inf)
        if not np.isfinite(costs).any():
            raise ValueError(
                f"Every lane of {model} diverged; try a smaller learning rate or other strengths."
            )
        index = int(np.argmin(costs))
        if rule == "one_standard_error":
            within = costs <= costs[index] + errors[index]
            index = int(np.argmax(np.where(within, strengths, -1.0)))
        positive = strengths[strengths > 0]
        edge = len(positive) > 1 and strengths[index] in (0.0, positive.min(), positive.max())
        return Choice(
            model, float(strengths[index]), float(means[index]), float(errors[index]), bool(edge)
        )
