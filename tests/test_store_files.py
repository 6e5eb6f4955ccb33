"""Stores of sweeps that come from anywhere: refused by name, or read as they were written."""

import json
import os
import shutil
import sqlite3

import numpy as np
import pytest

from regjax.sweeps import Grid, StoreError, merge_shards, run_sweep
from regjax.sweeps.lanes.store import Store
from regjax.sweeps.lanes.store_files import APPLICATION_ID

GRID = Grid.product(x=[0.5, 1.0, 2.0, 3.0, 4.0], seed=range(2))


def loss(hyperparameters, key):
    return {"loss": (hyperparameters["x"] - 2.0) ** 2}


def run(out, **options):
    return run_sweep(loss, GRID, metric="loss", out=out, width=2, workers=1, **options)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Return a folder with both shards of a sweep."""
    out = tmp_path_factory.mktemp("parts") / "run"
    for i in (1, 2):
        run(out, shard=(i, 2))
    return out.with_name("run.unfinished")


@pytest.fixture(scope="module")
def merged(parts, tmp_path_factory):
    """Return the table of the sweep."""
    out = tmp_path_factory.mktemp("merged") / "run"
    shutil.copytree(parts, out.with_name("run.unfinished"))
    return merge_shards(out).table


@pytest.fixture
def shards(parts, tmp_path):
    """Return a copy of the folder of both shards, of the run in tmp_path / "run"."""
    return shutil.copytree(parts, tmp_path / "run.unfinished")


def edit(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


# --- what else is in the folder ---

FOREIGN = {
    "a file": lambda folder: (folder / "thesis.txt").write_text("mine"),
    "a folder": lambda folder: (folder / "mine").mkdir(),
    "another database": lambda folder: edit(folder / "mine.sqlite", "CREATE TABLE mine (a)"),
    "a copy of a store": lambda folder: shutil.copyfile(
        folder / "shard-1-of-2.sqlite", folder / "shard-1-of-2.sqlite.bak"
    ),
    "a link to a store": lambda folder: (folder / "sweep.sqlite").symlink_to(
        folder / "shard-1-of-2.sqlite"
    ),
    "a link to a file": lambda folder: (folder / "sweep.lock").symlink_to(folder.parent / "file"),
    "a log that is none": lambda folder: (folder / "shard-1-of-2.sqlite-wal").write_text("mine"),
    "an index that is none": lambda folder: (folder / "sweep.sqlite-shm").write_text("mine"),
    "a journal that is none": lambda folder: (folder / "sweep.lock-journal").write_text("mine"),
    "a copy that is none": lambda folder: (folder / "sweep.copy").write_text("mine"),
    "a pipe": lambda folder: os.mkfifo(folder / "sweep.sqlite"),
    "a shard of too many": lambda folder: edit(
        folder / "shard-1-of-30000000.sqlite", "CREATE TABLE mine (a)"
    ),
    "a shard beyond the last": lambda folder: (folder / "shard-3-of-2.sqlite").write_text("mine"),
    "a shard with a zero": lambda folder: (folder / "shard-01-of-2.sqlite").write_text("mine"),
}


def snapshot(folder):
    return {
        str(path): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.is_dir()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_of_an_unfinished_sweep_with_anything_else_is_refused(kind, shards):
    (shards.parent / "file").write_text("mine")
    FOREIGN[kind](shards)
    before, out = snapshot(shards.parent), shards.parent / "run"
    acts = [lambda: merge_shards(out), lambda: merge_shards(out, overwrite=True)]
    for options in ({}, {"resume": True}, {"overwrite": True}, {"shard": (1, 2), "resume": True}):
        acts.append(lambda options=options: run(out, **options))
    for act in acts:
        with pytest.raises(StoreError, match="which no sweep has written: move it"):
            act()
        assert snapshot(shards.parent) == before


@pytest.mark.parametrize("name", ["sweep.sqlite", "sweep.lock", "shard-1-of-2.sqlite"])
def test_a_file_with_the_name_of_a_store_or_a_lock_is_not_replaced(name, tmp_path):
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    for make in (
        lambda: (folder / name).write_text("a thesis\n" * 100),
        lambda: edit(folder / name, "CREATE TABLE mine (a); INSERT INTO mine VALUES (1)"),
    ):
        make()
        before = (folder / name).read_bytes()
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(StoreError, match=r"is not the store|cannot be (read|locked)|merge"):
                run(tmp_path / "run", **options)
            assert (folder / name).read_bytes() == before
        (folder / name).unlink()


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run.unfinished").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is not a folder"):
        run(tmp_path / "run", overwrite=True)


def test_what_is_added_during_the_sweep_is_kept(tmp_path, merged):
    folder = tmp_path / "run.unfinished"

    def add(_):
        (folder / "thesis.txt").write_text("mine")
        (folder / "sweep.sqlite.bak").write_text("mine, too")

    assert run(tmp_path / "run", progress=add).table.equals(merged)
    assert sorted(path.name for path in folder.iterdir()) == ["sweep.sqlite.bak", "thesis.txt"]


# --- databases of strangers ---

ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'format', i, 1 FROM n"
)
HOSTILE = {
    "a view without end": f"DROP TABLE facts; CREATE VIEW facts (name, value, seal) AS {ENDLESS};",
    "one view more": f"CREATE VIEW mine AS {ENDLESS};",
    "a trigger": ("CREATE TRIGGER mine AFTER INSERT ON events BEGIN DELETE FROM results; END;"),
    "an index": "CREATE INDEX mine ON results (status);",
    "a table more": "CREATE TABLE mine (a);",
    "a table less": "DROP TABLE events;",
    "a check": (
        "DROP TABLE events; CREATE TABLE events (time TEXT NOT NULL, event TEXT NOT NULL, "
        "seal TEXT NOT NULL CHECK (length(seal) > 0));"
    ),
    "another version": "UPDATE facts SET value = '\"regjax-sweep-1\"' WHERE name = 'format';",
    "no version": "DELETE FROM facts WHERE name = 'format';",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_store_with_another_schema_is_refused_before_it_is_queried(kind, shards):
    path = shards / "shard-2-of-2.sqlite"
    edit(path, HOSTILE[kind])
    before = path.read_bytes()
    for act in (lambda: merge_shards(shards.parent / "run"), lambda: Store(path)):
        with pytest.raises(StoreError, match="shard-2-of-2.sqlite.*no sweep of this version"):
            act()
    assert path.read_bytes() == before


# What one changed row does; `seal` is left as it was.
CHANGES = {
    "a value of the grid": "UPDATE facts SET value = replace(value, '0.5', '0.4')",
    "the mode": "UPDATE facts SET value = replace(value, '\"min\"', '\"max\"')",
    "the metric": "UPDATE facts SET value = replace(value, '\"loss\"', '\"lost\"')",
    "a metric": "UPDATE results SET metrics = replace(metrics, '0', '1')",
    "a status": "UPDATE results SET status = 'diverged'",
    "a lane": "UPDATE results SET lane = 9 WHERE lane = (SELECT max(lane) FROM results)",
    "a time": "UPDATE times SET seconds = seconds + 1",
    "an event": "INSERT INTO events VALUES ('now', 'mine', '')",
    "a failure": "INSERT INTO failures VALUES (0, 'mine', '')",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_refused_where_shards_are_merged(change, shards):
    before = (shards / "shard-1-of-2.sqlite").read_bytes()
    edit(shards / "shard-1-of-2.sqlite", CHANGES[change])
    assert (shards / "shard-1-of-2.sqlite").read_bytes() != before
    with pytest.raises(StoreError, match="shard-1-of-2.*another checksum"):
        merge_shards(shards.parent / "run")


def forge(path, name, change):
    """Change a fact under a checksum that is right."""
    with Store(path) as store, store._transaction() as write:
        from regjax.sweeps.lanes import store as module

        module._write_facts(write, {name: change(json.loads(json.dumps(store.fact(name))))})


FORGED = {
    "another grid": (
        "grid",
        lambda grid: {**grid, "columns": {**grid["columns"], "x": [9.0] * 10}},
    ),
    "another mode": ("rules", lambda rules: {**rules, "mode": "max"}),
    "a plan of another type": ("plan", lambda plan: [1, 2]),
    "a grid of another type": ("grid", lambda grid: "grid"),
    "rules of another type": ("rules", lambda rules: None),
    "no fingerprint": ("fingerprint", lambda fingerprint: 3),
}


@pytest.mark.parametrize("kind", FORGED)
def test_shards_that_do_not_belong_together_are_refused_whoever_made_them(kind, shards):
    for i in (2, 1):
        # At last both are of the same other kind.
        forge(shards / f"shard-{i}-of-2.sqlite", *FORGED[kind])
        if i == 2 or kind not in ("another mode",):
            with pytest.raises(StoreError):
                merge_shards(shards.parent / "run")
    assert not (shards.parent / "run").exists()


def test_a_row_that_is_missing_is_missed(shards):
    edit(
        shards / "shard-2-of-2.sqlite",
        "DELETE FROM results WHERE lane = (SELECT max(lane) FROM results)",
    )
    with pytest.raises(StoreError, match="hold no result of 1 of 10 lanes"):
        merge_shards(shards.parent / "run")


def flips(data, n, seed):
    rng = np.random.default_rng(seed)
    for place in rng.integers(len(data), size=n):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        yield bytes(flipped)
    for part in rng.integers(len(data), size=n // 5):
        yield data[:part]


def check_flips(folder, parts, merged, n, seed):
    whole, refused = (parts / "shard-2-of-2.sqlite").read_bytes(), 0
    unfinished = folder / "run.unfinished"
    for data in flips(whole, n, seed):
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(parts, unfinished)
        (unfinished / "shard-2-of-2.sqlite").write_bytes(data)
        try:
            table = merge_shards(folder / "run").table
        except StoreError as error:
            refused += "shard" in str(error)
        else:
            assert table.equals(merged)
    return refused


def test_a_shard_with_a_bit_flipped_or_cut_is_refused_or_the_same(parts, merged, tmp_path):
    assert check_flips(tmp_path, parts, merged, 10, seed=0) > 2


@pytest.mark.slow
def test_many_shards_with_a_bit_flipped_or_cut_are_refused_or_the_same(parts, merged, tmp_path):
    assert check_flips(tmp_path, parts, merged, 200, seed=1) > 40


# --- numbers of shards ---


def test_a_missing_shard_is_named_however_many_there_are(shards):
    (shards / "shard-2-of-2.sqlite").unlink()
    (shards / "shard-1-of-2.sqlite").rename(shards / "shard-1-of-90000.sqlite")
    with pytest.raises(StoreError, match="lacks the shard 2, 3, 4, 5, 6 and 89994 more of 90000"):
        merge_shards(shards.parent / "run")


@pytest.mark.parametrize("n", [100_001, 10**20])
def test_more_shards_than_can_be_are_refused(n, tmp_path):
    with pytest.raises(ValueError, match="1 <= i <= n <= 100000"):
        run(tmp_path / "run", shard=(1, n))
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_run_again_meanwhile_stays(shards, monkeypatch):
    from regjax.sweeps.lanes import shards as module

    write = module.write_run

    def write_and_change(*given, **options):
        write(*given, **options)
        with Store(shards / "shard-1-of-2.sqlite") as store:
            store.note("run again")

    monkeypatch.setattr(module, "write_run", write_and_change)
    merge_shards(shards.parent / "run")
    assert {path.name for path in shards.glob("*.sqlite")} == {"shard-1-of-2.sqlite"}


def test_a_store_says_what_it_is(tmp_path):
    with Store(tmp_path / "sweep.sqlite"):
        pass
    connection = sqlite3.connect(tmp_path / "sweep.sqlite")
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()


# --- finished sweeps ---


def test_a_finished_sweep_whose_store_was_changed_is_not_resumed(tmp_path, merged):
    out = tmp_path / "run"
    run(out)
    assert run(out, resume=True).table.equals(merged)
    store = (out / "sweep.sqlite").read_bytes()
    place = store.rindex(b"loss")
    (out / "sweep.sqlite").write_bytes(store[:place] + b"lost" + store[place + 4 :])
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(ValueError, match="sweep.sqlite"):
            run(out, **options)
