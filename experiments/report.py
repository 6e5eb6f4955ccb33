"""What every experiment's command does: run, write records, manifest and figure, print."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

Record = dict[str, Any]


def run_command(
    folder: pathlib.Path,
    config: Any,
    run: Callable[[Any, jax.Array], Sequence[Record]],
    draw: Callable[[Sequence[Record]], Figure],
) -> None:
    """Run the experiment and write `records.json`, `manifest.json` and `figure.png` to `folder`.

    Args:
        folder: the experiment's own folder.
        config: its frozen dataclass; the field `seed` makes the key.
        run: pure function of configuration and key that returns the records.
        draw: function of the records that returns the figure.
    """
    started = time.perf_counter()
    with Console().status(f"running {folder.name}"):
        records = list(run(config, jax.random.key(config.seed)))
    seconds = time.perf_counter() - started
    (folder / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    manifest = {
        "config": dataclasses.asdict(config),
        "versions": {name: metadata.version(name) for name in ("regjax", "jax", "optax", "numpy")},
        "python": platform.python_version(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    draw(records).savefig(folder / "figure.png", dpi=150)
    _print(records)
    print(f"Records, manifest and figure: {folder} [{seconds:.1f} s]")


def _print(records: Sequence[Record]) -> None:
    columns = [name for name, value in records[0].items() if not isinstance(value, list)]
    table = Table()
    for name in columns:
        table.add_column(name)
    for record in records:
        values = (record[name] for name in columns)
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    Console().print(table)
