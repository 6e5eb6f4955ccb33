"""What a sweep of a training function came to, as it is printed."""

from __future__ import annotations

import math
from typing import Any

from regjax._messages import counted, listed
from regjax.cli._command import FailedRuns
from regjax.cli._output import Table, number, print_table, say

_BEST = 10
_MOST_METRICS = 4
_COUNTED = ("done", "stopped")
# The hyperparameter of which more makes a simpler model.
_STRONGEST = "lambda_"


def print_outcome(run: Any) -> None:
    """Print the best lanes, the choice over seeds, and what went wrong."""
    metric = run.rules.metric
    ranked = run.table.filter(run.table["status"].is_in(_COUNTED))
    if len(ranked):
        _print_lanes(run, ranked)
    if metric is not None and len(ranked):
        _print_choice(run)
    for choices, reason in run.failures.items():
        say(f"Failed: {choices}: {' '.join(reason.split())}")
    counts = run.table["status"].value_counts(sort=True).rows()
    by_status = ", ".join(f"{n} {status}" for status, n in counts)
    say(f"{counted(len(run.table), 'lane')}: {by_status}")


def check_outcome(run: Any) -> None:
    """Raise FailedRuns where runs failed, or all diverged: the last that is said of a sweep."""
    status = run.table["status"].to_list()
    n_failed = status.count("failed")
    if n_failed:
        choices = listed(list(run.failures), 3)
        n_lanes = counted(len(status), "lane")
        raise FailedRuns(f"{n_failed} of {n_lanes} failed, those of {choices}: see above.")
    if set(status) == {"diverged"}:
        names = [name for name in run.grid.columns if name != "seed"]
        settings = run.table.select(names).unique(maintain_order=True).to_dicts() if names else []
        shown = [", ".join(f"{k}={_shown(v)}" for k, v in row.items()) for row in settings]
        where = f", of {'; '.join(shown[:3])}{'; ...' if len(shown) > 3 else ''}" if shown else ""
        raise FailedRuns(f"All {counted(len(status), 'lane')} diverged{where}.")


def _print_lanes(run: Any, ranked: Any) -> None:
    metric, metrics = run.rules.metric, run.metrics()
    # A function that is no training in steps has none.
    columns = [*run.grid.columns, *(["step"] if ranked["step"].count() else [])]
    title = f"First {_BEST} lanes" if len(ranked) > _BEST else "Lanes"
    if metric is not None:
        metrics = [metric, *(name for name in metrics if name != metric)]
        largest = run.rules.mode == "max"
        ranked = ranked.sort(metric, descending=largest, nulls_last=True, maintain_order=True)
        title = f"Lanes of {'largest' if largest else 'least'} {metric}"
    shown = metrics[:_MOST_METRICS]
    table = Table(title, (*columns, *shown))
    for row in ranked.head(_BEST).to_dicts():
        table.add_row(*(_shown(row[name]) for name in (*columns, *shown)))
    print_table(table)
    if len(metrics) > len(shown):
        say("More metrics are in results.csv.")
    if metric is None:
        say("Name a --metric to have lanes ranked, and the best parameters kept.")


def _print_choice(run: Any) -> None:
    try:
        choices = {"best mean": run.best()}
    except ValueError as error:
        say(f"Note: {error}")
        return
    if _STRONGEST in run.grid.columns and len(set(run.grid.columns.get("seed", ()))) > 1:
        try:
            choices["one s.e."] = run.one_standard_error(_STRONGEST)
        except ValueError as error:
            # A single seed of the best is left.
            say(f"Note: {error}")
    names = list(choices["best mean"].hyperparameters)
    title = f"Choice by {run.rules.metric}, means over seeds"
    table = Table(title, ("choice", *names, "mean", "± s.e.", "seeds"))
    for rule, best in choices.items():
        spread = best.standard_error
        table.add_row(
            rule,
            *(_shown(best.hyperparameters[name]) for name in names),
            f"{best.mean:.4g}",
            number(None if math.isnan(spread) else spread, ".2g"),
            str(len(best.lanes)),
            chosen=rule == "best mean",
        )
    print_table(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
