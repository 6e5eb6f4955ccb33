"""The main job: compile and run time, and vmapped lanes beside one fit after the other.

`python -m benchmarks.main_job` runs both ways in turn, three times each, in one process,
checks that they agree, and rewrites `benchmarks/main_job.md`. The loop calls the same
training function, compiled once, for one strength at a time; for linear regressions
scikit-learn's estimators on the same splits stand beside it.
"""

from __future__ import annotations

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from rich.console import Console
from sklearn.linear_model import ElasticNet, Lasso, Ridge

from benchmarks.machine import describe, peak_memory_mib
from regjax.sweeps.catalog import MLPOptions, make_entry
from regjax.sweeps.job import load_table
from regjax.sweeps.lanes import run_lanes
from regjax.sweeps.training import holdout_training

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
    dtype = entry.model.dtype
    lanes = {"lambda_": np.asarray(entry.lambdas)}
    lanes |= {name: np.full(len(entry.lambdas), value) for name, value in entry.fixed}
    X = table.X.astype(dtype)
    y = table.y if table.encoding.task == "classification" else table.y.astype(dtype)
    n_validation = round(0.2 * len(y))
    train = holdout_training(entry.model, n_validation)

    def vmapped() -> Any:
        return run_lanes(train, lanes, SEEDS, X, y, dtype=dtype)

    with jax.enable_x64(dtype == "float64"):
        alone = jax.jit(train)
        arrays = jax.tree.map(jax.numpy.asarray, (X, y))

        def loop() -> np.ndarray:
            with jax.enable_x64(dtype == "float64"):
                losses = [
                    [
                        alone(
                            {name: np.asarray(values[i], dtype) for name, values in lanes.items()},
                            jax.random.key(seed),
                            *arrays,
                        ).metrics["validation_loss"]
                        for i in range(len(entry.lambdas))
                    ]
                    for seed in SEEDS
                ]
                return np.asarray(losses)

        first = vmapped()
        expected = loop()
        got = first.outputs.metrics["validation_loss"]
        agreement = float(np.max(np.abs(got - expected)))
        ways: dict[str, Callable[[], Any]] = {"vmapped": vmapped, "loop": loop}
        if entry.is_linear:
            splits = [_split(seed, X, y, n_validation) for seed in SEEDS]
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
        "compile": first.compile_seconds,
        "first": first.run_seconds,
        "agreement": agreement,
        **medians,
    }


def _split(
    seed: int, X: np.ndarray, y: np.ndarray, n_validation: int
) -> tuple[np.ndarray, np.ndarray]:
    key = jax.random.split(jax.random.key(seed))[0]
    rows = np.asarray(jax.random.permutation(key, len(y)))[n_validation:]
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
        "# The main job: lanes of one program beside one fit after the other",
        "",
        f"{describe()}",
        f"Made by `python -m benchmarks.main_job`; {len(SEEDS)} seeds, medians of {REPEATS} "
        "interleaved runs, seconds. Loop: the same training function, compiled, one strength at a "
        "time. scikit-learn: a loop over its estimators on the same splits, without the losses. "
        "Difference: largest between the validation losses of lanes and loop; perceptrons are "
        "trained in float32 at a large learning rate, which blows rounding up at weak penalties.",
        "",
        "| data | model | lanes | compile | first run | lanes, warm | loop | scikit-learn | "
        "loop / lanes | scikit-learn / lanes | difference |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for data, model in CASES:
        with console.status(f"{data} {model}"):
            row = measure(data, model)
        peer = row.get("sklearn")
        ratio = f"{peer / row['vmapped']:.1f}" if peer else "-"
        lines.append(
            f"| {data} | {model} | {row['lanes']} | {row['compile']:.2f} | {row['first']:.3f} "
            f"| {row['vmapped']:.3f} | {row['loop']:.3f} | {f'{peer:.3f}' if peer else '-'} "
            f"| {row['loop'] / row['vmapped']:.1f} "
            f"| {ratio} | {row['agreement']:.0e} |"
        )
        print(lines[-1], flush=True)
    lines += ["", f"Peak memory of the whole benchmark: {peak_memory_mib():.0f} MiB."]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
