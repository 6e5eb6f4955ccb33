"""scikit-learn's own tests, run on the drop-ins: `python -m tests.outside`.

Four installed test files run with the classes of `regjax.sklearn` in the place of scikit-learn's.
What counts is tests in which one of them was fitted; what fails must be in `known.py` with its
reason, and what is there must fail. Leaves `tests/outside/outside.md`.
"""

import argparse
import collections
import fnmatch
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from importlib import metadata, util

from tests.outside.known import KNOWN
from tests.outside.plugin import OUTCOMES

HERE = pathlib.Path(__file__).parent
FILES = ["coordinate_descent", "sparse_coordinate_descent", "ridge", "common"]
SHARE = 0.95


def run(workers):
    """Return what became of every test, as the plugin wrote it down."""
    package = pathlib.Path(util.find_spec("sklearn").origin).parent
    files = [str(package / "linear_model" / "tests" / f"test_{name}.py") for name in FILES]
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = pathlib.Path(scratch) / "outcomes.jsonl"
        # Their own settings: ours turn warnings into errors and run doctests.
        settings = ["-c", str(HERE / "outside.ini"), "--rootdir", str(package)]
        settings += ["-p", "tests.outside.plugin", "-n", str(workers), "-q", "--tb=no"]
        command = [sys.executable, "-m", "pytest", *settings, *files]
        environment = os.environ | {OUTCOMES: str(outcomes)}
        subprocess.run(command, cwd=HERE.parents[1], env=environment, check=False)
        return [json.loads(line) for line in outcomes.read_text().splitlines()]


def reason_of(test):
    """Return the pattern of a known failure and why it fails, or None."""
    for pattern, reason in KNOWN.items():
        # Brackets are parameters here, not sets of characters.
        if fnmatch.fnmatchcase(test, pattern.replace("[", "[[]")):
            return pattern, reason
    return None


def judge(outcomes):
    """Return the table, and whether the share is reached and the known failures are as listed."""
    fitted = [line for line in outcomes if line["fitted"]]
    counts = collections.Counter(line["outcome"] for line in fitted)
    judged = counts["passed"] + counts["failed"]
    share = counts["passed"] / max(judged, 1)
    failed = [line for line in outcomes if line["outcome"] == "failed"]
    unlisted = [line["test"] for line in failed if reason_of(line["test"]) is None]
    listed = collections.Counter(reason_of(line["test"]) for line in failed)
    stale = [pattern for pattern in KNOWN if (pattern, KNOWN[pattern]) not in listed]
    passing = collections.Counter(
        reason_of(line["test"]) for line in outcomes if line["outcome"] == "passed"
    )
    rows = [
        f"| `{pattern}` | {listed[pattern, reason]} | {passing[pattern, reason]} | {reason} |"
        for pattern, reason in KNOWN.items()
    ]
    others = sum(not line["fitted"] for line in outcomes)
    lines = [
        "# The tests of scikit-learn on the drop-ins",
        "",
        f"scikit-learn {metadata.version('scikit-learn')}; made by `python -m tests.outside`: its",
        f"{', '.join(f'`test_{name}.py`' for name in FILES)} with the classes of `regjax.sklearn` "
        "in the place of its own.",
        "",
        f"**{counts['passed']} of {judged} tests that fit one of these classes pass, "
        f"{100 * share:.1f} %**; none is deselected. Beside them {counts['xfailed']} of "
        f"scikit-learn's expected failures fit one too; {others} tests fit none or are skipped.",
        "",
        "| what fails | failing | passing | why |",
        "|---|---|---|---|",
        *rows,
    ]
    faults = [f"not in known.py: {test}" for test in unlisted]
    faults += [f"in known.py, but nothing of it fails: {pattern}" for pattern in stale]
    if share < SHARE:
        faults.append(f"the share is below {100 * SHARE:g} %")
    return lines, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="write no table")
    chosen = parser.parse_args()
    lines, faults = judge(run(chosen.workers))
    print("\n".join([*lines, "", *faults]))
    if not chosen.check:
        (HERE / "outside.md").write_text("\n".join(lines) + "\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
