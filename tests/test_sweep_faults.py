"""Sweeps that are disturbed: whatever ends them, what they come to is what they would have."""

import dataclasses
import datetime
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import polars as pl
import pytest
from sweep_problems import TRAINING, X, Y, function, lanes, momentum_step

from regjax.sweeps import (
    EarlyStopping,
    Grid,
    StoreError,
    SuccessiveHalving,
    SweepInterrupted,
    run_sweep,
)
from regjax.sweeps.lanes import locks, places, store
from regjax.sweeps.lanes.store import Store

SAVING = dataclasses.replace(TRAINING, checkpoint_every=4)


def chosen(hp, key, X, y, *, kind):
    if kind == "bad":
        raise RuntimeError("no such kind")
    if kind == "odd":
        return {"other": hp["lambda_"]}
    return function(hp, key, X, y)


GRID = lanes(2, 2)
WIDE = np.random.default_rng(1).normal(size=(12, 400)).astype("float32") / 10
KINDS = {
    "pure": (function, GRID, {}),
    "stepped": (SAVING, GRID, {}),
    "stopping": (SAVING, GRID, {"stopping": EarlyStopping(1, 0.05)}),
    "halving": (SAVING, GRID, {"stopping": SuccessiveHalving(2, 2)}),
    "keeping": (SAVING, GRID, {"keep": "all"}),
    "prepared": (dataclasses.replace(SAVING, prepare=lambda key, X, y: (X, y)), GRID, {}),
    # Every checkpoint takes pages of its own.
    "wide": (SAVING, GRID, {"shared": (WIDE, Y), "keep": "all"}),
    "wide halving": (SAVING, GRID, {"shared": (WIDE, Y), "stopping": SuccessiveHalving(2, 2)}),
    "failing": (chosen, GRID * Grid.product(kind=["good", "bad", "odd"]), {}),
}


def run(kind, out, **options):
    train, grid, rules = KINDS[kind]
    given = {"metric": "loss", "width": 2, "workers": 1, "keep": 2, **rules, **options}
    shared = given.pop("shared", (X, Y))
    return run_sweep(given.pop("train", train), given.pop("grid", grid), *shared, out=out, **given)


def files(out):
    """Return what a finished sweep is known by."""
    assert not out.with_name(f"{out.name}.unfinished").exists()
    params = {path.name: path.read_bytes() for path in (out / "params").iterdir()}
    curves = out / "curves.parquet"
    curves = pl.read_parquet(curves).rows() if curves.exists() else []
    return (out / "results.csv").read_bytes(), params, curves


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """Return a function that returns the files of a sweep of that kind, run once."""
    folder, made = tmp_path_factory.mktemp("undisturbed"), {}

    def of(kind):
        if kind not in made:
            run(kind, folder / kind)
            made[kind] = files(folder / kind)
        return made[kind]

    return of


class Killed(BaseException):
    pass


class Dying(sqlite3.Connection):
    """A connection through which no more than so many statements go."""

    left = 0

    def _count(self):
        if Dying.left <= 0:
            raise Killed
        Dying.left -= 1

    def execute(self, *args):
        self._count()
        return super().execute(*args)

    def executescript(self, script):
        self._count()
        return super().executescript(script)

    def backup(self, other):
        self._count()
        super().backup(other)


def killed_after(monkeypatch, statements, kind, out, **options):
    """Run a sweep up to a statement of its database; return how many were left over, or None.

    A connection that is closed within a transaction leaves what a killed process leaves.
    """
    connect = sqlite3.connect
    Dying.left = statements
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Dying))
        try:
            run(kind, out, **options)
        except Killed:
            return None
    return Dying.left


def done_before(out):
    """Return the lanes that the store holds results of."""
    path = out.with_name(f"{out.name}.unfinished") / "sweep.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        rows = connection.execute("SELECT lane FROM results").fetchall() if tables else []
    connection.close()
    return {lane for (lane,) in rows}


def check_killed(monkeypatch, undisturbed, kind, folder, stride, offset=0):
    left = killed_after(monkeypatch, 10_000, kind, folder / "all")
    n_statements = 10_000 - left
    assert n_statements > 30
    stages = set()
    for k in range(offset, n_statements, stride):
        out = folder / str(k)
        assert killed_after(monkeypatch, k, kind, out) is None
        before, seen = done_before(out), []
        resumed = run(kind, out, resume=True, progress=seen.append)
        assert files(out) == undisturbed(kind), f"killed before statement {k}"
        # What was finished is not done again, and no lane is timed twice.
        if kind in ("pure", "failing"):
            assert sum(p.steps for p in seen[-1:]) == 8 - len(before)
        if kind != "halving":
            assert resumed.times.filter(pl.col("what") == "run")["lanes"].sum() == 8
        assert seen == [] or (seen[-1].done, seen[-1].lanes) == (8, 8)
        stages.add(len(before))
    return stages


def test_a_kill_before_any_statement_of_the_store_loses_nothing(monkeypatch, undisturbed, tmp_path):
    # Every ninth; each kind of transaction is cut somewhere.
    stages = check_killed(monkeypatch, undisturbed, "halving", tmp_path, 9)
    assert {0, 8} <= stages


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pure", "stepped", "stopping", "halving", "failing"])
def test_a_kill_within_every_kind_of_sweep_loses_nothing(monkeypatch, undisturbed, tmp_path, kind):
    # Others than the fast test has.
    assert len(check_killed(monkeypatch, undisturbed, kind, tmp_path, 9, offset=4)) > 2


def test_kills_one_after_the_other_come_to_an_end(monkeypatch, undisturbed, tmp_path):
    out, lives = tmp_path / "run", 0
    while killed_after(monkeypatch, 28 + lives, "stepped", out, resume=True) is None:
        lives += 1
        assert lives < 50
    assert lives > 2
    assert files(out) == undisturbed("stepped")


def test_a_group_that_failed_before_it_began_is_told_of_after_a_kill(
    monkeypatch, undisturbed, tmp_path
):
    for k in range(20, 60, 13):
        out = tmp_path / str(k)
        assert killed_after(monkeypatch, k, "failing", out) is None
        found = run("failing", out, resume=True)
        assert files(out) == undisturbed("failing")
        assert {json.loads(choices)["kind"] for choices in found.failures} == {"bad", "odd"}
        assert "other" not in found.table.columns


def test_resuming_what_is_finished_or_never_began(undisturbed, tmp_path):
    out, seen = tmp_path / "run", []
    run("stepped", out, resume=True)
    first = files(out)
    again = run("stepped", out, resume=True, progress=seen.append)
    assert seen == []
    assert files(out) == first == undisturbed("stepped")
    assert again.events["event"].to_list() == ["resumed"]


def test_a_run_is_replaced_only_where_it_is_said(monkeypatch, undisturbed, tmp_path):
    out = tmp_path / "run"
    run("stepped", out)
    with pytest.raises(ValueError, match="already holds a run"):
        run("pure", out)
    run("pure", out, overwrite=True)
    assert files(out) == undisturbed("pure")
    killed_after(monkeypatch, 60, "stepped", tmp_path / "other")
    with pytest.raises(StoreError, match="unfinished sweep: go on with resume, or forget it"):
        run("stepped", tmp_path / "other")
    run("pure", tmp_path / "other", overwrite=True)
    assert files(tmp_path / "other") == undisturbed("pure")


def test_what_never_began_is_in_nobodys_way(undisturbed, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="no such kind"):
        run("failing", out, grid=GRID * Grid.product(kind=["bad"]))
    run("pure", out)
    assert files(out) == undisturbed("pure")


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for out, message in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "full", "holds more than a run"),
        (pathlib.Path("/proc/regjax/run"), "cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            run("pure", out, train=lambda *_: pytest.fail("it ran"))
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def _other_function(hp, key, X, y):
    return function({**hp, "lambda_": 2 * hp["lambda_"]}, key, X, y)


def _other_step(hp, state, *given):
    return momentum_step({**hp, "lambda_": 2 * hp["lambda_"]}, state, *given)


CHANGES = {
    "function": ("pure", {"train": _other_function}, "code"),
    "step": ("stepped", {"train": dataclasses.replace(SAVING, step=_other_step)}, "code"),
    "params": ("stepped", {"train": dataclasses.replace(SAVING, params=lambda s: s["w"])}, "code"),
    "prepare": (
        "prepared",
        {"train": dataclasses.replace(SAVING, prepare=lambda key, X, y: (X[::-1], y))},
        "code",
    ),
    "data": ("stepped", {"shared": (X + 1, Y)}, "data"),
    "last row": ("pure", {"shared": (X, np.append(Y[:-1], 0).astype("float32"))}, "data"),
    "evaluate_every": (
        "stepped",
        {"train": dataclasses.replace(SAVING, evaluate_every=4)},
        "arguments: evaluate_every was 2, now it is 4",
    ),
    "keep": ("pure", {"keep": 1}, "arguments: keep was 2, now it is 1"),
    "mode": ("pure", {"mode": "max"}, "arguments: mode was 'min', now it is 'max'"),
    "stopping": ("stopping", {"stopping": EarlyStopping(2)}, "arguments: stopping was .*now .*=2"),
    "both": ("pure", {"train": _other_function, "shared": (X + 1, Y)}, "code, data"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_changed_sweep_is_not_resumed(monkeypatch, tmp_path, change):
    kind, other, named = CHANGES[change]
    out = tmp_path / "run"
    assert killed_after(monkeypatch, 45, kind, out) is None
    with pytest.raises(StoreError, match=f"has other {named}.*or force it"):
        run(kind, out, resume=True, **other)


@pytest.mark.parametrize("change", ["step", "keep", "both"])
def test_a_changed_sweep_is_resumed_by_force(monkeypatch, tmp_path, change):
    kind, other, _ = CHANGES[change]
    out = tmp_path / "run"
    assert killed_after(monkeypatch, 45, kind, out) is None
    forced = run(kind, out, resume=True, force=True, **other)
    assert set(forced.table["status"]) <= {"done", "stopped"}
    assert forced.events["event"].to_list()[-1] == "resumed by force"


def test_a_sweep_of_another_grid_is_not_resumed_at_all(monkeypatch, tmp_path):
    out = tmp_path / "run"
    assert killed_after(monkeypatch, 45, "pure", out) is None
    for force in (False, True):
        for grid, change in (
            (lanes(3, 2), r"lambda_ was 0.01, 0.02 and is now 0.01, 0.02, 0.04\)"),
            (lanes(2, 3), r"seed was 0, 1 and is now 0, 1, 2\)"),
            (Grid.product(x=[1.0]), "lambda_ was 0.01, 0.02 and is now missing"),
        ):
            with pytest.raises(StoreError, match=rf"another grid \({change}"):
                run("pure", out, resume=True, force=force, grid=grid)


def test_when_checkpoints_are_made_may_change(monkeypatch, undisturbed, tmp_path):
    out = tmp_path / "run"
    assert killed_after(monkeypatch, 50, "stepped", out) is None
    run(
        "stepped",
        out,
        resume=True,
        workers=2,
        train=dataclasses.replace(SAVING, checkpoint_every=2),
    )
    assert files(out) == undisturbed("stepped")


def test_a_second_writer_is_refused_while_the_first_is_at_work(undisturbed, tmp_path):
    out, refused = tmp_path / "run", []

    def listen(_):
        for options in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(StoreError, match="Another process is at work"):
                run("stepped", out, **options)
            refused.append(options)

    run("stepped", out, progress=listen)
    assert len(refused) > 3
    assert files(out) == undisturbed("stepped")


def test_a_network_file_system_gets_a_shard_file(monkeypatch, undisturbed, tmp_path):
    monkeypatch.setattr(places, "has_locks", lambda folder: False)
    out = tmp_path / "run"
    unfinished = tmp_path / "run.unfinished"
    assert killed_after(monkeypatch, 45, "stepped", out) is None
    assert [path.name for path in unfinished.iterdir()] == ["shard-1-of-1.sqlite"]
    found = run("stepped", out, resume=True)
    assert "promises no locks" in found.events["event"][0]
    assert files(out) == undisturbed("stepped")


def test_the_file_system_of_a_folder_is_that_of_the_mount_nearest_to_it(monkeypatch, tmp_path):
    table = "\n".join(
        f"{i} 1 0:1 / {point} rw - {kind} source rw"
        for i, (point, kind) in enumerate(
            [("/", "ext4"), (tmp_path, "nfs4"), (f"{tmp_path}/my\\040disk", "xfs")]
        )
    )
    monkeypatch.setattr(pathlib.Path, "read_text", lambda *_, **__: table)
    assert locks.file_system(pathlib.Path("/")) == "ext4"
    assert not locks.has_locks(tmp_path / "run")
    assert locks.has_locks(tmp_path / "my disk" / "run")


@pytest.mark.parametrize(
    ("kind", "pages"), [("wide", 0), ("wide", 2), ("wide halving", 1), ("wide halving", 4)]
)
def test_a_full_disk_is_told_and_what_is_there_is_kept(
    monkeypatch, undisturbed, tmp_path, kind, pages
):
    out, connect = tmp_path / "run", store._connect

    def full(path, locks):
        connection = connect(path, locks)
        held = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {held + pages}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(store, "_connect", full)
        with pytest.raises(StoreError, match=r"disk is full\): make room on the disk"):
            run(kind, out)
    run(kind, out, resume=True)
    assert files(out) == undisturbed(kind)


def test_files_that_may_not_grow_are_told_and_what_is_there_is_kept(undisturbed, tmp_path):
    out, told = tmp_path / "run", 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (30_000, 60_000, 90_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(StoreError, match="make room on the disk"):
                run("stepped", out, resume=True)
            told += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run("stepped", out, resume=True)
    assert told == 3
    assert files(out) == undisturbed("stepped")


@pytest.fixture
def torn(monkeypatch, tmp_path):
    """Return the store of a sweep that was killed with a checkpoint, some results and params."""
    for k in range(40, 200, 3):
        out = tmp_path / f"{k}" / "run"
        out.parent.mkdir()
        assert killed_after(monkeypatch, k, "keeping", out) is None
        path = out.with_name("run.unfinished") / "sweep.sqlite"
        with Store(path) as held:
            if held.lanes_with_params() and any(chunk.state for chunk in held.unfinished()):
                return path
    raise AssertionError("no kill came between a checkpoint and the end")


def test_a_torn_store_is_refused_or_does_no_harm(torn, undisturbed):
    whole, out = torn.read_bytes(), torn.parents[1] / "run"
    rng = np.random.default_rng(0)
    broken = [whole[: len(whole) * part // 4] for part in range(1, 4)]
    for place in rng.integers(len(whole), size=15):
        bits = bytearray(whole)
        bits[place] ^= 1 << int(rng.integers(8))
        broken.append(bytes(bits))
    reasons = []
    for data in broken:
        torn.parent.mkdir(exist_ok=True)
        torn.write_bytes(data)
        if out.exists():
            shutil.rmtree(out)
        try:
            run("keeping", out, resume=True)
        except StoreError as error:
            reasons.append(str(error))
        else:
            assert files(out) == undisturbed("keeping")
    assert len(reasons) > 3
    assert all("cannot be read as a sweep" in why or "has other" in why for why in reasons)
    torn.parent.mkdir(exist_ok=True)
    torn.write_bytes(whole[:5000])
    run("keeping", out, overwrite=True)
    assert files(out) == undisturbed("keeping")


@pytest.mark.parametrize("table", ["chunks", "results", "params"])
def test_a_changed_bit_in_a_row_is_refused(torn, table):
    column = {"chunks": "state", "results": "metrics", "params": "arrays"}[table]
    connection = sqlite3.connect(torn)
    query = f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"
    number, value = connection.execute(query).fetchone()
    if isinstance(value, bytes):
        # A number among the last ones, which any reader takes.
        changed = value[:-2] + bytes([value[-2] ^ 1]) + value[-1:]
    else:
        digit = next(c for c in value[::-1] if c in "12345678")
        changed = value.replace(digit, str(int(digit) + 1))
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, number))
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="another checksum"):
        run("keeping", torn.parents[1] / "run", resume=True)


def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path):
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    path = folder / "sweep.sqlite"
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()
    older = tmp_path / "older.sqlite"
    with Store(older):
        pass
    connection = sqlite3.connect(older)
    connection.execute("UPDATE facts SET value = '\"regjax-sweep-0\"'")
    connection.commit()
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    for data, why in (
        (b"a letter to my aunt\n" * 100, "not a database"),
        (foreign.read_bytes(), "no sweep of this version"),
        (older.read_bytes(), "no sweep of this version"),
    ):
        path.write_bytes(data)
        with pytest.raises(StoreError, match=f"cannot be read as a sweep.*{why}.*begin anew"):
            run("pure", tmp_path / "run", resume=True)
        assert path.read_bytes() == data


def test_a_lock_file_of_something_else_is_told(tmp_path):
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    (folder / "sweep.lock").write_text("a letter to my aunt\n" * 100)
    with pytest.raises(StoreError, match="cannot be locked"):
        run("pure", tmp_path / "run")


def test_a_clock_that_goes_back_changes_nothing(monkeypatch, undisturbed, tmp_path):
    class Backwards(datetime.datetime):
        at = 2e9

        @classmethod
        def now(cls, tz=None):
            cls.at -= 1e6
            return cls.fromtimestamp(cls.at, tz)

    out = tmp_path / "run"
    monkeypatch.setattr(datetime, "datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: Backwards.now().timestamp())
    assert killed_after(monkeypatch, 55, "halving", out) is None
    found = run("halving", out, resume=True)
    assert files(out) == undisturbed("halving")
    times = found.events["time"].to_list()
    assert times == sorted(times, reverse=True)
    assert len(times) > 2


BROKEN = set()


def _may_break(hp, key, X, y, *, kind):
    def check(x):
        if kind in BROKEN:
            raise OSError("the licence server is gone")
        return np.asarray(x)

    shape = jax.ShapeDtypeStruct((), "float32")
    fit = function(hp, key, X, y)
    loss = jax.pure_callback(check, shape, fit.metrics["loss"], vmap_method="broadcast_all")
    return fit._replace(metrics={**fit.metrics, "loss": loss})


def test_a_group_that_failed_is_tried_again(tmp_path):
    given = {"train": _may_break, "grid": GRID * Grid.product(kind=["a", "b"])}
    run("pure", tmp_path / "whole", **given)
    BROKEN.add("b")
    try:
        broken = run("pure", tmp_path / "run", **given)
        again = run("pure", tmp_path / "run", resume=True, **given)
    finally:
        BROKEN.clear()
    for found in (broken, again):
        assert found.table["status"].to_list() == ["done", "failed"] * 8
        assert list(found.failures) == ['{"kind": "b"}']
    mended = run("pure", tmp_path / "run", resume=True, **given)
    assert mended.failures == {}
    assert files(tmp_path / "run") == files(tmp_path / "whole")


@pytest.mark.parametrize(
    ("kind", "at"), [("pure", 1), ("stepped", 1), ("stepped", 9), ("stopping", 3), ("halving", 5)]
)
def test_ctrl_c_writes_the_legs_at_work(undisturbed, tmp_path, kind, at):
    out, seen = tmp_path / "run", []

    def press(progress):
        seen.append(progress)
        if len(seen) == at:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SweepInterrupted, match="can be resumed"):
        run(kind, out, progress=press, workers=2)
    rest = []
    run(kind, out, resume=True, progress=rest.append)
    assert files(out) == undisturbed(kind)
    # No step is made twice.
    whole = []
    run(kind, tmp_path / "whole", progress=whole.append)
    assert seen[-1].steps + rest[-1].steps == whole[-1].steps


def test_ctrl_c_takes_back_what_has_not_begun(tmp_path):
    main, begun = threading.get_ident(), []

    def press(x):
        begun.append(float(x))
        if len(begun) == 2:
            # Soon the third leg is at the door of the only thread.
            time.sleep(0.5)
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.5)
        return x

    def pressing(hp, key):
        like = jax.ShapeDtypeStruct((), np.float32)
        return {"loss": jax.pure_callback(press, like, hp["x"], vmap_method="sequential")}

    given = (pressing, Grid.product(x=[1.0, 2.0, 3.0, 4.0]))
    options = {"width": 1, "workers": 1, "out": tmp_path / "run"}
    with pytest.raises(SweepInterrupted):
        run_sweep(*given, **options)
    assert begun == [1.0, 2.0]
    run_sweep(*given, **options, resume=True)
    assert begun == [1.0, 2.0, 3.0, 4.0]


def test_ctrl_c_pressed_twice_ends_at_once_and_the_old_handler_is_back(undisturbed, tmp_path):
    def press(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        run("stepped", tmp_path / "run", progress=press)
    assert not isinstance(caught.value, SweepInterrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run("stepped", tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == undisturbed("stepped")


def test_an_error_of_the_listener_ends_the_sweep_and_loses_nothing(undisturbed, tmp_path):
    def listen(progress):
        if progress.done == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run("stepped", tmp_path / "run", progress=listen)
    run("stepped", tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == undisturbed("stepped")


def test_results_do_not_depend_on_workers_or_order(undisturbed, tmp_path):
    for kind in KINDS:
        run(kind, tmp_path / kind, workers=3)
        assert files(tmp_path / kind) == undisturbed(kind)


ROOT = pathlib.Path(__file__).parents[1]


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.faults.sweeps", *map(str, arguments)],
        cwd=ROOT,
        # Every process compiles anew, and all of them the same.
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def slow_sweep(tmp_path_factory):
    """Return the folder of a slow sweep with early stopping, undisturbed."""
    out = tmp_path_factory.mktemp("slow") / "run"
    with start("run", "stopping", out) as process:
        process.communicate()
    assert process.returncode == 0
    return out


@pytest.mark.slow
def test_a_sweep_killed_eight_times_comes_to_the_same(slow_sweep, tmp_path):
    out, rng = tmp_path / "run", random.Random(0)
    for kill in range(8):
        with start("run", "stopping", out) as process:
            if kill % 4 == 0:
                # Before the first leg has ended, most likely.
                time.sleep(rng.uniform(0.5, 3))
            else:
                assert json.loads(process.stdout.readline())
                time.sleep(rng.uniform(0, 0.02))
            process.kill()
        assert process.returncode == -signal.SIGKILL
    with start("run", "stopping", out) as last:
        assert json.loads(last.communicate()[0].splitlines()[-1])
    assert last.returncode == 0
    assert files(out) == files(slow_sweep)


@pytest.mark.slow
def test_ctrl_c_and_a_second_process(slow_sweep, tmp_path):
    out = tmp_path / "run"
    with start("run", "stopping", out) as first:
        assert json.loads(first.stdout.readline())
        with pytest.raises(StoreError, match="Another process is at work"):
            run("pure", out, resume=True)
        first.send_signal(signal.SIGINT)
        *_, last = first.communicate()[0].splitlines() or ["null"]
    assert first.returncode == 3
    with start("run", "stopping", out) as second:
        steps = [json.loads(line)[2] for line in second.communicate()[0].splitlines()]
    assert second.returncode == 0
    assert files(out) == files(slow_sweep)
    if json.loads(last):
        table = pl.read_csv(out / "results.csv")
        assert json.loads(last)[2] + steps[-1] == table["step"].sum()
