"""The main job: compile and run time, and all strengths at once beside one fit after the other.

`python -m benchmarks.main_job` runs both ways in turn, three times each, in one process,
checks that they agree, and rewrites `benchmarks/main_job.md`. Beside perceptrons stands
the same engine, compiled before, for one strength and one seed at a time; beside linear regressions
stand scikit-learn's estimators on the same splits.
"""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console
from sklearn.linear_model import ElasticNet, Lasso, Ridge

from benchmarks.machine import describe, peak_memory_mib
from regjax.sweeps.catalog import MLPOptions, make_entry
from regjax.sweeps.engines import run_models
from regjax.sweeps.job import load_table
from regjax.sweeps.lanes.options import Options
from regjax.sweeps.lanes.outcome import SweepRun
from regjax.sweeps.training import split_rows

CASES = (
    ("diabetes", "ridge"),
    ("diabetes_quadratic", "lasso"),
    ("diabetes_quadratic", "elastic_net"),
    ("digits", "mlp_l1"),
    ("digits", "mlp_l2"),
    ("digits", "mlp_decay"),
)
SEEDS = range(5)
REPEATS = 3


def measure(data: str, model: str) -> dict[str, Any]:
    """Return the times of one model on one data set, medians over the repeats."""
    table = load_table(data)
    entry = make_entry(model, table, 0.5, MLPOptions())
    lambdas = entry.lambdas
    n_validation = round(0.2 * len(table.y))

    def fit(lambdas: Sequence[float], seeds: Sequence[int]) -> SweepRun:
        swept = {model: dataclasses.replace(entry, lambdas=tuple(lambdas))}
        return run_models(table, swept, seeds, n_validation, Options(), lambda run, folder: {})

    def loop() -> np.ndarray:
        # Rows in the order of the grid: seeds within each strength.
        return np.array([_losses(fit([one], [seed]))[0] for one in lambdas for seed in SEEDS])

    started = time.perf_counter()
    first = fit(lambdas, SEEDS)
    first_seconds = time.perf_counter() - started
    ways: dict[str, Callable[[], Any]] = {"at_once": lambda: fit(lambdas, SEEDS)}
    agreement = None
    if not entry.is_linear:
        ways["loop"] = loop
        agreement = float(np.max(np.abs(_losses(first) - loop())))
    else:
        splits = [_split(seed, table.X, table.y, n_validation) for seed in SEEDS]
        ways["sklearn"] = lambda: _scikit_learn(model, entry.lambdas, splits)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "data": data,
        "model": model,
        "lanes": len(entry.lambdas) * len(SEEDS),
        "compile": first.times.filter(first.times["what"] != "run")["seconds"].sum(),
        "first": first_seconds,
        "agreement": agreement,
        **medians,
    }


def _losses(run: SweepRun) -> np.ndarray:
    return run.table["validation_loss"].to_numpy()


def _split(
    seed: int, X: np.ndarray, y: np.ndarray, n_validation: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.asarray(split_rows(jax.random.key(seed), len(y), n_validation).train)
    Z, z = X[rows], y[rows]
    return (Z - Z.mean(axis=0)) / Z.std(axis=0), (z - z.mean()) / z.std()


def _scikit_learn(model: str, lambdas: tuple[float, ...], splits: list) -> None:
    """Fit every positive strength on every split to the tolerance that the lanes have."""
    for X, y in splits:
        for lambda_ in lambdas:
            if lambda_ == 0:
                continue
            if model == "ridge":
                estimator = Ridge(alpha=lambda_ * len(y))
            elif model == "lasso":
                estimator = Lasso(alpha=lambda_, tol=1e-6, max_iter=100_000)
            else:
                estimator = ElasticNet(alpha=lambda_, l1_ratio=0.5, tol=1e-6, max_iter=100_000)
            estimator.fit(X, y)


def main() -> None:
    """Measure every case and write the table."""
    console = Console()
    lines = [
        "# The main job: all strengths at once beside one fit after the other",
        "",
        f"{describe()}",
        f"Made by `python -m benchmarks.main_job`; {len(SEEDS)} seeds, medians of {REPEATS} "
        "interleaved runs, seconds. At once: one path per seed for linear regressions, lanes of "
        "one compiled program for perceptrons. Loop, of perceptrons: the same engine, one strength "
        "and one seed at a time, compiled before. scikit-learn: a loop over its estimators on the "
        "same splits, without the losses. Difference: largest between the validation losses of "
        "lanes and loop; perceptrons are "
        "trained in float32 at a large learning rate, which blows rounding up at weak penalties.",
        "",
        "| data | model | lanes | compile | first run | at once, warm | loop | scikit-learn | "
        "loop / at once | scikit-learn / at once | difference |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for data, model in CASES:
        with console.status(f"{data} {model}"):
            row = measure(data, model)
        cells = [data, model, str(row["lanes"])]
        cells += [f"{row['compile']:.2f}", f"{row['first']:.3f}", f"{row['at_once']:.3f}"]
        peers = [row.get(peer) for peer in ("loop", "sklearn")]
        cells += ["-" if peer is None else f"{peer:.3f}" for peer in peers]
        cells += ["-" if peer is None else f"{peer / row['at_once']:.1f}" for peer in peers]
        cells.append("-" if row["agreement"] is None else f"{row['agreement']:.0e}")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += ["", f"Peak memory of the whole benchmark: {peak_memory_mib():.0f} MiB."]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
