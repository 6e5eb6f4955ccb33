"""Paths and cross-validation beside other libraries, at equal accuracy.

`python -m benchmarks.paths [problem ...]` measures the problems named, or all, keeps what it saw in
`benchmarks/paths.json` problem by problem, and writes `benchmarks/paths.md` from all that is there.
`--rounds 1 --budget 1` is a quick look; `--only-table` measures nothing.

Peers that are not installed are left out. They want a virtual environment of their own:

    python3 -m venv /tmp/bench
    /tmp/bench/bin/pip install -c constraints.txt -e . scikit-learn joblib rich numba matplotlib \
        xarray ipython tqdm pandas
    /tmp/bench/bin/pip install --no-deps celer skglm adelie skein-glm islp
    apt-get install r-cran-glmnet
    /tmp/bench/bin/python -m benchmarks.paths
"""

from __future__ import annotations

import argparse
import json
import pathlib

from rich.console import Console

from benchmarks.paths.batches import JOBS
from benchmarks.paths.measure import measure
from benchmarks.paths.problems import PROBLEMS
from benchmarks.paths.race import Rules
from benchmarks.paths.table import tables

_PAGE = pathlib.Path(__file__).parents[1] / "paths.md"


def main() -> None:
    """Measure, keep and write."""
    default = Rules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths")
    parser.add_argument("problems", nargs="*", metavar="problem", help=" ".join(_everything()))
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--budget", type=float, default=default.budget, help="s, each, per race")
    parser.add_argument("--limit", type=float, default=default.limit, help="s, for one run")
    parser.add_argument("--only-table", action="store_true", help="from what was kept")
    parser.add_argument("--page", type=pathlib.Path, default=_PAGE, help="kept beside it as JSON")
    given = parser.parse_args()
    unknown = set(given.problems) - set(_everything())
    if unknown:
        parser.error(f"no problem is called {', '.join(sorted(unknown))}")
    kept = given.page.with_suffix(".json")
    measured = json.loads(kept.read_text()) if kept.exists() else {}
    console = Console(width=160)
    rules = Rules(given.rounds, given.budget, given.limit)
    for name in [] if given.only_table else given.problems or _everything():
        measured[name] = measure(name, rules, console)
        kept.write_text(json.dumps(measured, indent=1) + "\n")
        given.page.write_text(tables(measured, "python -m benchmarks.paths"))
    given.page.write_text(tables(measured, "python -m benchmarks.paths"))


def _everything() -> list[str]:
    return [*PROBLEMS, *JOBS]


if __name__ == "__main__":
    main()
