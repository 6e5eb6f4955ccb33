"""Break the package line by line and list what no test notices: `python -m tests.mutants`.

Every mutant of mutants.json is tried in a copy of the tree: first the test that killed it last,
then the tests concerned. Ends with 1 if one survives that is not named equivalent, if one is stale
(its line is gone: draw again), or if `make test` alone kills less than 90 % of what the whole suite
kills. A full run leaves `tests/mutants/results.md`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import queue
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from tests.mutants.data import HERE, Record, load, stale, write
from tests.mutants.trial import QUICK, SLOW, Copy, Outcome, context

SHARE = 0.9
WRONG = {"survived", "stale", "error"}


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("which", nargs="*", help="areas or names of mutants (default: all)")
    parser.add_argument("--suite", choices=["make-test", "whole"], default="whole")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    records = load()
    known = {name for record in records for name in (record.name, record.area)}
    if set(options.which) - known:
        parser.error(
            f"no mutant or area {sorted(set(options.which) - known)}; have {sorted(known)}"
        )
    chosen = [
        record
        for record in records
        if not options.which or {record.name, record.area} & set(options.which)
    ]
    suites = [QUICK] if options.suite == "make-test" else [QUICK, SLOW]
    outcomes = try_all(chosen, suites, options.workers, lambda: write(records))
    if not options.which and options.suite == "whole":
        (HERE / "results.md").write_text(table(records, outcomes))
    return judge(outcomes, options.suite)


def try_all(
    records: list[Record], suites: list[str], workers: int, save: Callable[[], None]
) -> dict[str, Outcome]:
    """Return the outcome of every mutant by name; each killer is noted in its record and saved."""
    left: queue.Queue[Record] = queue.Queue()
    outcomes: dict[str, Outcome] = {}
    for record in records:
        if reason := stale(record.mutant):
            outcomes[record.name] = Outcome("stale", reason=reason)
        elif record.equivalent:
            outcomes[record.name] = Outcome("equivalent", reason=record.equivalent)
        else:
            left.put(record)
    lock = threading.Lock()
    forks = context()

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            copy = Copy(Path(folder), forks)
            while True:
                try:
                    record = left.get_nowait()
                except queue.Empty:
                    return
                try:
                    outcome = copy.try_mutant(record, suites)
                except RuntimeError as error:  # of the tests: the other mutants are tried
                    outcome = Outcome("error", reason=str(error))
                with lock:
                    outcomes[record.name] = outcome
                    if outcome.state == "killed":
                        record.killer = outcome.killer
                        save()
                    print(f"{record.name}: {outcome.state} {outcome.killer}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()
    return outcomes


def judge(outcomes: dict[str, Outcome], suite: str) -> int:
    """Print what is wrong and the counts; return the exit status."""
    states = [outcome.state for outcome in outcomes.values()]
    for name, outcome in outcomes.items():
        if outcome.state in WRONG:
            print(f"{name}: {outcome.state}. {outcome.reason}")
    killed = states.count("killed")
    quick = sum(outcome.marker == QUICK for outcome in outcomes.values())
    print(f"{killed} of {len(states)} killed, {quick} of them in make test,", end=" ")
    print(f"{states.count('equivalent')} equivalent, {states.count('stale')} stale.")
    if suite == "make-test":
        # Every mutant that is not equivalent is killed by the whole suite.
        wrong = {"stale", "error"} & set(states)
        return int(bool(wrong) or killed < SHARE * (killed + states.count("survived")))
    return int(bool(WRONG & set(states)) or quick < SHARE * killed)


def table(records: list[Record], outcomes: dict[str, Outcome]) -> str:
    """Return results.md: the counts of every area, and what kills every mutant."""
    areas = list(dict.fromkeys(record.area for record in records))
    lines = [
        "# Mutants",
        "",
        "Single-line breaks drawn by `python -m tests.mutants.draw`, tried by `make mutants`.",
        "",
        "| area | mutants | killed | in make test | equivalent |",
        "|---|---|---|---|---|",
    ]
    for area in [*areas, "all"]:
        of_area = [outcomes[r.name] for r in records if area in (r.area, "all")]
        states = [outcome.state for outcome in of_area]
        quick = sum(outcome.marker == QUICK for outcome in of_area)
        counts = [len(states), states.count("killed"), quick, states.count("equivalent")]
        lines.append(f"| {area} | " + " | ".join(map(str, counts)) + " |")
    lines += ["", "| mutant | break | where | killed by |", "|---|---|---|---|"]
    for record in records:
        outcome = outcomes[record.name]
        by = f"`{outcome.killer.replace('|', '/')}`" if outcome.killer else outcome.state
        by += " (make slow)" if outcome.marker == SLOW else ""
        by += f": {outcome.reason}" if outcome.reason else ""
        where = f"{record.mutant.file.removeprefix('regjax/')}, {record.mutant.function}"
        lines.append(f"| {record.name} | {record.mutant.operator} | `{where}` | {by} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
