"""Everybody in turn: the first run of fresh processes, then warm runs, and their medians."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.paths.remote import Remote, StoppedError
from benchmarks.training.contestants import Contestant, present
from benchmarks.training.problem import REGULARIZERS, Size, reference


@dataclasses.dataclass(frozen=True)
class Rules:
    """How often and how long: rounds, first runs, and seconds for the runs of one contestant."""

    rounds: int = 20
    budget: float = 60.0
    firsts: int = 3


LIMIT = 900.0


def race(regularizer: str, size: Size, rules: Rules, console: Console) -> dict[str, Any]:
    """Return for everybody the median seconds of first and of warm runs, or a note why not."""
    remotes = {who: Remote(Contestant, who, regularizer, size) for who in present()}
    rows: dict[str, dict[str, Any]] = {who: {} for who in remotes}
    firsts: dict[str, list[float]] = {who: [] for who in remotes}
    warm: dict[str, list[float]] = {who: [] for who in remotes}
    try:
        for _ in range(rules.firsts):
            for who, remote in remotes.items():
                remote.close()
                _run(remote, who, rows, firsts, console)
        for _ in range(rules.rounds):
            for who, remote in remotes.items():
                typical = statistics.median(warm[who] or firsts[who] or [0.0])
                if not warm[who] or sum(warm[who]) + typical <= rules.budget:
                    _run(remote, who, rows, warm, console)
    finally:
        for remote in remotes.values():
            remote.close()
    for who, row in rows.items():
        if "note" not in row:
            row["first"], row["seconds"] = map(statistics.median, (firsts[who], warm[who]))
            row["least"], row["runs"] = min(warm[who]), len(warm[who])
    return rows


def _run(
    remote: Remote,
    who: str,
    rows: dict[str, dict[str, Any]],
    kept: dict[str, list[float]],
    console: Console,
) -> None:
    if "note" in rows[who]:
        return
    try:
        remote.call("ready", limit=LIMIT)
        kept[who].append(remote.call("seconds", limit=LIMIT))
        console.print(who, f"{kept[who][-1]:.3f}")
    except StoppedError as stop:
        rows[who] = {"note": str(stop)}
        console.print(who, str(stop))


def agreement(size: Size, console: Console) -> dict[str, Any]:
    """Return for everybody how far final losses are from NumPy's in float64, relatively."""
    found: dict[str, Any] = {}
    for regularizer in REGULARIZERS:
        right = reference(size, regularizer)
        for who in present():
            row = found.setdefault(f"{regularizer}: {who}", {})
            for dtype in ("float64", "float32"):
                remote = Remote(Contestant, who, regularizer, size, dtype)
                try:
                    losses = np.array(remote.call("losses", limit=LIMIT))
                except StoppedError as stop:
                    row[dtype] = {"note": str(stop)}
                    continue
                finally:
                    remote.close()
                off = np.abs(losses / right - 1)
                row[dtype] = {"median": float(np.median(off)), "largest": float(off.max())}
            console.print(regularizer, who, row)
    return found
