"""The sweep engine: every lane is its run alone, whatever runs beside it, leaves or fails."""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from sweep_problems import (
    SAVING,
    TRAINING,
    X,
    Y,
    alone,
    function,
    initial,
    lanes,
    momentum_step,
    squares,
)

from regjax.sweeps import (
    EarlyStopping,
    Fit,
    Grid,
    Static,
    SuccessiveHalving,
    Training,
    Uniform,
    run_sweep,
)
from regjax.sweeps.lanes import conductor
from regjax.sweeps.lanes.chunks import block_shape, halved, make_chunks
from regjax.sweeps.lanes.compiled import Setting
from regjax.sweeps.lanes.legs import GroupJob, HostTraining
from regjax.sweeps.lanes.options import Options
from regjax.sweeps.lanes.programs import SteppedProgram
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.run import run_jobs

TOL = {"float32": 3e-5, "float64": 1e-12}


def train(training, grid, dtype="float32", **options):
    given = {"metric": "loss", "dtype": dtype, "width": 4} | options
    return run_sweep(training, grid, X.astype(dtype), Y.astype(dtype), **given)


def constant(hp, key, X, y):
    return hp["lambda_"]


# Where steps do not matter.
CONSTANT = Training(
    constant,
    lambda hp, x, index, key, X, y: x,
    lambda hp, x, key, X, y: {"loss": x},
    n_steps=12,
    evaluate_every=2,
)


def trajectories(training, grid, dtype="float32"):
    shared = X.astype(dtype), Y.astype(dtype)
    return [
        alone(training, row, *shared, dtype=dtype, **{name: row[name] for name in grid.static})
        for row in grid
    ]


def assert_equal_alone(run, training, dtype="float32"):
    for lane, steps in zip(
        run.table.iter_rows(named=True), trajectories(training, run.grid, dtype), strict=True
    ):
        state, metrics = steps[-1]
        assert lane["status"] == "done"
        np.testing.assert_allclose(lane["loss"], metrics["loss"], rtol=TOL[dtype])
        assert lane["above"] == metrics["above"]
        kept = run.params(lane["id"])
        assert kept["w"].dtype == dtype
        np.testing.assert_allclose(kept["w"], state["w"], rtol=TOL[dtype], atol=TOL[dtype])


@pytest.mark.parametrize(
    ("training", "dtype"), [(function, "float64"), (TRAINING, "float32")], ids=["pure", "stepped"]
)
def test_every_lane_equals_its_run_alone(training, dtype):
    # Ten lanes of a seed, four at a time: the last block of every seed is padded.
    run = train(training, lanes(), dtype, keep="all")
    assert run.plan["shapes"] == {"0": [1, 4]}
    assert_equal_alone(run, TRAINING, dtype)


@pytest.mark.parametrize(
    ("training", "dtype"), [(function, "float32"), (TRAINING, "float64")], ids=["pure", "stepped"]
)
def test_lanes_with_seeds_of_their_own_share_blocks(training, dtype):
    ranges = {
        "lambda_": Uniform(1e-3, 1, log=True),
        "learning_rate": Uniform(0.01, 0.1),
        "seed": Uniform(0, 6, whole=True),
    }
    run = train(training, Grid.random(11, **ranges), dtype, keep="all", width=8)
    assert run.plan["shapes"]["0"][0] > 1
    assert_equal_alone(run, TRAINING, dtype)


def test_lanes_that_differ_in_the_seed_alone():
    def noise(hp, key):
        return {"loss": jax.random.normal(key)}

    steps = Training(
        lambda hp, key: jax.random.normal(key),
        lambda hp, x, i, key: x * 0.5,
        lambda hp, x, key: {"loss": x},
        n_steps=2,
    )
    drawn = np.array([float(jax.random.normal(jax.random.key(seed))) for seed in range(3)])
    grid = Grid.product(seed=range(3))
    pure = run_sweep(noise, grid, metric="loss")
    np.testing.assert_allclose(pure.table["loss"], drawn, rtol=1e-6)
    np.testing.assert_allclose(pure.best().mean, drawn.mean(), rtol=1e-6)
    # The width is measured, which needs lanes as well.
    np.testing.assert_allclose(run_sweep(steps, grid).table["loss"], drawn / 4, rtol=1e-6)


def _power_step(hp, state, index, key, X, y, *, power, bold):
    rate = hp["learning_rate"] * (2 if bold else 1) / (1 + index) ** power
    return {**state, "w": state["w"] - rate * (X.T @ (X @ state["w"] - y) / len(y))}


def test_choices_shape_the_program():
    training = Training(
        lambda hp, key, X, y, **_: initial(hp, key, X, y),
        _power_step,
        lambda hp, state, key, X, y, **_: squares(hp, state, key, X, y),
        n_steps=4,
    )
    grid = Grid.product(learning_rate=[0.01, 0.1]) * Grid.zipped(
        power=Static([1, 2]), bold=[False, True]
    )
    run = train(training, grid, "float64", keep="all")
    assert len(run.plan["shapes"]) == 2
    assert_equal_alone(run, training, "float64")


def test_equal_choices_of_other_kinds_are_other_programs():
    def kind(hp, key, *, flag):
        return {"signed": hp["x"] if isinstance(flag, bool) else -hp["x"]}

    run = run_sweep(kind, Grid.product(x=[1.0, 2.0], flag=Static([True, 1])))
    assert run.table["signed"].to_list() == [1.0, -1.0, 2.0, -2.0]


PREPARED = dataclasses.replace(
    TRAINING, prepare=lambda key, X, y: (X * (1 + jax.random.uniform(key, dtype=X.dtype)), -y)
)


@pytest.mark.parametrize("width", [4, 20])
def test_lanes_see_what_their_seed_prepares(width):
    # Blocks of one seed and of two are programs of different kinds.
    run = train(PREPARED, lanes(), keep="all", width=width)
    assert run.plan["shapes"]["0"][0] == (1 if width == 4 else 2)
    assert_equal_alone(run, PREPARED)


def test_a_seed_is_prepared_once_and_copied_to_no_lane():
    calls, kinds = [], []

    def prepare(key, X, y):
        def count(x):
            calls.append(1)
            return x

        return jax.pure_callback(count, jax.ShapeDtypeStruct(X.shape, X.dtype), X), y

    def step(hp, state, index, key, X, y):
        kinds.append((type(X).__name__, X.shape))
        return state + X[0, 0]

    training = Training(constant, step, lambda hp, x, *_: {"loss": x}, 12, 2, prepare=prepare)
    train(training, lanes(), workers=1)
    # Once per seed, however many legs; a traced array that were mapped would be a BatchTracer.
    assert len(calls) == 3
    assert set(kinds) == {("DynamicJaxprTracer", X.shape)}


def test_what_a_seed_prepares_is_kept_while_chunks_take_turns():
    made = []

    def prepare(key, X, y):
        jax.debug.callback(lambda seed: made.append(int(seed)), jax.random.key_data(key)[1])
        return X, y

    training = dataclasses.replace(CONSTANT, prepare=prepare)
    grid = lanes(1, 6)
    run = train(training, grid, width=2, workers=5, stopping=EarlyStopping(100))
    # Each chunk has a seed of its own and comes back after every look, as many as may be at work.
    assert run.plan["shapes"] == {"0": [1, 2]}
    jax.effects_barrier()
    assert sorted(made) == list(range(6))


def test_random_keys_may_be_part_of_the_state():
    training = Training(
        lambda hp, key: {"key": key, "x": jnp.float32(0)},
        lambda hp, s, i, key: {
            "key": jax.random.wrap_key_data(jax.random.key_data(s["key"]) * 3),
            "x": s["x"] + jax.random.key_data(s["key"])[1] * hp["scale"],
        },
        lambda hp, s, key: {"loss": s["x"]},
        n_steps=8,
    )
    grid = Grid.product(scale=[1.0, 2.0], seed=[1, 2])
    run = run_sweep(training, grid, metric="loss", stopping=SuccessiveHalving(2, 2))
    # One setting under both seeds.
    assert run.table["status"].to_list().count("done") == 2
    assert len(run.kept()) == 2
    for kept in run.kept():
        lane = run.grid.ids.index(kept)
        _, metrics = alone(training, run.grid.row(lane))[-1]
        np.testing.assert_allclose(run.table["loss"][lane], metrics["loss"], rtol=1e-5)
        assert run.params(kept)["key"].shape == (2,)


_ON_DEVICES = """
import json, sys
import jax
sys.path.insert(0, "tests")
from sweep_problems import TRAINING, X, Y, function, lanes
from regjax.sweeps import EarlyStopping, Grid, run_sweep

def found(train, grid, stopping, devices):
    run = run_sweep(train, grid, X, Y, metric="loss", keep="all", width=2, devices=devices,
                    stopping=stopping)
    params = {lane: run.params(lane)["w"].tolist() for lane in run.kept()}
    return run.plan["shapes"]["0"], [run.table.rows(), params]

devices = jax.devices()
assert len(devices) == 4
seeds = Grid.product(lambda_=[0.1], learning_rate=[0.02], seed=range(11))
for train, grid, stopping in (
    (function, lanes(5, 2), None),
    (function, seeds, None),
    (TRAINING, lanes(5, 2), EarlyStopping(1, 0.05)),
):
    shared, several = found(train, grid, stopping, devices)
    print(json.dumps([shared, several == found(train, grid, stopping, devices[:1])[1]]))
"""


_RESUMED_ELSEWHERE = """
import pathlib
from regjax.sweeps import StoreError

def run(n_devices, **options):
    devices = jax.devices()[:n_devices]
    return run_sweep(TRAINING, lanes(5, 2), X, Y, metric="loss", width=2, devices=devices,
                     out=pathlib.Path(sys.argv[1]) / "out", **options)

first = run(4)
try:
    run(2, resume=True)
except StoreError as error:
    print(error)
assert run(4, resume=True).table.equals(first.table)
print(*run(2, resume=True, force=True).events["event"], sep="; ")
"""


def on_four_devices(script, *args):
    root = pathlib.Path(__file__).parents[1]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", script, *args],
        cwd=root,
        env=os.environ | flags,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_four_devices_equal_one_bit_for_bit_and_another_number_is_named(shared_cache, tmp_path):
    *found, refusal, forced = on_four_devices(_ON_DEVICES + _RESUMED_ELSEWHERE, str(tmp_path))
    equal = [json.loads(line) for line in found]
    assert equal == [[[1, 8], True], [[8, 1], True], [[1, 8], True]]
    assert "among 4 devices, and here are 2" in refusal
    assert forced.endswith("resumed by force; devices changed, so last digits may")


def test_curves_are_the_looks_at_a_lane():
    grid = lanes(2, 1)
    curves = train(TRAINING, grid).curves()
    for lane, steps in zip(grid.ids, trajectories(TRAINING, grid), strict=True):
        rows = curves.filter(pl.col("id") == lane)
        assert rows["step"].to_list() == [2, 4, 6, 8, 10, 12]
        expected = [steps[step - 1][1]["loss"] for step in rows["step"]]
        np.testing.assert_allclose(rows["loss"], expected, rtol=TOL["float32"])


def test_curves_of_functions_may_differ_in_length_and_groups_in_metrics():
    def curves(hp, key, *, kind):
        some = {"loss": hp["x"], "short": hp["x"] * jnp.arange(2.0)}
        return some if kind == "a" else some | {"long": jnp.arange(3)}

    run = run_sweep(curves, Grid.product(kind=["a", "b"], x=[2.0]), metric="loss")
    assert run.curves()["short"].to_list() == [0.0, 2.0, 0.0, 2.0, None]
    assert run.curves()["long"].to_list() == [None, None, 0, 1, 2]
    assert run.curves()["step"].to_list() == [1, 2, 1, 2, 3]


def plain_early_stop(curve, patience, min_delta):
    """Return the place of the look at which a lane stops, None if it does not."""
    best, since = np.inf, 0
    for look, value in enumerate(curve):
        if np.isfinite(value) and value < best - min_delta:
            best, since = value, 0
        else:
            since += 1
        if since == patience:
            return look
    return None


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (2, 0.0), (1, 0.05)])
def test_early_stopping_equals_a_plain_loop(mode, patience, min_delta):
    grid = lanes(4, 2)
    run = train(TRAINING, grid, mode=mode, stopping=EarlyStopping(patience, min_delta), keep="all")
    sign = 1 if mode == "min" else -1
    statuses = set()
    for lane, steps in zip(
        run.table.iter_rows(named=True), trajectories(TRAINING, grid), strict=True
    ):
        looks = range(1, 12, 2)
        stop = plain_early_stop([sign * steps[at][1]["loss"] for at in looks], patience, min_delta)
        state, metrics = steps[11 if stop is None else looks[stop]]
        assert lane["status"] == ("done" if stop is None else "stopped")
        assert lane["step"] == (12 if stop is None else 2 * (stop + 1))
        np.testing.assert_allclose(lane["loss"], metrics["loss"], rtol=TOL["float32"])
        np.testing.assert_allclose(
            run.params(lane["id"])["w"], state["w"], rtol=TOL["float32"], atol=1e-6
        )
        rows = run.curves().filter(pl.col("id") == lane["id"])
        assert len(rows) in (0, lane["step"] // 2)
        statuses.add((lane["status"], lane["step"]))
    assert len(statuses) > 2 or mode == "max"


def plain_halving(curves, settings, first, factor, n_steps):
    """Return how far every lane goes: curves are costs after every step."""
    alive, left, rung = list(dict.fromkeys(settings)), {}, first
    lanes_of = {one: [i for i, s in enumerate(settings) if s == one] for one in alive}
    while rung < n_steps:
        mean = {s: np.mean([curves[lane][rung - 1] for lane in lanes_of[s]]) for s in alive}
        staying = sorted(sorted(alive, key=mean.get)[: max(1, len(alive) // factor)])
        left |= {lane: rung for s in alive if s not in staying for lane in lanes_of[s]}
        alive, rung = staying, rung * factor
    return left | {lane: n_steps for s in alive for lane in lanes_of[s]}


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("first", "factor"), [(2, 2), (3, 2), (1, 3), (20, 2)])
def test_successive_halving_equals_a_plain_loop(mode, first, factor):
    grid = lanes(4, 2)
    run = train(TRAINING, grid, mode=mode, stopping=SuccessiveHalving(first, factor), keep="all")
    plain = trajectories(TRAINING, grid)
    sign = 1 if mode == "min" else -1
    curves = [[sign * metrics["loss"] for _, metrics in steps] for steps in plain]
    settings = [lane // 2 for lane in range(len(grid))]
    ends = plain_halving(curves, settings, first, factor, 12)
    assert run.table["step"].to_list() == [ends[lane] for lane in range(len(grid))]
    for lane, steps in enumerate(plain):
        assert run.table["status"][lane] == ("done" if ends[lane] == 12 else "dropped")
        expected = steps[ends[lane] - 1][1]["loss"]
        np.testing.assert_allclose(run.table["loss"][lane], expected, rtol=TOL["float32"])
    assert run.kept() == [grid.ids[lane] for lane in sorted(ends) if ends[lane] == 12]
    assert (run.events["event"].str.starts_with("rung").sum() > 0) == (first < 12)


def test_compaction_does_not_change_the_numbers_of_survivors():
    # Sixteen lanes in four blocks; the four that survive fill one block of the same shape.
    grid = Grid.product(lambda_=np.geomspace(0.01, 1, 8), learning_rate=[0.02, 0.1])
    whole = train(TRAINING, grid, keep="all")
    run = train(TRAINING, grid, stopping=SuccessiveHalving(4, 4), keep="all")
    done = np.flatnonzero(run.table["status"] == "done").tolist()
    assert len(done) == 4
    # They come from more than one block.
    assert len({lane // 4 for lane in done}) > 1
    assert run.table["loss"][done].to_list() == whole.table["loss"][done].to_list()
    for lane in done:
        np.testing.assert_array_equal(run.params(lane)["w"], whole.params(lane)["w"])


def first_nan(steps):
    broken = (i for i, (state, _) in enumerate(steps, 1) if np.isnan(state["w"]).any())
    return next(broken, None)


def test_lanes_that_diverge_are_known_by_their_step_and_disturb_no_other():
    grid = Grid.zipped(lambda_=[0.1] * 4, learning_rate=[0.02, 1e4, 0.1, 1e18])
    calm = Grid.zipped(lambda_=[0.1] * 4, learning_rate=[0.02, 0.03, 0.1, 0.06])
    run, other = (train(TRAINING, g, keep="all") for g in (grid, calm))
    steps = [first_nan(lane) for lane in trajectories(TRAINING, grid)]
    assert [step is None for step in steps] == [True, False, True, False]
    assert len(set(steps)) == 3
    assert run.table["status"].to_list() == [
        "done" if step is None else "diverged" for step in steps
    ]
    assert run.table["step"].to_list() == [step or 12 for step in steps]
    for lane in (0, 2):
        np.testing.assert_array_equal(run.params(lane)["w"], other.params(lane)["w"])
        assert run.table["loss"][lane] == other.table["loss"][lane]
    assert run.best().learning_rate == pytest.approx(0.1)


@pytest.mark.parametrize("rule", [EarlyStopping(4), SuccessiveHalving(8, 2)])
def test_lanes_that_diverge_are_known_by_their_step_where_others_leave(rule):
    grid = Grid.zipped(lambda_=[0.1] * 4, learning_rate=[0.02, 1e10, 0.1, 1e18])
    run = train(TRAINING, grid, stopping=rule, keep="all")
    steps = [first_nan(lane) for lane in trajectories(TRAINING, grid)]
    assert [step is None for step in steps] == [True, False, True, False]
    for lane in (1, 3):
        assert run.table["status"][lane] == "diverged"
        assert run.table["step"][lane] == steps[lane]
    assert set(run.table["status"][[0, 2]]) == {"done"}


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("evaluate_every", [None, 2])
def test_a_nan_that_the_training_removes_itself_is_none(evaluate_every, width):
    """Whether there is one is asked where lanes are looked at, whoever runs beside them."""

    def step(hp, state, index, key):
        return jnp.where((index >= hp["from"]) & (index < hp["to"]), jnp.nan, 1.0 * index)

    def evaluate(hp, state, key):
        return {"loss": jnp.nan_to_num(state)}

    training = Training(lambda hp, key: 0.0, step, evaluate, 9, evaluate_every)
    grid = Grid.zipped(**{"from": [3.0, 3.0, 9.0], "to": [5.0, 9.0, 9.0]})
    run = run_sweep(training, grid, metric="loss", width=width)
    # Steps are counted from 1; that of index 3 is a look of every second step.
    seen = evaluate_every == 2
    assert run.table["status"].to_list() == ["diverged" if seen else "done", "diverged", "done"]
    assert run.table["step"].to_list() == [4 if seen else 9, 4, 9]


def _placeholders(hp, state, index, key, X, y):
    moved = momentum_step(hp, {"w": state["w"], "m": state["m"]}, index, key, X, y)
    # A shift of what is not known yet, and a value that is reset to it.
    best = jnp.where(index % 3 == 0, jnp.nan, jnp.sum(moved["w"]))
    return {**moved, "best": best, "past": jnp.roll(state["past"], 1).at[0].set(moved["w"][0])}


PLACEHOLDERS = dataclasses.replace(
    TRAINING,
    init=lambda *given: {**initial(*given), "best": jnp.nan, "past": jnp.full(20, jnp.nan)},
    step=_placeholders,
    evaluate=lambda hp, state, *given: squares(hp, state, *given) | {"ratio": jnp.inf},
)


@pytest.mark.parametrize("metric", ["loss", None])
def test_placeholders_and_infinite_numbers_beside_the_ranking_metric_are_no_divergence(metric):
    grid = Grid.zipped(lambda_=[0.1] * 4, learning_rate=[0.02, 1e18, 0.1, 0.05])
    run = train(PLACEHOLDERS, grid, metric=metric)
    steps = [first_nan(lane) for lane in trajectories(TRAINING, grid)]
    assert [step is None for step in steps] == [True, False, True, True]
    status = run.table["status"].to_list()
    assert [found == "diverged" for found in status] == [False, True, False, False]
    assert run.table["step"][1] == steps[1]


def test_without_a_ranking_metric_a_metric_that_is_nan_tells_divergence():
    def metrics(hp, key):
        return {
            "a": jnp.where(hp["x"] == 1, jnp.nan, 0.0),
            "b": jnp.where(hp["x"] == 2, jnp.inf, 0),
        }

    grid = Grid.product(x=[1.0, 2.0, 3.0])
    assert run_sweep(metrics, grid).table["status"].to_list() == ["diverged", "done", "done"]
    named = run_sweep(metrics, grid, metric="b").table["status"].to_list()
    assert named == ["done", "diverged", "done"]


def test_early_stopping_costs_the_same_at_every_evaluation(monkeypatch):
    sizes = []
    found = conductor.costs
    monkeypatch.setattr(conductor, "costs", lambda v, mode: sizes.append(v.size) or found(v, mode))
    training = dataclasses.replace(TRAINING, n_steps=15, evaluate_every=1)
    train(training, lanes(2, 1), stopping=EarlyStopping(100))
    # Four lanes; nothing is recomputed from the first evaluation.
    assert sizes == [4] * 15


def test_the_next_evaluation_is_found_without_listing_all():
    training = dataclasses.replace(TRAINING, n_steps=10**9, evaluate_every=3)
    assert list(itertools.islice(training.stops(4, (5, 9, 10)), 5)) == [5, 6, 9, 10, 12]
    assert list(training.stops(10**9 - 2)) == [10**9 - 1, 10**9]


def test_a_metric_that_is_not_finite_makes_a_lane_diverged_and_the_worst():
    def evaluate(hp, state, key, X, y):
        broken = jnp.where(hp["lambda_"] > 0.3, jnp.nan, -jnp.inf)
        return {"loss": jnp.where(hp["lambda_"] > 0.2, broken, state)}

    training = dataclasses.replace(CONSTANT, evaluate=evaluate)
    grid = Grid.product(lambda_=[0.1, 0.25, 0.4, 0.15], learning_rate=[0.02])
    run = train(training, grid, keep=3)
    assert run.table["status"].to_list() == ["done", "diverged", "diverged", "done"]
    assert run.table["step"].to_list() == [12] * 4
    assert run.kept() == [grid.ids[0], grid.ids[3]]
    stopped = train(training, grid, stopping=SuccessiveHalving(2, 2))
    assert stopped.table["status"].to_list().count("diverged") == 2


def ranked(hp, key):
    return Fit(hp["x"], {"score": jnp.floor(hp["x"] / 2)})


@pytest.mark.parametrize("workers", [1, 3])
def test_the_best_keep_their_parameters_and_of_equals_the_first(workers):
    xs = [5.0, 2.0, 9.0, 3.0, 8.0, 2.5, 7.0, 4.0, 4.5]
    grid = Grid.product(x=xs)
    given = {"metric": "score", "width": 2, "workers": workers}
    for mode, expected in (("min", [1, 3, 5, 0]), ("max", [2, 4, 6, 0])):
        for keep in range(5):
            run = run_sweep(ranked, grid, mode=mode, keep=keep, **given)
            assert run.kept() == [grid.ids[lane] for lane in sorted(expected[:keep])]
            for lane in expected[:keep]:
                assert run.params(lane)["value"] == xs[lane]
    assert run_sweep(ranked, grid, keep="all", **given).kept() == list(grid.ids)
    assert run_sweep(ranked, grid, keep=2, width=2).kept() == list(grid.ids[:2])
    with pytest.raises(KeyError, match="were not kept"):
        run.params(8)


@pytest.mark.parametrize(
    "stopping", [None, EarlyStopping(1, 0.05), SuccessiveHalving(2, 2)], ids=repr
)
def test_progress_counts_lanes_and_steps(stopping):
    grid, seen = lanes(4, 2), []
    run = train(TRAINING, grid, stopping=stopping, progress=seen.append)
    assert {progress.lanes for progress in seen} == {len(grid)}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == len(grid)
    # A lane makes the steps after which it is told of, and no more.
    assert seen[-1].steps == run.table["step"].sum()
    bests = [p.best for p in seen if p.best is not None]
    assert bests == sorted(bests, reverse=True)
    assert seen[-1].best == run.table["loss"].min()
    assert [p.seconds for p in seen] == sorted(p.seconds for p in seen)


def test_progress_without_a_metric_has_no_best():
    seen = []
    run_sweep(ranked, Grid.product(x=[1, 2, 3]), width=1, progress=seen.append)
    assert [(p.done, p.lanes, p.best) for p in seen] == [(1, 3, None), (2, 3, None), (3, 3, None)]


def fails(hp, key, *, kind):
    if kind == "raises":
        raise RuntimeError("no such kind")
    if kind == "other":
        return {"loss": jnp.stack([hp["x"]] * 2)}

    def fail(x):
        raise OSError("the disk is gone")

    if kind == "late":
        return {
            "loss": jax.pure_callback(
                fail, jax.ShapeDtypeStruct((), "float32"), hp["x"], vmap_method="sequential"
            )
        }
    return {"loss": hp["x"]}


def test_a_group_that_fails_fails_alone():
    grid = Grid.product(kind=["good", "raises", "other", "late", "fine"], x=[1.0, 2.0, 3.0])
    seen = []
    run = run_sweep(fails, grid, metric="loss", width=1, progress=seen.append)
    assert run.table["status"].to_list() == ["done"] * 3 + ["failed"] * 9 + ["done"] * 3
    assert run.table["loss"].to_list() == [1.0, 2.0, 3.0, *[None] * 9, 1.0, 2.0, 3.0]
    reasons = {json.loads(choices)["kind"]: reason for choices, reason in run.failures.items()}
    assert reasons["raises"] == "RuntimeError: no such kind"
    assert "no scalar 'loss'" in reasons["other"]
    assert "the disk is gone" in reasons["late"]
    assert set(reasons) == {"raises", "other", "late"}
    assert run.best().hyperparameters == {"kind": "good", "x": 1.0}
    # Those that failed before they began are not awaited; those that failed later are over.
    assert (seen[-1].done, seen[-1].lanes) == (9, 9)


def test_groups_whose_metrics_have_other_shapes_fail():
    def curves(hp, key, *, n):
        return {"curve": hp["x"] * jnp.ones(n)}

    run = run_sweep(curves, Grid.zipped(n=Static([2, 3, 2]), x=[1.0, 1.0, 2.0]))
    assert run.table["status"].to_list() == ["done", "failed", "done"]


def test_where_every_group_fails_the_error_is_raised():
    with pytest.raises(RuntimeError, match="no such kind"):
        run_sweep(fails, Grid.product(kind=["raises"], x=[1.0]))


@pytest.fixture
def small_memory(monkeypatch):
    """Have legs beyond a step fail where they are wider than this."""

    def limit(size, after=0):
        leg = SteppedProgram.leg

        def limited(self, carry, block, active, first, last):
            if active.size > size and first >= after:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 10 bytes")
            return leg(self, carry, block, active, first, last)

        monkeypatch.setattr(SteppedProgram, "leg", limited)

    return limit


def test_out_of_memory_halves_the_width_and_goes_on(small_memory):
    grid = lanes(4, 2)
    narrow = train(TRAINING, grid, width=1, keep="all")
    small_memory(1)
    seen = []
    run = train(TRAINING, grid, width=4, keep="all", progress=seen.append)
    assert run.plan["shapes"] == {"0": [1, 4]}
    events = run.events["event"].to_list()
    assert any("from 1 x 4" in event and "to 1 x 2" in event for event in events)
    assert any("from 1 x 2" in event and "to 1 x 1" in event for event in events)
    assert run.table.rows() == narrow.table.rows()
    assert (seen[-1].done, seen[-1].lanes, seen[-1].steps) == (16, 16, 16 * 12)


@pytest.mark.parametrize("rule", [None, EarlyStopping(1, 0.05), SuccessiveHalving(2, 2)], ids=repr)
def test_out_of_memory_halfway_keeps_the_steps_made(small_memory, rule):
    grid = lanes(4, 1)
    whole = train(SAVING, grid, stopping=rule)
    small_memory(1, after=4)
    seen = []
    run = train(SAVING, grid, stopping=rule, progress=seen.append)
    assert run.events["event"].str.starts_with("out of memory").sum() > 0
    for name in ("status", "step"):
        assert run.table[name].to_list() == whole.table[name].to_list()
    np.testing.assert_allclose(run.table["loss"], whole.table["loss"], rtol=TOL["float32"])
    assert seen[-1].steps == run.table["step"].sum()


def test_a_leg_goes_over_looks_that_take_no_time(monkeypatch):
    curves, legs = [], []
    for seconds in (0.0, np.inf):
        monkeypatch.setattr("regjax.sweeps.lanes.legs._LEG_SECONDS", seconds)
        seen = []
        run = train(SAVING, lanes(2, 1), width=2, progress=seen.append)
        curves.append(run.curves().rows())
        legs.append([progress.steps for progress in seen])
    assert curves[0] == curves[1]
    # Two chunks of two lanes; looks are two steps apart, checkpoints four.
    assert len(legs[0]) == 2 * 12 / 2
    assert len(legs[1]) == 2 * 12 / 4
    assert legs[0][-1] == legs[1][-1] == 4 * 12


def test_out_of_memory_with_a_single_lane_fails_the_group(small_memory):
    small_memory(0)
    run = train(TRAINING, lanes(2, 1))
    assert run.table["status"].to_list() == ["failed"] * 4
    (reason,) = run.failures.values()
    assert "RESOURCE_EXHAUSTED" in reason


@pytest.mark.parametrize("n_devices", [1, 2, 3, 4])
def test_blocks_are_halved_down_to_a_lane_per_device(n_devices):
    devices = tuple(range(n_devices))
    for counts in ([1], [1] * 9, [2] * 8, [3] * 8, [8], [5, 2, 7], [30] * 3):
        seeds = [seed for seed, count in enumerate(counts) for _ in range(count)]
        for width in (1, 2, 5, 16):
            shape = block_shape(seeds, width, n_devices)
            while (half := halved(shape, n_devices)) is not None:
                Setting(half, "float32", devices).part()
                assert 0 < half.size <= shape.size / 2
                shape = half
            Setting(shape, "float32", devices).part()
            assert shape.size == n_devices


@pytest.mark.parametrize("n_devices", [1, 4])
def test_chunks_hold_every_lane_once_and_rows_of_one_seed(n_devices):
    rng = np.random.default_rng(0)
    for n_seeds in (1, 3, 20):
        seeds = rng.integers(n_seeds, size=50).tolist()
        for width in (1, 3, 8, 100):
            shape = block_shape(seeds, width, n_devices)
            assert shape.size % n_devices == 0
            assert shape.size <= max(width * n_devices, n_devices)
            chunks = make_chunks(0, range(50), seeds, shape)
            held = [lane for chunk in chunks for lane, _ in chunk.places()]
            assert sorted(held) == list(range(50))
            for chunk in chunks:
                assert chunk.shape == shape
                for lane, (row, place) in chunk.places():
                    assert chunk.filled()[row * shape.lanes + place] == lane
                for row in chunk.lanes:
                    assert len({seeds[lane] for lane in row if lane >= 0}) <= 1


def test_functions_that_are_not_traced_take_all_lanes_of_a_seed():
    calls = []

    def fit(hp, seed, offset):
        calls.append((seed, hp["x"].tolist()))
        return Fit({"w": hp["x"] * 2}, {"loss": hp["x"] + seed + offset})

    grid = Grid.product(x=[1.0, 2.0], seed=[3, 4]) + Grid.product(x=[7.0], seed=[3])
    job = GroupJob(HostTraining(fit, "doubles"), {}, ("x",), (100.0,), "float64")
    run = run_jobs([job], grid, Rules("loss"), Options(workers=1))
    assert run.table["loss"].to_list() == [104.0, 105.0, 105.0, 106.0, 110.0]
    assert sorted(calls) == [(3, [1.0, 2.0, 7.0]), (4, [1.0, 2.0, 1.0])]
    assert run.params(0) == {"w": 2.0}


def test_the_best_and_the_strongest_within_an_error_of_it():
    def loss(hp, key):
        noise = jax.random.normal(key) * 0.1
        diverges = jnp.where((hp["lambda_"] == 5) & (noise > 0), jnp.nan, 0.0)
        return {"loss": (hp["lambda_"] - 1) ** 2 / 100 + noise + diverges}

    grid = Grid.product(lambda_=[0.0, 1.0, 2.0, 5.0, 90.0], seed=range(8))
    run = run_sweep(loss, grid, metric="loss")
    table = run.table.filter(pl.col("lambda_") == 1)["loss"].to_numpy()
    best, simpler = run.best(), run.one_standard_error("lambda_")
    assert best.lambda_ == 1
    np.testing.assert_allclose(best.mean, table.mean(), rtol=1e-12)
    np.testing.assert_allclose(best.standard_error, table.std(ddof=1) / np.sqrt(8), rtol=1e-12)
    # 5 is within a standard error as far as its lanes did not diverge.
    assert simpler.lambda_ == 2
    assert len(simpler.lanes) == 8
    assert run.best("loss").lanes == tuple(
        name for name, row in zip(grid.ids, grid, strict=True) if row["lambda_"] == 1
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "nope"}, "no scalar 'nope'"),
        ({"mode": "least"}, "mode must be"),
        ({"keep": -1}, "keep must be"),
        ({"keep": "some"}, "keep must be"),
        ({"width": 0}, "width must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"engine": "boats"}, "engine must be"),
        ({"shard": (3, 2), "out": "x"}, "shard must be"),
        ({"shard": (1, 2)}, "needs a folder"),
        ({"metric": None, "stopping": EarlyStopping(1)}, "needs a metric and a Training"),
        ({"train": function, "stopping": EarlyStopping(1)}, "needs a metric and a Training"),
        ({"stopping": EarlyStopping(0)}, "patience >= 1"),
        ({"stopping": EarlyStopping(1, np.nan)}, "min_delta >= 0"),
        ({"stopping": SuccessiveHalving(0)}, "first >= 1"),
        ({"stopping": SuccessiveHalving(1, 1)}, "factor >= 2"),
        ({"train": dataclasses.replace(TRAINING, n_steps=0)}, "n_steps must be"),
        ({"train": dataclasses.replace(TRAINING, evaluate_every=0.5)}, "evaluate_every must be"),
        (
            {"train": dataclasses.replace(TRAINING, checkpoint_every=3)},
            "multiple of evaluate_every",
        ),
        (
            {"train": dataclasses.replace(TRAINING, evaluate=lambda hp, s, *_: {"loss": s["w"]})},
            "evaluate must return scalars",
        ),
        ({"train": lambda hp, *_: {"loss": hp["lambda_"], "seed": 1.0}}, "has a column 'seed'"),
        ({"train": lambda hp, *_: {"loss": hp["lambda_"], "id": 1.0}}, "has a column 'id'"),
        ({"train": lambda hp, *_: {"loss": jnp.ones((2, 2))}}, "neither a scalar nor a curve"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_run_is_refused(change, message, tmp_path):
    given = {"train": TRAINING, **change}
    if "out" in given:
        given["out"] = tmp_path / "run"
    training = given.pop("train")
    with pytest.raises(ValueError, match=message):
        train(training, lanes(2, 1), **given)


@pytest.mark.parametrize("value", [1j, "curve", "key"])
def test_metrics_that_are_not_real_are_refused_before_the_work(value):
    def metrics(hp, key):
        found = {1j: hp["x"] * 1j, "curve": jnp.ones(3) * 1j, "key": key}
        return {"loss": hp["x"], "value": found[value]}

    training = Training(lambda hp, key: hp["x"], lambda hp, s, i, key: s, lambda *_: {}, 2)
    stepped = dataclasses.replace(training, evaluate=lambda hp, s, key: metrics(hp, key))
    with pytest.raises(TypeError, match="'value' is of dtype"):
        run_sweep(stepped if value == 1j else metrics, Grid.product(x=[1.0]), metric="loss")


def test_metrics_that_are_no_dictionary_are_refused():
    with pytest.raises(TypeError, match="must return a dictionary of metrics"):
        run_sweep(lambda hp, key: hp["x"], Grid.product(x=[1.0]))
