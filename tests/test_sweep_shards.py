"""Shards: parts of a sweep that run apart, and join into what one run writes."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from regjax.sweeps import (
    EarlyStopping,
    Grid,
    Static,
    StoreError,
    SuccessiveHalving,
    SweepInterrupted,
    Training,
    merge_shards,
    run_sweep,
)
from regjax.sweeps.lanes import places, shards


def steps(hp, w, i, key, X, y):
    gradient = X.T @ (X @ w - y) / len(y) + hp["lambda_"] * w
    return w - hp["learning_rate"] * gradient


def start(key, size):
    """Return a vector that differs between seeds, and compiles faster than a draw."""
    return jnp.cos(jax.random.key_data(key)[1] + jnp.arange(float(size)))


TRAINING = Training(
    init=lambda hp, key, X, y: start(key, X.shape[1]),
    step=steps,
    evaluate=lambda hp, w, key, X, y: {"loss": jnp.mean((X @ w - y) ** 2), "norm": jnp.sum(w**2)},
    n_steps=20,
    evaluate_every=5,
    checkpoint_every=5,
)
GRID = Grid.product(lambda_=[0.01, 0.1, 1.0, 2.0], learning_rate=[0.1, 50.0], seed=range(2))


def data():
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    return X, X @ np.arange(3, dtype=np.float32)


def choice(hp, key, X, y, kind, width):
    if kind == "bad":
        raise RuntimeError("no such kind")
    w = start(key, width)
    return {"loss": hp["x"] * jnp.sum(w**2), "curve": jnp.cumsum(w)[:2]}


CHOICES = Grid.product(kind=["a", "bad", "b"], width=Static([2, 3]), x=[1.0, 2.0, 3.0], seed=[0, 5])

CASES = {
    "steps": (TRAINING, GRID, {"metric": "loss", "keep": 3}),
    "keep all": (TRAINING, GRID, {"metric": "loss", "keep": "all"}),
    "largest": (TRAINING, GRID, {"metric": "norm", "mode": "max", "keep": 2}),
    "no metric": (TRAINING, GRID, {"keep": 5}),
    "early stopping": (TRAINING, GRID, {"metric": "loss", "stopping": EarlyStopping(1, 0.05)}),
    "choices, one fails": (choice, CHOICES, {"metric": "loss"}),
}


def run_shard(case, out, i, n, **more):
    train, grid, options = CASES[case]
    return run_sweep(train, grid, *data(), width=2, shard=(i, n), out=out, **options, **more)


def run_whole(case, out, **more):
    train, grid, options = CASES[case]
    return run_sweep(train, grid, *data(), width=2, out=out, **options, **more)


@pytest.mark.parametrize(
    ("case", "n"), [(case, 3 if place % 2 else 1) for place, case in enumerate(CASES)]
)
def test_joined_shards_are_the_sweep_in_one_piece(case, n, tmp_path):
    # In any order.
    parts = [run_shard(case, tmp_path / "parts", i, n) for i in range(n, 0, -1)]
    merged = merge_shards(tmp_path / "parts")
    whole = run_whole(case, tmp_path / "whole")
    if case != "choices, one fails":
        assert sum(len(part.table) for part in parts) == len(CASES[case][1])
        assert max(len(part.table) for part in parts) < 1.5 * len(CASES[case][1]) / n
    mine, theirs = tmp_path / "parts", tmp_path / "whole"
    files = {file.name for file in theirs.iterdir()}
    assert {file.name for file in mine.iterdir()} == files
    assert (mine / "results.csv").read_bytes() == (theirs / "results.csv").read_bytes()
    assert merged.table.equals(whole.table, null_equal=True)
    assert merged.rules == whole.rules
    assert merged.failures == whole.failures
    if "curves.parquet" in files:
        curves = [pl.read_parquet(folder / "curves.parquet") for folder in (mine, theirs)]
        assert curves[0].equals(curves[1], null_equal=True)
        # A part has lanes of its own, in rows of its own.
        found = pl.concat([part.curves() for part in parts], how="diagonal").sort("id", "step")
        assert found.equals(curves[1].sort("id", "step"), null_equal=True)
    assert merged.kept() == whole.kept()
    for lane in whole.kept():
        for name, array in whole.params(lane).items():
            assert merged.params(lane)[name].tobytes() == array.tobytes()
    manifest = json.loads((mine / "manifest.json").read_text())
    assert manifest["merged"] == n
    assert manifest["rules"] == json.loads((theirs / "manifest.json").read_text())["rules"]
    assert not (tmp_path / "parts.unfinished").exists()


def test_a_joined_sweep_is_a_finished_one(tmp_path):
    for i in (1, 2):
        run_shard("steps", tmp_path / "run", i, 2)
    merge_shards(tmp_path / "run")
    before = (tmp_path / "run" / "results.csv").read_bytes()
    told = []
    run_whole("steps", tmp_path / "run", resume=True, progress=told.append)
    assert told == []
    assert (tmp_path / "run" / "results.csv").read_bytes() == before
    with pytest.raises(StoreError, match="is finished"):
        run_shard("steps", tmp_path / "run", 1, 2, resume=True)
    assert not list((tmp_path / "run.unfinished").glob("*"))


def test_joining_again_needs_overwrite(tmp_path):
    for _ in range(2):
        for i in (1, 2):
            run_shard("steps", tmp_path / "run", i, 2, overwrite=True)
        if (tmp_path / "run").exists():
            with pytest.raises(ValueError, match="already holds a run"):
                merge_shards(tmp_path / "run")
            merge_shards(tmp_path / "run", overwrite=True)
        else:
            merge_shards(tmp_path / "run")
    assert len(pl.read_csv(tmp_path / "run" / "results.csv")) == len(GRID)


def interrupted():
    """Return a listener that is interrupted once: twice would end the sweep at once."""
    presses = iter([KeyboardInterrupt])

    def listen(_):
        for error in presses:
            raise error

    return listen


def refuse(tmp_path, message):
    with pytest.raises(StoreError, match=message):
        merge_shards(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_not_whole_is_refused_and_the_shard_is_named(tmp_path):
    refuse(tmp_path, "holds no shards")
    run_shard("steps", tmp_path / "run", 1, 3)
    refuse(tmp_path, "lacks the shard 2, 3 of 3: run it with shard 2/3")
    run_shard("steps", tmp_path / "run", 3, 3)
    with pytest.raises(SweepInterrupted):
        run_shard("steps", tmp_path / "run", 2, 3, progress=interrupted(), workers=1)
    refuse(tmp_path, r"shard 2 of 3 is unfinished, \d chunks of lanes are left: go on with resume")
    run_shard("steps", tmp_path / "run", 2, 3, resume=True)
    assert len(merge_shards(tmp_path / "run").table) == len(GRID)


def change_data(train, grid, options):
    X, y = data()
    return (train, grid, X + 1, y), options


def change_rules(train, grid, options):
    return (train, grid, *data()), options | {"keep": 4}


def change_width(train, grid, options):
    return (train, grid, *data()), options | {"width": 3}


def change_grid(train, grid, options):
    other = Grid.product(lambda_=[0.01, 0.1, 1.0, 3.0], learning_rate=[0.1, 50.0], seed=range(2))
    return (train, other, *data()), options


CHANGES = {
    "data": (change_data, "shard 2 of 2 is of another sweep than the shard 1 of 2 .other data"),
    "rules": (change_rules, r"other arguments"),
    "grid": (change_grid, r"other grid"),
    "width": (change_width, "shard 2 of 2 ran with another width"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_shards_of_other_sweeps_are_refused(change, tmp_path):
    run_shard("steps", tmp_path / "run", 1, 2)
    function, message = CHANGES[change]
    train, grid, options = CASES["steps"]
    arguments, options = function(train, grid, {"width": 2} | options)
    run_sweep(*arguments, shard=(2, 2), out=tmp_path / "run", **options)
    refuse(tmp_path, message)
    # The other shard alone is run again.
    with pytest.raises(StoreError, match="unfinished sweep: go on with resume"):
        run_shard("steps", tmp_path / "run", 2, 2)
    run_shard("steps", tmp_path / "run", 2, 2, overwrite=True)
    assert len(merge_shards(tmp_path / "run").table) == len(GRID)


def test_a_shard_with_another_name_is_refused(tmp_path):
    run_shard("steps", tmp_path / "run", 1, 2)
    folder = tmp_path / "run.unfinished"
    shutil.copyfile(folder / "shard-1-of-2.sqlite", folder / "shard-2-of-2.sqlite")
    refuse(tmp_path, "is not the shard 2 of 2")


def test_a_torn_shard_is_refused_by_name(tmp_path):
    for i in (1, 2):
        run_shard("steps", tmp_path / "run", i, 2)
    file = tmp_path / "run.unfinished" / "shard-2-of-2.sqlite"
    file.write_bytes(file.read_bytes()[:5000])
    refuse(tmp_path, "shard-2-of-2.sqlite")


def test_a_shard_at_work_is_not_joined(tmp_path):
    def join(progress):
        refuse(tmp_path, "Another process is at work")
        joined.append(progress)

    joined = []
    run_shard("steps", tmp_path / "run", 1, 1, progress=join)
    assert joined


def test_sweeps_that_are_not_the_same_do_not_share_a_folder(tmp_path):
    run_shard("steps", tmp_path / "run", 1, 2)
    with pytest.raises(StoreError, match="holds shards of 2"):
        run_shard("steps", tmp_path / "run", 1, 3)
    with pytest.raises(StoreError, match="holds shards of 2"):
        run_whole("steps", tmp_path / "run")
    assert (tmp_path / "run.unfinished" / "shard-1-of-2.sqlite").exists()
    run_whole("steps", tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run.unfinished").exists()
    with pytest.raises(SweepInterrupted):
        run_whole("steps", tmp_path / "other", progress=interrupted(), workers=1)
    with pytest.raises(StoreError, match="unfinished sweep without shards"):
        run_shard("steps", tmp_path / "other", 1, 2)
    run_whole("steps", tmp_path / "other", resume=True)


def test_on_a_network_file_system_a_sweep_is_a_single_shard(tmp_path, monkeypatch):
    for module in (places, shards):
        monkeypatch.setattr(module, "has_locks", lambda folder: False)
    with pytest.raises(SweepInterrupted):
        run_whole("steps", tmp_path / "run", progress=interrupted(), workers=1)
    assert [file.name for file in (tmp_path / "run.unfinished").iterdir()] == [
        "shard-1-of-1.sqlite"
    ]
    refuse(tmp_path, "shard 1 of 1 is unfinished")
    # It ends, and is killed before the folder is written.
    with monkeypatch.context() as patch:
        patch.setattr("regjax.sweeps.lanes.run.write_run", interrupted_write)
        with pytest.raises(KeyboardInterrupt):
            run_whole("steps", tmp_path / "run", resume=True)
    merged = merge_shards(tmp_path / "run")
    whole = run_whole("steps", tmp_path / "whole")
    assert merged.table.equals(whole.table, null_equal=True)
    csv = [(tmp_path / name / "results.csv").read_bytes() for name in ("run", "whole")]
    assert csv[0] == csv[1]


def interrupted_write(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (-1, 1)])
def test_impossible_shards_are_refused(shard, tmp_path):
    with pytest.raises(ValueError, match="1 <= i <= n"):
        run_sweep(TRAINING, GRID, *data(), shard=shard, out=tmp_path / "run")


def test_shards_need_a_folder_and_no_rungs(tmp_path):
    with pytest.raises(ValueError, match="needs a folder"):
        run_sweep(TRAINING, GRID, *data(), shard=(1, 2))
    with pytest.raises(ValueError, match="without shards"):
        run_sweep(
            TRAINING,
            GRID,
            *data(),
            metric="loss",
            stopping=SuccessiveHalving(5, 2),
            shard=(1, 2),
            out=tmp_path / "run",
        )
