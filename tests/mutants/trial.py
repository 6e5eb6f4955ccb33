"""One mutant in a copy of the tree: which test kills it."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys

from tests.mutants.concerned import concerned
from tests.mutants.data import ROOT, Record, mutated
from tests.mutants.plugin import FAILED

# Whatever `make` and the tools leave behind.
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", "runs", "__pycache__", ".*_cache")
LIMIT_SECONDS = 900
QUICK, SLOW = "not slow", "slow"
PASSED, NOT_FOUND, NONE_SELECTED = 0, 4, 5

# Imported once; every run of tests is a fork. Nothing here may compute before the fork.
PRELOADED = [
    "chex",
    "click",
    "equinox",
    "flax.nnx",
    "hypothesis.extra.numpy",
    "jax.numpy",
    "matplotlib.figure",
    "optax.contrib",
    "pytest",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.model_selection",
]
SETTINGS = {
    # A file that changes twice within a second would be read from its compiled form.
    "PYTHONDONTWRITEBYTECODE": "1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "REGJAX_TEST_CACHE": str(ROOT / ".cache" / "mutants"),
}

PYTEST = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "tests.mutants.plugin"]
# Plugins of what is preloaded are not rewritten.
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `state` is killed, survived, equivalent or stale; `suite` is
    "make test" or "make slow", whichever has the killer."""

    state: str
    killer: str = ""
    suite: str = ""


def context() -> multiprocessing.context.ForkServerContext:
    """Return what forks processes that have imported all but the package."""
    os.environ.update(SETTINGS)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOADED)
    return forks


class Copy:
    """A copy of the tree in which mutants are tried one after the other."""

    def __init__(self, folder: pathlib.Path, forks: multiprocessing.context.ForkServerContext):
        self.root = folder / "tree"
        self.failed, self.output = folder / "failed", folder / "output"
        self.forks = forks
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)

    def try_mutant(self, record: Record, suites: list[str]) -> Outcome:
        """Return which test kills the mutant: the recorded one, else the first one concerned."""
        file = self.root / record.mutant.file
        source = file.read_text()
        file.write_text(mutated(record.mutant, source))
        nearest, *others = concerned(record.area, record.mutant.file)
        choices = [[record.killer], nearest, *others]
        try:
            for tests in filter(any, choices):
                for marker in suites:
                    killer = self.first_failure(tests, marker)
                    if killer:
                        target = "make test" if marker == QUICK else "make slow"
                        return Outcome("killed", killer, target)
        finally:
            file.write_text(source)
        return Outcome("survived")

    def first_failure(self, tests: list[str], marker: str) -> str:
        """Return the first of the tests that fails, or "" where all pass."""
        self.failed.unlink(missing_ok=True)
        arguments = [*PYTEST, "-m", marker, *tests]
        process = self.forks.Process(
            target=_run, args=(self.root, self.failed, self.output, arguments)
        )
        process.start()
        process.join(LIMIT_SECONDS)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            return f"{tests[0]} (out of time)"
        if process.exitcode in (PASSED, NONE_SELECTED):
            return ""
        if self.failed.exists():
            return self.failed.read_text()
        if process.exitcode == NOT_FOUND and len(tests) == 1:
            return ""  # the recorded test is gone: those concerned are run next
        raise RuntimeError(f"pytest {arguments}:\n{self.output.read_text()}")


def _run(
    root: pathlib.Path, failed: pathlib.Path, output: pathlib.Path, arguments: list[str]
) -> None:
    os.setpgrp()
    os.chdir(root)
    os.environ |= {"PYTHONPATH": str(root), FAILED: str(failed)}
    sys.path.insert(0, str(root))
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

    import pytest

    import regjax

    if pathlib.Path(regjax.__file__).parents[1] != root:
        raise RuntimeError(f"{regjax.__file__} is not of the copy {root}.")
    sys.exit(int(pytest.main(arguments)))
