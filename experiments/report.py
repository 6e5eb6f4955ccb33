"""What every experiment's command does: run, hold against the claims, write, draw, print.

An experiment is a package of this folder with

- `Config`: a frozen dataclass, the full size; its field `seed` makes the key;
- `run(config, key) -> list[Record]`: pure; a column whose name ends in (s) or (ms) holds times;
- `draw(records) -> Figure`;
- `claims(records) -> list[Claim]`: what the source says, held against the records;
- `RTOL`: relative tolerance of numbers that are made again on another machine.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import platform
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

Record = dict[str, Any]

_PACKAGES = ("regjax", "jax", "optax", "numpy")
_MANIFEST = "manifest.json"
_RECORDS = "records.json"


class Claim(NamedTuple):
    """A sentence of the source, held against what was obtained.

    Attributes:
        text: what is claimed, in one line.
        expected: the number or the relation that the source or theory gives.
        obtained: the same of the records.
        tolerance: how far they may lie apart.
        holds: whether they do not lie farther apart.
    """

    text: str
    expected: str
    obtained: str
    tolerance: str
    holds: bool


def folder_of(experiment: ModuleType) -> pathlib.Path:
    """Return the experiment's own folder."""
    return pathlib.Path(str(experiment.__file__)).parent


def run_command(experiment: ModuleType) -> None:
    """Run the experiment at its full size and write records, manifest and figure to its folder."""
    folder, config = folder_of(experiment), experiment.Config()
    started = time.perf_counter()
    with Console().status(f"running {folder.name}"):
        records = list(experiment.run(config, jax.random.key(config.seed)))
    seconds = time.perf_counter() - started
    _write_json(folder / _RECORDS, records)
    manifest = {
        "config": dataclasses.asdict(config),
        "seconds": round(seconds, 1),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
    }
    _write_json(folder / _MANIFEST, manifest)
    experiment.draw(records).savefig(folder / "figure.png", dpi=150)
    _print_records(records)
    _print_claims(experiment.claims(records))
    print(f"Records, manifest and figure: {folder} [{seconds:.1f} s]")


def kept_records(experiment: ModuleType) -> list[Record]:
    """Return the records in the experiment's folder."""
    return json.loads((folder_of(experiment) / _RECORDS).read_text(encoding="utf-8"))


def kept_manifest(experiment: ModuleType) -> dict[str, Any]:
    """Return the manifest in the experiment's folder."""
    return json.loads((folder_of(experiment) / _MANIFEST).read_text(encoding="utf-8"))


def differences(records: Any, kept: Any, rtol: float) -> list[str]:
    """Return where two sets of records differ by more than `rtol`, times left out.

    Numbers may differ by `rtol` times the largest number of their kind: of their list, or of
    their column over all records.

    Example:
        >>> differences([{"loss": 1.0, "run (s)": 2.0}], [{"loss": 1.1, "run (s)": 9.0}], 0.01)
        ['loss: 1.0 for 1.1']
        >>> differences([{"loss": 1.0}], [{"loss": 1.1}], 0.2)
        []
    """
    new, old = (dict(_leaves(json.loads(json.dumps(part)))) for part in (records, kept))
    if list(new) != list(old):
        return ["the records have other columns or another number of rows"]
    scales: dict[str, float] = {}
    for (column, _), value in old.items():
        if _is_finite(value):
            scales[column] = max(scales.get(column, 0.0), abs(value))
    return [
        f"{column}: {value} for {old[column, place]}"
        for (column, place), value in new.items()
        if not _agree(value, old[column, place], rtol * scales.get(column, 0.0))
    ]


def _leaves(records: list[Record]) -> Iterator[tuple[tuple[str, tuple], Any]]:
    """Yield ((column, place), value) of whatever is no list and no dictionary."""
    stack: list[tuple[str, tuple, Any]] = [("", (), records)]
    while stack:
        column, place, value = stack.pop()
        if isinstance(value, dict):
            stack += [(key, (*place, key), part) for key, part in value.items()]
        elif isinstance(value, list):
            stack += [(column, (*place, i), part) for i, part in enumerate(value)]
        elif not column.endswith(("(s)", "(ms)")):
            yield (column, place), value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _agree(value: Any, kept: Any, atol: float) -> bool:
    if _is_finite(value) and _is_finite(kept):
        return abs(value - kept) <= atol
    return repr(value) == repr(kept)


def _write_json(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _print_records(records: Sequence[Record]) -> None:
    # Records of several questions have a few columns in common.
    columns = [
        name
        for name in records[0]
        if all(name in r and not isinstance(r[name], list | dict) for r in records)
    ]
    table = Table()
    for name in columns:
        table.add_column(name)
    for record in records:
        values = (record[name] for name in columns)
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    Console().print(table)


def _print_claims(claims: Sequence[Claim]) -> None:
    table = Table("claim", "expected", "obtained", "tolerance", "verdict")
    for claim in claims:
        table.add_row(*claim[:4], verdict(claim))
    Console().print(table)


def verdict(claim: Claim) -> str:
    """Return the verdict as a table shows it."""
    return "holds" if claim.holds else "does not hold here"
