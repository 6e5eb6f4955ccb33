"""What is measured of a problem, as plain numbers to keep."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from rich.console import Console

from benchmarks.machine import describe
from benchmarks.paths.anatomy import Anatomy
from benchmarks.paths.batches import JOBS, Batch
from benchmarks.paths.contestant import Contestant
from benchmarks.paths.memory import MemoryProbe
from benchmarks.paths.peers import OURS, SKLEARN, absent, present
from benchmarks.paths.problems import FOLDS, PROBLEMS, TOL
from benchmarks.paths.race import Rules, race
from benchmarks.paths.remote import Remote, StoppedError

_TWO = "scikit-learn, n_jobs=2"


def measure(name: str, rules: Rules, console: Console) -> dict[str, Any]:
    """Return the races of one problem or batch, the memory that it takes and where time goes."""
    console.rule(name)
    with tempfile.TemporaryDirectory() as scratch:
        # Whoever is stopped leaves files behind, which end with this folder.
        os.environ["TMPDIR"] = scratch
        found = _batch(name, rules, console) if name in JOBS else _problem(name, rules, console)
    return {"machine": describe(), "absent": absent(), **found}


def _problem(name: str, rules: Rules, console: Console) -> dict[str, Any]:
    spec = PROBLEMS[name]
    contestants = {who: Remote(Contestant, who, name) for who in present()}

    def path(l1_ratio: float) -> Any:
        return lambda remote, tol, verify: remote.call(
            "path", l1_ratio, tol, verify, limit=rules.limit
        )

    def cv(remote: Remote, tol: float, verify: bool) -> dict[str, Any]:
        return remote.call("cv", tol, limit=rules.limit)

    try:
        # Two processes make no difference to one path.
        some = {who: remote for who, remote in contestants.items() if who != _TWO}
        races = {"path": race(some, path(1.0), rules, console)}
        if spec.has_cv:
            races["cv"] = {}
            entrants, known = {}, {}
            for who, remote in contestants.items():
                row = races["path"][SKLEARN if who == _TWO else who]
                # Folds that share work or processes may take half of what paths one by one would.
                paths = row.get("seconds", 0.0) * (FOLDS + 1) / (2 if who == _TWO else 1)
                if "note" in row:
                    races["cv"][who] = {"note": f"path {row['note']}"}
                elif row["gap"] > TOL:
                    races["cv"][who] = {"note": "path misses the gap"}
                elif who != OURS and paths > 2 * rules.limit:
                    races["cv"][who] = {"note": f"path alone took {row['seconds']:.0f} s"}
                else:
                    entrants[who], known[who] = remote, row["tol"]
            races["cv"] |= race(entrants, cv, rules, console, known)
        two = {who: contestants[who] for who in (OURS, SKLEARN)}
        races["elastic net"] = race(two, path(0.5), rules, console)
    finally:
        for remote in contestants.values():
            remote.close()
    kinds = ["path", "cv"] if spec.has_cv else ["path"]
    return {"races": races, "anatomy": {kind: _anatomy(name, kind, rules) for kind in kinds}}


def _anatomy(name: str, kind: str, rules: Rules) -> dict[str, Any]:
    """Return the memory of our own run, and where its time goes, each in a fresh process."""
    found: dict[str, Any] = {}
    for make in (MemoryProbe, Anatomy):
        remote = Remote(make, name)
        try:
            found |= remote.call("parts", kind, limit=5 * rules.limit)
        except StoppedError as stop:
            found["note"] = str(stop)
        finally:
            remote.close()
    return found


def _batch(name: str, rules: Rules, console: Console) -> dict[str, Any]:
    contestants = {who: Remote(Batch, who, name) for who in JOBS[name].runs}
    try:
        rows = race(
            contestants,
            lambda remote, tol, verify: remote.call("run", tol, verify, limit=rules.limit),
            rules,
            console,
        )
    finally:
        for remote in contestants.values():
            remote.close()
    return {"races": {"batch": rows}}
