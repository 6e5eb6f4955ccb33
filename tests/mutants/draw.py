"""Draw the mutants: `python -m tests.mutants.draw` replaces those of mutants.json that are stale.

What is not stale stays, with what is recorded of it; without the file, all are drawn. Every
candidate has a random rank that depends on the seed and on its own text alone.
"""

from __future__ import annotations

import argparse
import ast
import collections

from tests.mutants.data import FILE, PACKAGE, ROOT, load, mutated, save, stale
from tests.mutants.operators import Mutant, mutants_of

SEED = 20
# Area: its files, and how many mutants it gets.
AREAS = {
    "penalties": (["penalties/*.py"], 10),
    "transforms": (["transforms/*.py"], 10),
    "masks": (["masks.py"], 5),
    "conventions": (["conventions.py"], 4),
    "paths": (["paths/*.py", "paths/data/*.py", "paths/engines/*.py"], 12),
    "traced paths": (["paths/traced/*.py"], 6),
    "sweep engine": (["sweeps/lanes/*.py"], 9),
    "table sweeps": (["sweeps/*.py"], 7),
    "tables": (["tables/*.py"], 5),
    "fits": (["fits/*.py"], 4),
    "losses": (["losses.py"], 2),
    "objectives": (["objectives.py"], 3),
    "diagnostics": (["diagnostics.py"], 4),
    "solvers": (["solvers/*.py"], 5),
    "sklearn": (["sklearn/*.py"], 5),
    "regression": (["regression.py", "_*.py"], 3),
    "command": (["cli/*.py"], 3),
}


def draw(kept: dict[str, list[Mutant]], seed: int = SEED) -> dict[str, list[Mutant]]:
    """Return the mutants of every area: those kept, then operators in turn, no function twice."""
    return {
        area: _draw_area(files, quota, kept.get(area, []), seed)
        for area, (files, quota) in AREAS.items()
    }


def _draw_area(patterns: list[str], quota: int, kept: list[Mutant], seed: int) -> list[Mutant]:
    files = sorted({file for pattern in patterns for file in PACKAGE.glob(pattern)})
    by_operator = collections.defaultdict(list)
    for file in files:
        name = file.relative_to(PACKAGE.parent).as_posix()
        for mutant in mutants_of(name, file.read_text()):
            by_operator[mutant.operator].append(mutant)
    for mutants in by_operator.values():
        mutants.sort(key=lambda mutant: mutant.rank(seed))
    drawn = kept[:quota]
    # The operator whose first mutant ranks first begins.
    queues = sorted(by_operator.values(), key=lambda mutants: mutants[0].rank(seed))
    while queues and len(drawn) < quota:
        for queue in queues:
            taken = {(mutant.file, mutant.function) for mutant in drawn}
            while queue:
                mutant = queue.pop(0)
                if (mutant.file, mutant.function) not in taken and _parses(mutant):
                    drawn.append(mutant)
                    break
        queues = [queue for queue in queues if queue]
    return drawn[:quota]


def _parses(mutant: Mutant) -> bool:
    try:
        ast.parse(mutated(mutant, (ROOT / mutant.file).read_text()))
    except SyntaxError:
        return False
    return True


def main() -> None:
    """Write the drawn mutants; what was recorded of those that were drawn before stays."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.draw", description=__doc__)
    parser.parse_args()
    records = load()
    kept: dict[str, list[Mutant]] = {}
    for record in records:
        if not stale(record.mutant):
            kept.setdefault(record.area, []).append(record.mutant)
    drawn = draw(kept)
    save(drawn, {record.mutant: record for record in records})
    print(f"{sum(map(len, drawn.values()))} mutants in {FILE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
