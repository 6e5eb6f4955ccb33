"""The section of the page on an accelerator, beside the peers on a processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.paths.accelerator import TASKS
from benchmarks.paths.peers import OURS

Fastest = tuple[str | None, float | None]
Best = Callable[[str, str], Fastest]

HEAD = [
    "problem",
    "what",
    "float64, s",
    "gap",
    "float32, s",
    "gap",
    "first call, s",
    "best on the processor",
    "its time, s",
    "x",
]
_BATCHES = {"1000 responses": "targets", "bootstraps": "bootstraps"}


def about(kept: dict[str, Any]) -> str:
    """Return what the table is of."""
    return (
        f"{kept['machine']} Arrays are on the device before the clock starts; gaps are computed "
        "from the data on the host; 1e-06 is asked for in float64, and 7.6e-06, all that it can "
        "tell, in float32. First calls are in float64, with a dozen programs being compiled at a "
        "time. `x` is the time of the fastest on the processor, regjax included, over that in "
        "float64 here; the three problems that the other tables do not have were solved there "
        f"once, beside other work: {kept.get('peers_machine', 'nowhere yet.')} Where there is a "
        "dash, the loan of the device ended before the warm runs.\n\nSmall problems are quicker on "
        "a processor, where "
        "nothing is compiled either; sparse matrices are solved on the host in any case."
    )


def rows(kept: dict[str, Any], best: Best) -> list[list[str]]:
    """Return the rows; `best(name, kind)` is the best of the other tables and its seconds."""
    found, peers = [], kept.get("peers", {})
    for name, task in TASKS.items():
        entry = kept["tasks"].get(name)
        if entry is None:
            continue
        if name in peers:
            named, seconds = fastest(peers[name], lambda _: True)
        elif name in _BATCHES:
            named, seconds = best(_BATCHES[name], "batch")
        else:
            problem, kind = name.split()
            named, seconds = best(problem, kind.lower())
        cells = []
        for dtype in ("float64", "float32"):
            one = entry.get(dtype, {})
            cells += [_number(one.get("seconds")), f"{one['gap']:.0e}" if "gap" in one else "-"]
        ours = entry.get("float64", {}).get("seconds")
        first = _number(entry.get("float64", {}).get("first"))
        ratio = "-" if ours is None or seconds is None else f"{seconds / ours:.1f}"
        shown = "-" if named is None else named
        time = _number(seconds)
        if named is None and name in peers:
            # All were stopped at the same limit.
            shown, time = "all", next(iter(peers[name].values()))["note"]
        found.append([task.text, task.what, *cells, first, shown, time, ratio])
    return found


def fastest(race: dict[str, Any], holds: Callable[[str], bool]) -> Fastest:
    """Return who was fastest of a race, ourselves included, and the seconds."""
    times = {
        who: row["seconds"]
        for who, row in race.items()
        if "seconds" in row and (who == OURS or holds(who))
    }
    who = min(times, key=lambda one: times[one], default=None)
    return who, None if who is None else times[who]


def _number(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3g}"
