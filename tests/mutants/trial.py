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
from tests.mutants.plugin import FAILED, FOLDER, RUNNING

# Whatever `make` and the tools leave behind.
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", "runs", "__pycache__", ".*_cache")
# A mutant may never end. The machine may be busy: nothing is measured by these.
LIMIT_SECONDS, MANY_LIMIT_SECONDS = 300, 1200
OUTPUT = "output"
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
    "REGJAX_TEST_CACHE": str(ROOT / ".cache" / "mutants"),
}

PYTEST = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "tests.mutants.plugin"]
PYTEST += ["--hypothesis-seed=0"]
# Plugins of what is preloaded are not rewritten.
PYTEST += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        state: killed, survived, equivalent, stale or error.
        killer: the test, by its node id.
        marker: `QUICK` where it runs in make test, else `SLOW`.
        reason: why a mutant is equivalent, stale or could not be tried.
    """

    state: str
    killer: str = ""
    marker: str = ""
    reason: str = ""


def context() -> multiprocessing.context.ForkServerContext:
    """Return what forks processes that have imported all but the package."""
    os.environ.update(SETTINGS)
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOADED)
    return forks


class Copy:
    """A copy of the tree in which mutants are tried one after the other."""

    def __init__(self, folder: pathlib.Path, forks: multiprocessing.context.ForkServerContext):
        self.root, self.notes = folder / "tree", folder / "notes"
        self.notes.mkdir()
        self.forks = forks
        # Tests that were seen to pass without a mutant.
        self.sound: set[str] = set()
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)

    def try_mutant(self, record: Record, suites: list[str]) -> Outcome:
        """Return which test kills the mutant: the recorded one, else the first one concerned.

        Raises:
            RuntimeError: if that test fails without the mutant too.
        """
        choices = [[record.killer], *concerned(record.area, record.mutant.file)]
        for tests in filter(any, choices):
            for marker in suites:
                killer = self._with_mutant(record, tests, marker)
                if killer and self._passes(killer, marker):
                    return Outcome("killed", killer, marker)
                if killer and killer != record.killer:
                    raise RuntimeError(f"{killer} fails without a mutant too.")
        return Outcome("survived")

    def _with_mutant(self, record: Record, tests: list[str], marker: str) -> str:
        file = self.root / record.mutant.file
        source = file.read_text()
        file.write_text(mutated(record.mutant, source))
        try:
            return self.first_failure(tests, marker)
        finally:
            file.write_text(source)

    def _passes(self, test: str, marker: str) -> bool:
        if test not in self.sound and not self.first_failure([test], marker):
            self.sound.add(test)
        return test in self.sound

    def first_failure(self, tests: list[str], marker: str) -> str:
        """Return the first of the tests that fails or takes too long, or "" where all pass."""
        for note in self.notes.iterdir():
            note.unlink()
        arguments = [*PYTEST, "-m", marker, *tests]
        process = self.forks.Process(target=_run, args=(self.root, self.notes, arguments))
        process.start()
        process.join(LIMIT_SECONDS if len(tests) == 1 else MANY_LIMIT_SECONDS)
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            running = self.notes / RUNNING
            return running.read_text() if running.exists() else tests[0]
        failed = self.notes / FAILED
        if process.exitcode in (PASSED, NONE_SELECTED):
            return ""
        if failed.exists():
            return failed.read_text()
        if process.exitcode == NOT_FOUND and len(tests) == 1:
            return ""  # the recorded test is gone: those concerned are run next
        output = (self.notes / OUTPUT).read_text()
        raise RuntimeError(f"pytest {arguments}:\n{output}")


def _run(root: pathlib.Path, notes: pathlib.Path, arguments: list[str]) -> None:
    os.setpgrp()
    os.chdir(root)
    os.environ |= {"PYTHONPATH": str(root), FOLDER: str(notes)}
    sys.path.insert(0, str(root))
    with open(notes / OUTPUT, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)

    import jax
    import pytest

    import regjax

    # As the Makefile does, and for the processes that a test starts.
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"

    if pathlib.Path(regjax.__file__).parents[1] != root:
        raise RuntimeError(f"{regjax.__file__} is not of the copy {root}.")
    sys.exit(int(pytest.main(arguments)))
