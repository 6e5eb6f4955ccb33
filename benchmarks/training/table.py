"""The page made of what was measured."""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks.training.contestants import OURS, PLAIN
from benchmarks.training.problem import BATCH, HIDDEN, LEARNING_RATE, REGULARIZERS

_LOOP, _PROCESSES = "PyTorch, loop", "PyTorch, fused, 2 processes"
_WITHIN, _SHARE, _CHUNK_MS, _EVEN = 1.10, 0.03, 10.0, 1.10
_CLOSE = 1e-6
_TRIED = pathlib.Path(__file__).parent / "tried.md"


def page(measured: dict[str, dict[str, Any]]) -> str:
    """Return the page, with the parts that were measured."""
    machines: dict[str, list[str]] = {}
    for name, entry in measured.items():
        told = f"{entry['machine']} {entry['torch']}; sizes: {entry['size']}."
        machines.setdefault(told, []).append(name)
    lines = [
        "# Trainings at many strengths beside PyTorch and plain JAX",
        "",
        *[f"{', '.join(names)}: {machine}" for machine, names in machines.items()],
        "",
        f"Made by `python -m benchmarks.training`: the digits, 1,797 x 64, a perceptron "
        f"64-{HIDDEN}-10, batches of {BATCH}, Adam with learning rate {LEARNING_RATE:g} in "
        "float32, the same initial weights and batches for all, all parameters decayed: `adam_l2` "
        "in the gradient, `adamw` beside it. Everybody in a process of its own, in turn, medians "
        "of seconds for all strengths. First: the first run of a fresh process, libraries "
        "imported and data made, no compilation kept. `out`: with the store and the files on disk.",
        "",
    ]
    for name in REGULARIZERS:
        if name in measured:
            lines += _race(name, measured[name]["found"])
    for name, section in _SECTIONS.items():
        if name in measured:
            lines += section(measured[name]["found"])
    lines.append(_TRIED.read_text())
    return "\n".join(lines).rstrip() + "\n"


def _race(name: str, rows: dict[str, Any]) -> list[str]:
    table = [
        [who, row["note"], *["-"] * 3]
        if "note" in row
        else [who, *(_number(row[key]) for key in ("first", "seconds", "least")), str(row["runs"])]
        for who, row in rows.items()
    ]
    return [
        f"## {name}",
        "",
        *_table(["who", "first, s", "warm, s", "least, s", "runs"], table),
        "",
        *_table(["what", "who", "measured", "target", ""], _targets(rows)),
        "",
    ]


def _targets(rows: dict[str, Any]) -> list[list[str]]:
    def time(who: str, key: str) -> float | None:
        return rows.get(who, {}).get(key)

    plain = {who: seconds for who in PLAIN if (seconds := time(who, "seconds")) is not None}
    best = min(plain, key=plain.__getitem__, default="")
    found = []
    for who in OURS:
        warm, first = time(who, "seconds"), time(who, "first")
        if warm is None or first is None:
            continue
        for text, peer, ours, goal in (
            ("PyTorch loop / warm", _LOOP, warm, 20.0),
            ("PyTorch fused, 2 processes / warm", _PROCESSES, warm, 8.0),
            ("PyTorch loop / first", _LOOP, first, 5.0),
        ):
            theirs = time(peer, "seconds")
            if theirs is not None:
                ratio = theirs / ours
                found.append([text, who, f"{ratio:.1f}", f">= {goal:g}", _verdict(ratio >= goal)])
        if best:
            ratio = warm / plain[best]
            row = [f"warm / best plain JAX ({best.removeprefix('JAX, ')})", who, f"{ratio:.2f}"]
            found.append([*row, f"<= {_WITHIN}", _verdict(ratio <= _WITHIN)])
    return sorted(found, key=lambda row: row[0])


def _agreement(found: dict[str, Any]) -> list[str]:
    rows = []
    for who, row in found.items():
        cells = []
        for dtype in ("float64", "float32"):
            seen = row[dtype]
            keys = ("median", "largest")
            cells += [seen["note"], "-"] if "note" in seen else [f"{seen[k]:.1e}" for k in keys]
        largest = row["float64"].get("largest")
        verdict = "-" if largest is None else _verdict(largest <= _CLOSE)
        rows.append([*who.split(": "), *cells[:2], verdict, *cells[2:]])
    head = ["regularizer", "who", "float64, median", "float64, largest", f"<= {_CLOSE:g}"]
    return [
        "## Equal results",
        "",
        "Relative differences of the final training loss from a loop in NumPy, float64, written "
        "out by hand; over the strengths.",
        "",
        *_table([*head, "float32, median", "float32, largest"], rows),
        "",
    ]


def _overhead(found: dict[str, Any]) -> list[str]:
    rows = []
    for name, row in found.items():
        if "note" in row:
            rows.append([name, row["note"], *["-"] * 11])
            continue
        for way in ("memory", "disk"):
            share, outside = row[f"{way} / bare"] - 1, row[f"{way}, outside"]
            per_chunk = 1e3 * (row[way] - row["bare"]) / row["chunks"]
            rows.append(
                [
                    name,
                    way,
                    str(row["chunks"]),
                    *(_number(row[key]) for key in ("bare", way)),
                    f"{100 * share:.1f}",
                    _verdict(share < _SHARE),
                    f"{100 * outside:.1f}",
                    _verdict(outside < _SHARE),
                    f"{per_chunk:.2f}",
                    _verdict(per_chunk < _CHUNK_MS),
                    str(row["runs"]),
                ]
            )
    head = ["model", "store", "chunks", "bare, s", "run_sweep, s", "more, %", "< 3"]
    head += ["outside of legs, %", "< 3", "ms per chunk", "< 10", "runs"]
    return [
        "## What the engine adds",
        "",
        "Bare: the compiled program of the engine on the same chunks and as many threads, its "
        "arguments ready; for the `Training` start and all legs, each with its look. run_sweep: "
        "planning, chunks, store, progress and table included, warm. More: the median of the "
        "ratios within a round. Outside of legs: of the threads' time in a sweep, what was not "
        "spent in a compiled program or beside it on arguments and results; the machine's own "
        "moods, which the other columns hold too, are not in it.",
        "",
        *_table(head, rows),
        "",
    ]


def _lanes(found: dict[str, Any]) -> list[str]:
    rows, told = [], []
    for name, counts in found.items():
        for n, row in counts.items():
            each = 1e3 * row["seconds"] / int(n)
            rows.append([name, f"{int(n):,}", _number(row["seconds"]), f"{each:.3g}"])
            rows[-1].append(f"{row['peak']:.0f}")
        if len(counts) < 2:
            continue
        paces = [row["seconds"] / int(n) for n, row in counts.items()]
        peaks = [row["peak"] for row in counts.values()]
        for text, ratio in (
            ("time per lane, most lanes / cheapest of the others", paces[-1] / min(paces[:-1])),
            ("peak memory, most lanes / fewest", peaks[-1] / peaks[0]),
        ):
            goal = f"<= {_EVEN}"
            told.append([text, name, f"{ratio:.2f}", goal, _verdict(ratio <= _EVEN)])
    return [
        "## Many lanes",
        "",
        "8 lanes at a time, with the store on disk, every number from a fresh process after a "
        "sweep of 8 lanes; the peak is of all resident memory, libraries included.",
        "",
        *_table(["model", "lanes", "seconds", "ms per lane", "peak, MiB"], rows),
        "",
        *_table(["what", "model", "measured", "target", ""], told),
        "",
    ]


def _accelerator(found: dict[str, Any]) -> list[str]:
    if not found.get("device"):
        told = found.get("note", "JAX found none on this machine, and nothing was measured.")
        return ["## On an accelerator", "", told, ""]
    loop = found.get("loop")
    rows = [
        [width, f"{rate:.1f}", "-" if loop is None else f"{rate / loop:.1f}"]
        for width, rate in found["widths"].items()
    ]
    told = "not there" if loop is None else f"{loop:.2f} lanes per second"
    return [
        "## On an accelerator",
        "",
        f"{found['device']}, `adamw`, one chunk, warm; the PyTorch loop on the same device: "
        f"{told}. {found.get('note', '')}".rstrip(),
        "",
        *_table(["lanes at a time", "lanes per second", "x the PyTorch loop"], rows),
        "",
    ]


_SECTIONS = {
    "agreement": _agreement,
    "overhead": _overhead,
    "lanes": _lanes,
    "accelerator": _accelerator,
}


def _verdict(holds: bool) -> str:
    return "met" if holds else "missed"


def _number(seconds: float) -> str:
    return f"{seconds:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
