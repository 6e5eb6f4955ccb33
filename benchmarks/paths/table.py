"""The tables made of what was measured."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from benchmarks.paths import accelerator_table
from benchmarks.paths.accelerator import KEPT
from benchmarks.paths.batches import JOBS
from benchmarks.paths.peers import OURS, SKLEARN
from benchmarks.paths.problems import FOLDS, N_LAMBDAS, PROBLEMS, TOL

_TRIED = pathlib.Path(__file__).parent / "tried.md"
_ELASTIC_NET_TARGET = 1.5
_KINDS = {"path": "path", "cv": "CV", "elastic net": "elastic net", "batch": "all"}


def tables(measured: dict[str, dict[str, Any]], command: str) -> str:
    """Return the page."""
    known = {name: measured[name] for name in [*PROBLEMS, *JOBS] if name in measured}
    machines: dict[str, list[str]] = {}
    for name, entry in known.items():
        machines.setdefault(entry["machine"], []).append(name)
    missing = sorted({who for entry in known.values() for who in entry["absent"]})
    lines = [
        "# Paths and cross-validation beside others",
        "",
        *[f"{', '.join(names)}: {machine}" for machine, names in machines.items()],
        "",
        f"Made by `{command}`: {N_LAMBDAS} lambdas, {FOLDS} folds and the final fit, warm, in "
        "turn, medians of seconds, everybody in a process of its own, which has its data ready in "
        "the layout that it likes; centring is part of the work. Gaps are the largest of a path, "
        f"relative to the null objective, from the data, in float64; {TOL:g} is asked for, and a "
        "peer that misses it is given tighter tolerances until it holds.",
        *([f"Not installed, and left out: {', '.join(missing)}."] if missing else []),
        "",
        "## Beside the best peer",
        "",
        "The best peer is the fastest whose gap holds, of a batch everybody; the target of a batch "
        "is that over the plain loop. `x` is the peer's time over ours.",
        "",
        *_table(
            ["problem", "what", "regjax, s", "gap", "best peer", "its time, s", "x", "target", ""],
            [row for name, entry in known.items() for row in _best(name, entry)],
        ),
        "",
        "## The elastic net, l1_ratio 0.5",
        "",
        *_table(
            [
                "problem",
                "regjax, s",
                "gap",
                "scikit-learn, s",
                "its gap",
                "x",
                "regjax lasso, s",
                "elastic net / lasso",
                f"at most {_ELASTIC_NET_TARGET}",
            ],
            [_elastic_net(name, entry) for name, entry in known.items() if name in PROBLEMS],
        ),
        "",
        "## Memory and where time goes",
        "",
        "MiB, in a fresh process: the peak above what was held before the call, data included. "
        "Whole: median seconds. Watched: one more run that notes every call of a function, which "
        "costs time; of it, what goes to data (checks, centring, moments) and to duality gaps, "
        "threads added up. The rest is solving.",
        "",
        *_table(
            [
                "problem",
                "what",
                "X, MiB",
                "p x p, MiB",
                "extra, MiB",
                "whole, s",
                "watched, s",
                "data, s",
                "certificates, s",
            ],
            [row for name, entry in known.items() for row in _anatomy(name, entry)],
        ),
        "",
        *_accelerator(known),
        _TRIED.read_text(),
        "## Everybody",
        "",
        "Tolerances are in each peer's own units. Chosen: the place in the grid that "
        "cross-validation chose.",
        "",
        *_table(
            ["problem", "what", "who", "seconds", "runs", "x", "gap", "tolerance", "chosen"],
            [row for name, entry in known.items() for row in _everybody(name, entry)],
        ),
    ]
    return "\n".join(lines) + "\n"


def _accelerator(measured: dict[str, dict[str, Any]]) -> list[str]:
    if not KEPT.exists():
        return []
    kept = json.loads(KEPT.read_text())

    def best(name: str, kind: str) -> tuple[str | None, float | None]:
        entry = measured.get(name, {"races": {}})
        race = entry["races"].get(kind, {})
        return accelerator_table.fastest(race, lambda who: _holds(entry, kind, who))

    rows = accelerator_table.rows(kept, best)
    table = _table(accelerator_table.HEAD, rows)
    return ["## On an accelerator", "", accelerator_table.about(kept), "", *table, ""]


def _text(name: str) -> str:
    return PROBLEMS[name].text if name in PROBLEMS else JOBS[name].text


def _target(name: str, kind: str) -> float | None:
    if name in JOBS:
        return JOBS[name].target
    return {"path": PROBLEMS[name].path_target, "cv": PROBLEMS[name].cv_target}[kind]


def _holds(entry: dict[str, Any], kind: str, who: str) -> bool:
    """Return whether one finished, and at the accuracy asked for."""
    row = entry["races"][kind].get(who, {})
    # The tolerance of a cross-validation is the one that held on the path.
    other = {"scikit-learn, n_jobs=2": SKLEARN}.get(who, who)
    accurate = row if "gap" in row else entry["races"].get("path", {}).get(other, {})
    return "seconds" in row and accurate.get("gap", 1.0) <= TOL


def _best(name: str, entry: dict[str, Any]) -> list[list[str]]:
    rows = []
    for kind in ("path", "cv", "batch"):
        race = entry["races"].get(kind)
        if "seconds" not in (race or {}).get(OURS, {}):
            continue
        ours = race[OURS]["seconds"]
        gap = race[OURS].get("gap")
        others = [who for who in race if who != OURS and _holds(entry, kind, who)]
        target = _target(name, kind)
        shown = [_text(name), _KINDS[kind], _number(ours), "-" if gap is None else f"{gap:.0e}"]
        goal = "-" if target is None else f"{target:g}"
        if not others:
            rows.append([*shown, "none", "-", "-", goal, ""])
            continue
        others.sort(key=lambda who: race[who]["seconds"])
        shown_too = others if kind == "batch" else others[:1]
        # The target of a batch is that over the first one, the plain loop.
        judged = next(who for who in race if who != OURS) if kind == "batch" else others[0]
        for who in shown_too:
            ratio = race[who]["seconds"] / ours
            counts = target is not None and who == judged
            verdict = ("met" if ratio >= target else "missed") if counts else ""
            row = [who, _number(race[who]["seconds"]), f"{ratio:.1f}", goal if counts else "-"]
            rows.append([*shown, *row, verdict])
    return rows


def _elastic_net(name: str, entry: dict[str, Any]) -> list[str]:
    race = entry["races"]["elastic net"]
    ours, theirs = race[OURS], race[SKLEARN]
    lasso = entry["races"]["path"][OURS]
    if "seconds" not in ours or "seconds" not in lasso:
        return [_text(name), ours.get("note", ""), *["-"] * 7]
    share = ours["seconds"] / lasso["seconds"]
    their_time = theirs.get("seconds")
    return [
        _text(name),
        _number(ours["seconds"]),
        f"{ours['gap']:.0e}",
        theirs.get("note", "") if their_time is None else _number(their_time),
        f"{theirs['gap']:.0e}" if "gap" in theirs else "-",
        "-" if their_time is None else f"{their_time / ours['seconds']:.1f}",
        _number(lasso["seconds"]),
        f"{share:.1f}",
        "met" if share <= _ELASTIC_NET_TARGET else "missed",
    ]


def _anatomy(name: str, entry: dict[str, Any]) -> list[list[str]]:
    rows = []
    for kind, parts in entry.get("anatomy", {}).items():
        sizes = [f"{parts[key]:.1f}" if key in parts else "-" for key in ("X", "gram", "extra")]
        times = [
            _number(parts[key]) if key in parts else "-"
            for key in ("whole", "watched", "data", "certificates")
        ]
        rows.append([_text(name), _KINDS[kind], *sizes, *times])
    return rows


def _everybody(name: str, entry: dict[str, Any]) -> list[list[str]]:
    rows = []
    for kind, race in entry["races"].items():
        ours = race[OURS].get("seconds")
        for who, row in race.items():
            seconds = row.get("seconds")
            gap, chosen = row.get("gap"), row.get("chosen")
            rows.append(
                [
                    _text(name),
                    _KINDS[kind],
                    who,
                    row.get("note", "") if seconds is None else _number(seconds),
                    str(row.get("runs", "-")),
                    "-" if seconds is None or ours is None else f"{seconds / ours:.1f}",
                    "-" if gap is None else f"{gap:.0e}",
                    f"{row['tol']:.0e}" if "tol" in row else "-",
                    "-" if chosen is None else str(chosen),
                ]
            )
    return rows


def _number(seconds: float) -> str:
    return f"{seconds:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
