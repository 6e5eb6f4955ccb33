"""Trainings at many strengths beside PyTorch and plain JAX, at equal results.

`python -m benchmarks.training [part ...]` measures the parts named, or all, keeps what it saw in
`benchmarks/training.json` part by part, and writes `benchmarks/training.md` from all that is
there. `--only-table` measures nothing; `--quick` is a tiny size, to see that all parts work, and
shows its page without keeping it.

PyTorch is left out where it is not installed. It wants a virtual environment of its own:

    python3 -m venv /tmp/torch
    /tmp/torch/bin/pip install -c constraints.txt -e . torch scikit-learn rich
    /tmp/torch/bin/python -m benchmarks.training
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import tempfile
from importlib import metadata, util
from typing import Any

from rich.console import Console

from benchmarks.machine import describe
from benchmarks.training.accelerator import accelerator
from benchmarks.training.lane_counts import lane_counts
from benchmarks.training.overhead import overhead
from benchmarks.training.problem import QUICK, REGULARIZERS, Size
from benchmarks.training.race import Rules, agreement, race
from benchmarks.training.table import page

_PAGE = pathlib.Path(__file__).parents[1] / "training.md"
_PARTS = (*REGULARIZERS, "agreement", "overhead", "lanes", "accelerator")


def main() -> None:
    """Measure, keep and write."""
    default = Rules()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("parts", nargs="*", metavar="part", help=" ".join(_PARTS))
    parser.add_argument("--rounds", type=int, default=default.rounds)
    parser.add_argument("--budget", type=float, default=default.budget, help="s, each, per race")
    parser.add_argument("--quick", action="store_true", help="a tiny size, shown and not kept")
    parser.add_argument("--only-table", action="store_true", help="from what was kept")
    given = parser.parse_args()
    unknown = set(given.parts) - set(_PARTS)
    if unknown:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    kept = _PAGE.with_suffix(".json")
    measured = json.loads(kept.read_text()) if kept.exists() and not given.quick else {}
    size, rules = Size(), Rules(given.rounds, given.budget)
    if given.quick:
        size, rules = QUICK, Rules(1, 1.0, 1)
    for name in [] if given.only_table else given.parts or _PARTS:
        measured[name] = measure(name, size, rules)
        if not given.quick:
            kept.write_text(json.dumps(measured, indent=1) + "\n")
            _PAGE.write_text(page(measured))
    if given.quick:
        print(page(measured))
    else:
        _PAGE.write_text(page(measured))


def measure(name: str, size: Size, rules: Rules) -> dict[str, Any]:
    """Return what was found of one part, and where."""
    console = Console(width=160)
    console.rule(name)
    # Programs that were compiled before would make first runs short.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as scratch:
        # Sweeps, and whoever is stopped, leave files behind, which end with this folder.
        os.environ["TMPDIR"] = scratch
        if name in REGULARIZERS:
            found = race(name, size, rules, console)
        elif name == "agreement":
            found = agreement(size, console)
        else:
            parts = {"overhead": overhead, "lanes": lane_counts, "accelerator": accelerator}
            found = parts[name](size, rules, console)
    has_torch = util.find_spec("torch") is not None
    return {
        "machine": describe(),
        "torch": f"PyTorch {metadata.version('torch')}" if has_torch else "PyTorch is not there",
        "size": ", ".join(f"{key} {value}" for key, value in dataclasses.asdict(size).items()),
        "found": found,
    }


if __name__ == "__main__":
    main()
