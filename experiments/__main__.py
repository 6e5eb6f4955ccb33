"""All experiments: `python -m experiments` runs them, or those named, and writes RESULTS.md.

`--check` compares the records with those that were there, and ends with 1 where they differ by
more than the experiment's tolerance; `--only-table` runs nothing.
"""

from __future__ import annotations

import argparse
import importlib
import pathlib
import pkgutil
import subprocess
import sys
from types import ModuleType

import experiments
from benchmarks.machine import describe
from experiments.report import differences, kept_manifest, kept_records, verdict

_PAGE = pathlib.Path(__file__).parent / "RESULTS.md"


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(entry.name for entry in pkgutil.iter_modules(experiments.__path__) if entry.ispkg)


def main() -> None:
    """Run, compare, write the page."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join(names()))
    parser.add_argument("--check", action="store_true", help="compare with the records kept")
    parser.add_argument("--only-table", action="store_true", help="from the records kept")
    given = parser.parse_args()
    unknown = set(given.names) - set(names())
    if unknown:
        parser.error(f"no experiment is called {', '.join(sorted(unknown))}")
    wrong = {}
    for name in [] if given.only_table else given.names or names():
        module = importlib.import_module(f"experiments.{name}")
        before = kept_records(module) if given.check else None
        # A process each, so that none finds another's compiled programs or memory.
        subprocess.run([sys.executable, "-m", f"experiments.{name}"], check=True)
        if before is not None:
            wrong[name] = differences(kept_records(module), before, module.RTOL)
    modules = [importlib.import_module(f"experiments.{name}") for name in names()]
    _PAGE.write_text(page(modules), encoding="utf-8")
    for name, found in wrong.items():
        print(f"{name}: {len(found)} differences" if found else f"{name}: as it was")
        for line in found[:5]:
            print(f"  {line}")
    sys.exit(any(wrong.values()))


def page(modules: list[ModuleType]) -> str:
    """Return RESULTS.md: every claim of every experiment, from the records kept."""
    lines = [
        "# What the experiments obtained",
        "",
        "Written by `make experiments`, which runs every experiment at its full size. Seconds are "
        f"of a whole run, compilation included: {describe()}",
        "",
        "| experiment | claim | expected | obtained | tolerance | verdict | s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for module in modules:
        name = module.__name__.removeprefix("experiments.")
        link, seconds = f"[{name}]({name})", f"{kept_manifest(module)['seconds']:.0f}"
        for claim in module.claims(kept_records(module)):
            cells = (link, *claim[:4], verdict(claim), seconds)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
            link = seconds = ""
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
