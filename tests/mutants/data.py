"""mutants.json: the mutants, what killed them last, and why some cannot be killed."""

from __future__ import annotations

import ast
import dataclasses
import json
import pathlib
import threading

from tests.mutants.operators import Mutant

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = ROOT / "regjax"
FILE = HERE / "mutants.json"


class StaleError(ValueError):
    """The line of a mutant is no longer in its function."""


@dataclasses.dataclass
class Record:
    """A mutant, the test that killed it last (a node id or "" before any), and the reason why no
    test can, if it computes the same."""

    name: str
    area: str
    mutant: Mutant
    killer: str = ""
    equivalent: str = ""


def load() -> list[Record]:
    """Return the records, or none before the first draw."""
    if not FILE.exists():
        return []
    rows = json.loads(FILE.read_text())
    fields = [field.name for field in dataclasses.fields(Mutant)]
    return [
        Record(
            row["name"],
            row["area"],
            Mutant(**{field: row[field] for field in fields}),
            row["killer"],
            row.get("equivalent", ""),
        )
        for row in rows
    ]


def save(drawn: dict[str, list[Mutant]], recorded: dict[Mutant, Record]) -> None:
    """Write the drawn mutants with what was recorded of them."""
    records = []
    for area, mutants in drawn.items():
        used = {recorded[mutant].name for mutant in mutants if mutant in recorded}
        numbers = (f"{area} {i}" for i in range(1, 10**6))
        free = (name for name in numbers if name not in used)
        for mutant in mutants:
            old = recorded.get(mutant)
            records.append(old or Record(next(free), area, mutant))
    write(records)


def write(records: list[Record]) -> None:
    """Write the records."""
    rows = []
    for record in records:
        row = {"name": record.name, "area": record.area} | dataclasses.asdict(record.mutant)
        row["killer"] = record.killer
        if record.equivalent:
            row["equivalent"] = record.equivalent
        rows.append(row)
    FILE.write_text(json.dumps(rows, indent=1) + "\n")


def mutated(mutant: Mutant, source: str) -> str:
    """Return the module's source with the mutant's line.

    Raises:
        StaleError: if the line does not stand exactly once in the function.
    """
    span = _span(mutant.function, source)
    lines = source.splitlines()
    at = [i for i in range(*span) if lines[i] == mutant.before] if span else []
    if len(at) != 1:
        where = f"{mutant.file}, {mutant.function}"
        raise StaleError(f"{where}: {len(at)} lines read {mutant.before.strip()!r}")
    lines[at[0]] = mutant.after
    return "\n".join(lines) + "\n"


def stale(mutant: Mutant) -> str:
    """Return why the mutant does not apply to the tree, or ""."""
    try:
        mutated(mutant, (ROOT / mutant.file).read_text())
    except (StaleError, FileNotFoundError) as error:
        return str(error)
    return ""


# Trees of two threads at a time may fail (Python 3.11, "recursion depth mismatch").
_parsing = threading.Lock()


def _span(function: str, source: str) -> tuple[int, int] | None:
    """Return the first line of the function, counted from 0, and the one after its last."""
    with _parsing:
        node: ast.AST = ast.parse(source)
    for name in function.split("."):
        named = [child for child in ast.walk(node) if getattr(child, "name", None) == name]
        if not named:
            return None
        node = named[0]
    return node.lineno - 1, node.end_lineno
