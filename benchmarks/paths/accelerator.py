"""The same problems, and larger ones, on an accelerator, in float64 and in float32.

`python -m benchmarks.paths.accelerator [problem ...]` measures where JAX has an accelerator, and
keeps what it saw in `benchmarks/paths_accelerator.json` (`--kept` names another file);
`python -m benchmarks.paths --only-table` puts it in the page beside the peers. Data are on the
device before the clock starts. First calls compile several programs at a time. `--peers` measures
others on the processor, once, at the sizes that the page has nowhere else, with the tolerances that
held for a smaller problem of the same kind; no accelerator is needed.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from benchmarks.machine import describe
from benchmarks.paths.accuracy import largest_gap
from benchmarks.paths.problems import PROBLEMS, TOL, Problem, Spec
from benchmarks.paths.remote import Remote, StoppedError
from regjax.paths import elastic_net_path, lasso_cv, lasso_path

_PAGE = pathlib.Path(__file__).parents[1] / "paths.json"
KEPT = pathlib.Path(__file__).parents[1] / "paths_accelerator.json"
_DTYPES = ("float64", "float32")
_RUNS = 3
_LONG = 5.0
_COMPILERS = 12
_ALIKE = {"100000x2000 CV": "tall", "2000x100000 CV": "wide"}


@dataclasses.dataclass(frozen=True)
class Task:
    """Something to measure: data on the host, and what is called with them on the device."""

    text: str
    what: str
    load: Callable[[], dict[str, Any]]
    call: Callable[..., Any]
    gap: Callable[[dict[str, Any], Any], float]


def _path_gap(data: dict[str, Any], path: Any) -> float:
    return largest_gap(data["X"], data["y"], np.asarray(path.coef), np.asarray(path.lambdas, float))


def _cv_gap(data: dict[str, Any], found: Any) -> float:
    return _path_gap(data, found.path)


def _many_gap(data: dict[str, Any], path: Any) -> float:
    """Return the largest gap of a sample of the responses or weightings."""
    shown = np.linspace(0, len(path.coef) - 1, 50).astype(int)
    y, weight = data["y"], data.get("sample_weight")
    return max(
        largest_gap(
            data["X"],
            y if y.ndim == 1 else y[:, k],
            np.asarray(path.coef[k]),
            np.asarray(path.lambdas[k], float),
            weight=None if weight is None else weight[k],
        )
        for k in shown
    )


@functools.cache
def _of_problem(name: str) -> dict[str, Any]:
    problem = Problem(PROBLEMS[name])
    return {"X": problem.X, "y": problem.y, "lambdas": problem.lambdas(1.0)}


@functools.cache
def _drawn(n: int, p: int, ratio: float) -> dict[str, Any]:
    """Return independent columns and a response of 50 of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    b = np.zeros(p)
    b[rng.choice(p, 50, replace=False)] = rng.normal(size=50)
    y = X @ b + 3.0 * rng.normal(size=n)
    largest = np.abs(X.T @ (y - y.mean())).max() / n
    return {"X": X, "y": y, "lambdas": largest * np.geomspace(1, ratio, 100)}


@functools.cache
def _responses(m: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 100))
    B = rng.normal(size=(100, m)) * (rng.random((100, m)) < 0.1)
    return {"X": X, "y": X @ B + rng.normal(size=(2_000, m))}


@functools.cache
def _bootstraps() -> dict[str, Any]:
    from benchmarks.paths.batches import JOBS

    data = JOBS["bootstraps"].make()
    counts = data["counts"].astype(float)
    return {"X": data["X"], "y": data["y"], "sample_weight": counts, "lambdas": data["lambdas"]}


def _tasks() -> dict[str, Task]:
    tasks = {}
    for n, p, ratio in ((2_000, 100_000, 1e-2), (100_000, 2_000, 1e-3)):
        load = functools.partial(_drawn, n, p, ratio)
        tasks[f"{n}x{p} CV"] = Task(f"{n:,} x {p:,}", "CV", load, lasso_cv, _cv_gap)
    many = functools.partial(elastic_net_path, n_lambdas=50)
    for m in (10_000, 1_000):
        text = f"{m:,} responses x 50 lambdas, 2,000 x 100"
        load = functools.partial(_responses, m)
        tasks[f"{m} responses"] = Task(text, "all", load, many, _many_gap)
    text = "200 bootstraps x 50 lambdas, 1,000 x 100"
    tasks["bootstraps"] = Task(text, "all", _bootstraps, elastic_net_path, _many_gap)
    for name, spec in PROBLEMS.items():
        # Sparse matrices are solved on the host.
        if name == "sparse":
            continue
        load = functools.partial(_of_problem, name)
        if spec.has_cv:
            tasks[f"{name} CV"] = Task(spec.text, "CV", load, lasso_cv, _cv_gap)
        tasks[f"{name} path"] = Task(spec.text, "path", load, lasso_path, _path_gap)
    return tasks


TASKS = _tasks()


def _on_device(task: Task, dtype: str) -> dict[str, Any]:
    return {name: jnp.asarray(value, dtype) for name, value in task.load().items()}


def _timed(task: Task, data: dict[str, Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = jax.block_until_ready(task.call(**data, tol=TOL))
    return time.perf_counter() - started, answer


def measure(
    names: list[str], limit: float, console: Console, save: Callable[[dict[str, Any]], None]
) -> None:
    """Save seconds and gaps by task and dtype as they come; a task that fails says why.

    First calls that have not begun after `limit` seconds are left out.
    """
    found: dict[str, Any] = {name: {} for name in names}
    started = time.perf_counter()

    def first(name: str, dtype: str) -> None:
        task = TASKS[name]
        if time.perf_counter() - started > limit:
            return
        try:
            seconds, answer = _timed(task, _on_device(task, dtype))
            entry = {"first": seconds, "gap": task.gap(task.load(), answer)}
            if task.what == "CV":
                grid = np.asarray(answer.path.lambdas)
                entry["chosen"] = int(np.abs(grid / float(answer.lambda_) - 1).argmin())
        except Exception as error:
            entry = {"note": f"{type(error).__name__}: {str(error)[:200]}"}
        found[name][dtype] = entry
        console.print(name, dtype, entry)

    for name in names:
        TASKS[name].load()
    pairs = [(name, dtype) for name in names for dtype in _DTYPES]
    with ThreadPoolExecutor(_COMPILERS) as pool:
        list(pool.map(lambda pair: first(*pair), pairs))
    save(found)
    for name, dtype in pairs:
        entry = found[name].get(dtype, {"note": "not begun"})
        if "note" in entry:
            continue
        data, times = _on_device(TASKS[name], dtype), []
        while len(times) < _RUNS and sum(times) < _LONG:
            times.append(_timed(TASKS[name], data)[0])
        entry |= {"seconds": statistics.median(times), "runs": len(times)}
        console.print(name, dtype, f"{entry['seconds']:.4g} s")
        save(found)


class OnProcessor:
    """One who solves a task on the processor, in a process of its own."""

    def __init__(self, who: str, name: str) -> None:
        self._who, self._data = who, TASKS[name].load()
        self._alike = _ALIKE.get(name)

    def seconds(self) -> float:
        """Return the seconds of one run."""
        return self._of_responses() if self._alike is None else self._of_cv(self._alike)

    def _of_responses(self) -> float:
        from benchmarks.paths.batches import responses_in_a_loop
        from benchmarks.paths.peers import OURS

        X, y = self._data["X"], self._data["y"]
        started = time.perf_counter()
        if self._who == OURS:
            elastic_net_path(X, y, n_lambdas=50, tol=TOL)
        else:
            responses_in_a_loop(X, y, TOL / 2)
        return time.perf_counter() - started

    def _of_cv(self, alike: str) -> float:
        from benchmarks.paths.peers import make_peer

        known = json.loads(_PAGE.read_text())[alike]["races"]["path"]
        # Peers lay the data out before their clock starts.
        problem = Problem(Spec("", lambda: (self._data["X"], self._data["y"]), ratio=1.0))
        seconds, _ = make_peer(self._who).cv(
            problem, self._data["lambdas"], known[self._who]["tol"]
        )
        return seconds


def measure_peers(console: Console, limit: float) -> dict[str, dict[str, Any]]:
    """Return the seconds of others on the processor, by task, or why there are none."""
    from benchmarks.paths.peers import OURS, SKLEARN, present

    found: dict[str, dict[str, Any]] = {}
    for name in ("10000 responses", *_ALIKE):
        found[name] = {}
        crowd = (OURS, SKLEARN, "adelie") if name in _ALIKE else (OURS, SKLEARN)
        for who in [one for one in crowd if one in present()]:
            remote = Remote(OnProcessor, who, name)
            try:
                found[name][who] = {"seconds": remote.call("seconds", limit=limit)}
            except StoppedError as stop:
                found[name][who] = {"note": str(stop)}
            finally:
                remote.close()
            console.print(name, who, found[name][who])
    return found


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths.accelerator")
    parser.add_argument("problems", nargs="*", metavar="problem", help=" ".join(TASKS))
    parser.add_argument("--kept", type=pathlib.Path, default=KEPT)
    parser.add_argument("--limit", type=float, default=600, help="s, for the first calls")
    parser.add_argument("--peers", action="store_true", help="others on the processor instead")
    given = parser.parse_args()
    if given.peers:
        kept = json.loads(given.kept.read_text()) if given.kept.exists() else {"tasks": {}}
        kept["peers"] = measure_peers(Console(width=160), given.limit)
        kept["peers_machine"] = describe()
        given.kept.write_text(json.dumps(kept, indent=1) + "\n")
        return
    if jax.default_backend() == "cpu":
        parser.exit(1, "JAX has no accelerator on this machine: nothing is measured.\n")
    jax.config.update("jax_enable_x64", True)
    kept = json.loads(given.kept.read_text()) if given.kept.exists() else {"tasks": {}}
    kept["machine"] = f"{jax.devices()[0].device_kind}; {describe()}"

    def save(found: dict[str, Any]) -> None:
        kept["tasks"] |= found
        given.kept.write_text(json.dumps(kept, indent=1) + "\n")

    measure(given.problems or list(TASKS), given.limit, Console(width=160), save)


if __name__ == "__main__":
    main()
