"""Does to small sweeps whatever can befall them, and writes `benchmarks/faults.md`.

`python -m benchmarks.faults`. Every sweep runs in a process of its own, and what is left of it is
taken up by another. "Equal" is `results.csv` and all parameters byte for byte those of a sweep that
nothing disturbed.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from benchmarks.faults.sweeps import SWEEPS, TRAINING, Process, X, Y, grid, kill_at_random, sweep
from benchmarks.machine import describe
from regjax.sweeps import Grid, Training
from regjax.sweeps.lanes import places, store
from regjax.sweeps.lanes.programs import SteppedProgram

KILLS = 30
STRIDE = 5
Tell = Callable[[Any], None]


class Row(NamedTuple):
    """A line of the table: `good` of `often` came out as they should."""

    fault: str
    done: str
    outcome: str
    good: int
    often: int


def files(out: pathlib.Path) -> dict[str, bytes]:
    """Return what a finished sweep is known by."""
    found = [out / "results.csv", *sorted((out / "params").glob("*"))]
    return {path.name: path.read_bytes() for path in found if path.is_file()}


class Faults:
    """All faults, in a folder of their own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder, self._number = folder, 0
        self._whole: dict[str, dict[str, bytes]] = {}

    def rows(self) -> Iterator[Row]:
        """Yield a row per fault."""
        for name in SWEEPS:
            yield self.killed_at_random(name)
        for name in ("pure", "halving"):
            yield self.killed_at_every_statement(name)
        for name in ("pure", "halving"):
            yield self.interrupted(name)
        yield self.full_disk()
        yield self.second_process()
        yield from self.torn()
        yield from self.no_store()
        yield self.clock()
        yield from self.failing_groups()
        yield from self.out_of_memory()
        yield from self.changed()
        yield self.finished()
        yield self.network()
        yield self.no_room()

    def _new(self) -> pathlib.Path:
        self._number += 1
        return self._folder / str(self._number)

    def _undisturbed(self, name: str, **options: Any) -> dict[str, bytes]:
        key = name + repr(sorted(options.items()))
        if key not in self._whole:
            out = self._new()
            assert _ends(name, out, **options) is None
            self._whole[key] = files(out)
        return self._whole[key]

    def _resumed(self, name: str, out: pathlib.Path, **options: Any) -> bool:
        """Return whether a sweep that is taken up comes to the same."""
        whole = self._undisturbed(name, **options)
        return _ends(name, out, **options) is None and files(out) == whole

    def killed_at_random(self, name: str) -> Row:
        out = self._new()
        kills, status = kill_at_random(name, out, 1, KILLS)
        equal = status == 0 and files(out) == self._undisturbed(name)
        done = f"SIGKILL at random moments until it was done, {name}"
        return Row("process killed", done, "equal after the last", kills * equal, kills)

    def killed_at_every_statement(self, name: str) -> Row:
        statements, good = 0, 0
        while True:
            out = self._new()
            process = Process(functools.partial(_dies_at, statements, name, out))
            process.all_heard()
            if process.end() == 0:
                break
            good += self._resumed(name, out, **SMALL)
            # Each kind of transaction is cut somewhere: before it, in it, after it.
            statements += STRIDE
        done = f"SIGKILL before every {STRIDE}th statement of the database in turn, {name}"
        return Row("process killed", done, "equal after one resume", good, statements // STRIDE)

    def interrupted(self, name: str) -> Row:
        rng, good, often = random.Random(2), 0, 5
        for _ in range(often):
            out = self._new()
            process = Process(functools.partial(_tells, name, out, {}))
            first = process.heard()
            time.sleep(rng.uniform(0, 0.3))
            process.send(signal.SIGINT)
            told = [first, *process.all_heard()]
            steps = told[-1][2]
            status = process.end()
            # The steps of both are those of one: none is made twice.
            resumed = Process(functools.partial(_tells, name, out, {}))
            more = resumed.all_heard()
            whole = resumed.end() == 0 and files(out) == self._undisturbed(name)
            good += status == 3 and whole and steps + more[-1][2] == _steps(out)
        done = f"SIGINT at a random moment, {name}"
        return Row(
            "Ctrl-C", done, "clean exit, equal after resume, no step made twice", good, often
        )

    def full_disk(self) -> Row:
        out, good = self._new(), 0
        sizes = (20_000, 50_000, 60_000, 70_000, 80_000)
        for size in sizes:
            told = _ends("stepped", out, limit=size)
            good += told is not None and "make room on the disk" in told
        equal = self._resumed("stepped", out)
        done = "files may not grow beyond 20 to 80 kB (RLIMIT_FSIZE), one after the other"
        return Row("disk full", done, "told so; equal when there is room", good * equal, len(sizes))

    def second_process(self) -> Row:
        out = self._new()
        first = Process(functools.partial(_tells, "stepped", out, {}))
        first.heard()
        told = _ends("stepped", out) or ""
        first.send(signal.SIGKILL)
        first.end()
        good = "Another process is at work" in told and self._resumed("stepped", out)
        done = "a second process on the folder; then the first is killed"
        return Row("two writers", done, "refused; goes on after the first has died", good, 1)

    def _killed_halfway(self) -> pathlib.Path:
        out = self._new()
        process = Process(functools.partial(_tells, "stepped", out, {}))
        while process.heard()[0] < 30:
            pass
        process.send(signal.SIGKILL)
        process.end()
        # What is in the log beside it goes into the file.
        path = _store(out)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return out

    def torn(self) -> Iterator[Row]:
        out = self._killed_halfway()
        whole, rng = _store(out).read_bytes(), np.random.default_rng(0)
        flipped = []
        for place in rng.integers(len(whole), size=30):
            bits = bytearray(whole)
            bits[place] ^= 1 << int(rng.integers(8))
            flipped.append(bytes(bits))
        parts = [whole[: len(whole) * part // 8] for part in range(1, 8)]
        for fault, done, cases in (
            ("store truncated", "1/8 to 7/8 of its bytes left", parts),
            ("store with a flipped bit", "one bit at a random place", flipped),
        ):
            refused = equal = 0
            for data in cases:
                place = self._new()
                _store(place).parent.mkdir()
                _store(place).write_bytes(data)
                told = _ends("stepped", place)
                if told is None:
                    equal += files(place) == self._undisturbed("stepped")
                else:
                    refused += "cannot be read as a sweep" in told or "has other" in told
            outcome = f"refused with the remedy {refused}, equal {equal}"
            yield Row(fault, done, outcome, refused + equal, len(cases))

    def no_store(self) -> Iterator[Row]:
        foreign, older = self._new(), self._new()
        for path, text in (
            (foreign, "CREATE TABLE mine (a)"),
            (
                older,
                "CREATE TABLE facts (name, value); INSERT INTO facts VALUES ('format', '\"0\"')",
            ),
        ):
            connection = sqlite3.connect(path)
            connection.executescript(text)
            connection.close()
        for done, data in (
            ("a text file", b"a letter to my aunt\n" * 100),
            ("a database of something else", foreign.read_bytes()),
            ("a store of another version", older.read_bytes()),
        ):
            out = self._new()
            _store(out).parent.mkdir()
            _store(out).write_bytes(data)
            told = _ends("pure", out) or ""
            good = "cannot be read as a sweep" in told and _store(out).read_bytes() == data
            yield Row("no store", f"{done} in its place", "refused, left as it was", good, 1)

    def clock(self) -> Row:
        out = self._new()
        good = _ends("halving", out, clock=True) is None
        good = good and files(out) == self._undisturbed("halving")
        return Row("clock goes back", "eleven days at every look", "equal", good, 1)

    def failing_groups(self) -> Iterator[Row]:
        lanes = grid(2) * Grid.product(kind=["good", "raises", "other"])
        options = {"train": _by_kind, "grid": lanes}
        out = self._new()
        good = _ends("pure", out, **options) is None
        rows = (out / "results.csv").read_text().splitlines()[1:]
        good = good and [row.count(",failed,") for row in rows] == [0, 1, 1] * 12
        done = "the training function raises in one group, returns other metrics in another"
        yield Row("group fails", done, "fails alone, with its reason; the others are done", good, 1)
        options["grid"] = grid(2) * Grid.product(kind=["raises"])
        told = _ends("pure", self._new(), **options)
        outcome = "its error is raised"
        yield Row("all groups fail", "it raises in all", outcome, told == "no such kind", 1)

    def out_of_memory(self) -> Iterator[Row]:
        whole = self._undisturbed("stepped", grid=grid(4), width=2)
        out = self._new()
        good = _ends("stepped", out, grid=grid(4), width=8, memory=2) is None
        events = (out / "events.csv").read_text()
        good = good and files(out) == whole and "from 1 x 8" in events and "to 1 x 2" in events
        done = "legs of more than two lanes raise RESOURCE_EXHAUSTED"
        yield Row("out of memory", done, "width halved and recorded, goes on", good, 1)
        out = self._new()
        good = _ends("stepped", out, memory=0) is None
        rows = (out / "results.csv").read_text().splitlines()[1:]
        good = good and all(",failed," in row for row in rows)
        done = "a single lane raises it, too"
        yield Row("out of memory", done, "the group fails, with its reason", good, 1)

    def changed(self) -> Iterator[Row]:
        out = self._killed_halfway()
        other = Training(
            TRAINING.init,
            TRAINING.step,
            _other_evaluate,
            TRAINING.n_steps,
            TRAINING.evaluate_every,
        )
        for what, options in (
            ("code", {"train": other}),
            ("data", {"shared": (X + 1, Y)}),
            ("arguments", {"keep": 1}),
            ("grid", {"grid": grid(3)}),
        ):
            told = _ends("stepped", out, **options) or ""
            good = f"other {what}" in told or f"another {what}" in told
            yield Row(f"other {what}", f"resumed with other {what}", f"refused: {what}", good, 1)
        good = _ends("stepped", out, shared=(X + 1, Y), force=True) is None
        yield Row("other data", "the same with force", "goes on", good, 1)

    def finished(self) -> Row:
        out, steps = self._new(), []
        good = self._resumed("halving", out)
        process = Process(functools.partial(_tells, "halving", out, {}))
        steps = process.all_heard()
        good = process.end() == 0 and good and steps == []
        good = good and files(out) == self._undisturbed("halving")
        return Row("resume after the end", "resumed twice", "equal, no step made", good, 1)

    def network(self) -> Row:
        out = self._new()
        good = _ends("stepped", out, network=True) is None
        good = good and files(out) == self._undisturbed("stepped")
        good = good and "promises no locks" in (out / "events.csv").read_text()
        done = "the file system says that it has no locks"
        return Row("network file system", done, "a shard file, and it says so", good, 1)

    def no_room(self) -> Row:
        told = _ends("pure", pathlib.Path("/proc/regjax/run")) or ""
        outcome = "refused before the work"
        return Row(
            "folder that cannot be written", "/proc", outcome, "cannot be written" in told, 1
        )


SMALL = {"grid": grid(1), "width": 2, "workers": 1}


def _store(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f"{out.name}.unfinished") / "sweep.sqlite"


def _steps(out: pathlib.Path) -> int:
    header, *rows = (out / "results.csv").read_text().splitlines()
    place = header.split(",").index("step")
    found = [row.split(",")[place] for row in rows]
    # A function makes one step.
    return sum(int(step) if step else 1 for step in found)


def _ends(name: str, out: pathlib.Path, **options: Any) -> str | None:
    """Run a sweep in a process of its own; return the text of its error, or None."""
    process = Process(functools.partial(_tells, name, out, options))
    told = process.all_heard()
    if process.end() == 0:
        return None
    return told[-1]["text"] if told and isinstance(told[-1], dict) else "killed"


def _tells(name: str, out: pathlib.Path, options: dict[str, Any], tell: Tell) -> None:
    """Run a sweep with what is to befall it."""
    options = dict(options)
    if "limit" in options:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.pop("limit"), hard))
    if options.pop("clock", False):
        datetime.datetime = _Backwards
        time.time = lambda: _Backwards.now().timestamp()
    if options.pop("network", False):
        places.has_locks = lambda folder: False
    if "memory" in options:
        SteppedProgram.leg = _with_little_memory(SteppedProgram.leg, options.pop("memory"))
    sweep(name, out, progress=tell, **options)


def _dies_at(statements: int, name: str, out: pathlib.Path, tell: Tell) -> None:
    """Run a sweep up to that statement of its database."""
    connect, left = sqlite3.connect, [statements]

    class Dying(sqlite3.Connection):
        def execute(self, *args: Any) -> Any:
            if left[0] == 0:
                signal.raise_signal(signal.SIGKILL)
            left[0] -= 1
            return super().execute(*args)

    store.sqlite3.connect = lambda *args, **given: connect(*args, **given, factory=Dying)
    sweep(name, out, **SMALL)


class _Backwards(datetime.datetime):
    at = 2e9

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:
        cls.at -= 1e6
        return cls.fromtimestamp(cls.at, tz)


def _with_little_memory(leg: Callable[..., Any], lanes: int) -> Callable[..., Any]:
    def limited(self: Any, carry: Any, block: Any, active: Any, first: int, last: int) -> Any:
        if active.size > lanes:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return leg(self, carry, block, active, first, last)

    return limited


def _by_kind(hp: Any, key: Any, X: Any, y: Any, *, kind: str) -> Any:
    if kind == "raises":
        raise RuntimeError("no such kind")
    if kind == "other":
        return {"other": hp["lambda_"]}
    return SWEEPS["pure"][0](hp, key, X, y)


def _other_evaluate(hp: Any, state: Any, key: Any, X: Any, y: Any) -> Any:
    return {"loss": 2 * TRAINING.evaluate(hp, state, key, X, y)["loss"]}


def main() -> None:
    console, rows = Console(stderr=True), []
    started = time.perf_counter()
    with contextlib.ExitStack() as at_end:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="regjax-faults-"))
        at_end.callback(shutil.rmtree, folder, ignore_errors=True)
        for row in Faults(folder).rows():
            rows.append(row)
            console.print(json.dumps(row))
    seconds = time.perf_counter() - started
    lines = [
        "# Faults",
        "",
        describe(),
        "Made by `python -m benchmarks.faults`: small sweeps of 72 to 240 lanes, slowed so that "
        f"there is time to disturb them, each in a process of its own; {seconds:.0f} s in all. "
        "Equal is `results.csv` and all parameters kept, byte for byte, as in a sweep that nothing "
        "disturbed. Pure sweeps are functions, the others trainings in steps with a checkpoint at "
        "every look.",
        "",
        "| fault | what was done | outcome | as it should be |",
        "|---|---|---|---|",
        *(f"| {r.fault} | {r.done} | {r.outcome} | {int(r.good)} of {r.often} |" for r in rows),
        "",
    ]
    pathlib.Path("benchmarks/faults.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
