"""A race: everybody in turn, at the same accuracy, and the medians."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console

from benchmarks.paths.peers import OURS
from benchmarks.paths.problems import TOL
from benchmarks.paths.remote import Remote, StoppedError


@dataclasses.dataclass(frozen=True)
class Rules:
    """How often and how long: seconds for all runs of one contestant, and for one of them."""

    rounds: int = 20
    budget: float = 20.0
    limit: float = 120.0


_PREPARATION = 300.0

Ask = Callable[[Remote, float, bool], dict[str, Any]]
"""(contestant, tolerance, whether to verify) to a row: seconds, and what else was seen."""


def race(
    contestants: dict[str, Remote],
    ask: Ask,
    rules: Rules,
    console: Console,
    known: dict[str, float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return a row for everybody: median seconds, runs, gap, tolerance, or a note why not.

    The first run is not counted, unless it takes half the budget; there the tolerance is found,
    unless it is `known`. Rounds end when nobody but us has time left.
    """
    rows: dict[str, dict[str, Any]] = {}
    kept: dict[str, list[float]] = {}
    for who, contestant in contestants.items():
        try:
            # Data are made and programs compiled before the clock runs.
            tolerances = contestant.call("tolerances", limit=_PREPARATION)
            if known is not None:
                tolerances = (known[who],)
            rows[who] = _first(contestant, ask, rules, tolerances)
        except StoppedError as stop:
            rows[who] = {"note": str(stop)}
        else:
            seconds = rows[who]["seconds"]
            kept[who] = [seconds] if seconds > rules.budget / 2 else []
        console.print(who, rows[who])
    for _ in range(rules.rounds):
        typical = {who: rows[who]["seconds"] for who in kept}
        others = [
            who for who in kept if who != OURS and sum(kept[who]) + typical[who] <= rules.budget
        ]
        if not others and all(kept.values()):
            break
        for who in [OURS, *others] if OURS in kept else others:
            try:
                kept[who].append(ask(contestants[who], rows[who]["tol"], False)["seconds"])
            except StoppedError as stop:
                rows[who] = {"note": str(stop)}
                del kept[who]
    for who, seconds in kept.items():
        rows[who] |= {"seconds": statistics.median(seconds), "runs": len(seconds)}
    return rows


def _first(
    contestant: Remote, ask: Ask, rules: Rules, tolerances: Iterable[float]
) -> dict[str, Any]:
    """Return the row of the loosest tolerance that is accurate enough, or of the best gap."""
    best: dict[str, Any] = {}
    spent = 0.0
    for tol in tolerances:
        row = ask(contestant, tol, True) | {"tol": tol}
        if not best or row["gap"] < best["gap"]:
            best = row
        spent += row["seconds"]
        # A tighter tolerance takes longer.
        if row.get("gap", 0.0) <= TOL or spent > 2 * rules.limit:
            break
    return best
