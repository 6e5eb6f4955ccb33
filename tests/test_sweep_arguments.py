"""Arguments of sweeps: what cannot be is refused with its name and its value, before any work."""

import dataclasses
import fractions
import functools
import re

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sweep_problems import TRAINING, X, Y

import regjax
from regjax._messages import quoted
from regjax.sweeps import (
    EarlyStopping,
    Grid,
    MLPOptions,
    Ray,
    Static,
    SuccessiveHalving,
    Training,
    Uniform,
    log_range,
    parse_grid,
    run_lanes,
    run_sweep,
)

BAD = {
    "text": "abc",
    "empty text": "",
    "bytes": b"1",
    "truth": True,
    "NumPy's truth": np.True_,
    "None": None,
    "negative": -1,
    "zero": 0,
    "negative zero": -0.0,
    "fraction": 0.5,
    "NaN": float("nan"),
    "NumPy's NaN": np.float32("nan"),
    "infinity": float("inf"),
    "NumPy's infinity": -np.float64("inf"),
    "huge": 10**400,
    "large": 10**15,
    "complex": 1j,
    "list": [1, 2],
    "list of text": ["a"],
    "list of nothing": [],
    "tuple": (0, 1),
    "array": np.ones((2, 2)),
    "dictionary": {"a": 1},
    "object": object(),
    "function": lambda *given: None,
}
WHOLE = {"large", "huge"}
COUNT = {*WHOLE, "None"}
REAL = {"negative", "zero", "negative zero", "fraction", "large"}
FLAG = {"truth", "NumPy's truth"}


def loss(hp, key, *shared):
    return {"loss": hp["x"]}


def sweep(**given):
    regjax.sweep((X, X[:, 0]), **{"models": ["lasso"], "seeds": 2, **given})


def lanes(**given):
    return run_lanes(loss, {"x": [1.0]}, **{"seeds": [0], **given})


def run(train=loss, grid=None, *shared, **given):
    return run_sweep(train, Grid.product(x=[1.0, 2.0]) if grid is None else grid, *shared, **given)


def stepped(**given):
    return run(dataclasses.replace(TRAINING, **given), Grid.product(lambda_=[1.0]), X, Y)


def stopping(rule):
    return run(TRAINING, Grid.product(lambda_=[1.0]), X, Y, metric="loss", stopping=rule)


def named(function, name, **given):
    return lambda value: function(**given, **{name: value})


# What is called, and which of the values above it takes.
ARGUMENTS = {
    "train": (lambda v: run_sweep(v, Grid.product(x=[1.0])), {"function"}),
    "grid": (lambda v: run_sweep(loss, v), {"dictionary"}),
    "shared": (
        lambda v: run(loss, None, v),
        set(BAD) - {"text", "empty text", "bytes", "object", "function", "list of text"},
    ),
    "metric": (named(run, "metric"), {"text", "empty text", "None"}),
    "mode": (named(run, "mode"), set()),
    "stopping": (named(run, "stopping", metric="loss"), {"None"}),
    "keep": (named(run, "keep"), {"zero", *WHOLE}),
    "dtype": (named(run, "dtype"), set()),
    "width": (named(run, "width"), COUNT),
    "workers": (named(run, "workers"), COUNT),
    "memory": (named(run, "memory"), COUNT),
    "devices": (named(run, "devices"), {"None"}),
    "out": (named(run, "out"), {"text", "None"}),
    "resume": (named(run, "resume"), FLAG),
    "overwrite": (named(run, "overwrite"), FLAG),
    "force": (named(run, "force"), FLAG),
    "shard": (named(run, "shard", out="never"), {"None", "list"}),
    "engine": (named(run, "engine"), set()),
    "progress": (named(run, "progress"), {*FLAG, "function", "None"}),
    "seeds": (named(run, "seeds"), {"None", "list", "tuple"}),
    **{name: (named(stepped, name), {"function"}) for name in ("init", "step", "evaluate")},
    **{name: (named(stepped, name), {"function", "None"}) for name in ("prepare", "params")},
    "n_steps": (named(stepped, "n_steps"), set()),
    "evaluate_every": (named(stepped, "evaluate_every"), COUNT),
    "checkpoint_every": (named(stepped, "checkpoint_every"), {"None", *WHOLE}),
    "patience": (lambda v: stopping(EarlyStopping(v)), WHOLE),
    "min_delta": (lambda v: stopping(EarlyStopping(1, v)), REAL - {"negative"}),
    "first": (lambda v: stopping(SuccessiveHalving(v)), WHOLE),
    "factor": (lambda v: stopping(SuccessiveHalving(1, v)), WHOLE),
    "axis": (
        lambda v: Grid.product(axis=v),
        {"list", "list of text", "tuple"},
    ),
    "axis of zipped": (lambda v: Grid.zipped(axis=v), {"list", "list of text", "tuple"}),
    "axis of Static": (lambda v: Grid.product(axis=Static(v)), {"list", "list of text", "tuple"}),
    "n of random": (lambda v: Grid.random(v, x=Uniform(0, 1)), set()),
    "n of sobol": (lambda v: Grid.sobol(v, x=Uniform(0, 1)), set()),
    "random_state": (
        lambda v: Grid.random(3, random_state=v, x=Uniform(0, 1)),
        {"zero", *WHOLE},
    ),
    "x of random": (lambda v: Grid.random(3, x=v), set()),
    "low": (lambda v: Grid.random(3, x=Uniform(v, 2e15)), REAL),
    "high": (lambda v: Grid.random(3, x=Uniform(-9, v)), REAL),
    "log": (lambda v: Grid.random(3, x=Uniform(1, 2, log=v)), FLAG),
    "whole": (lambda v: Grid.random(3, x=Uniform(1, 2, whole=v)), FLAG),
    "low of log_range": (lambda v: log_range(v, 1e20, 3), {"fraction", "large"}),
    "high of log_range": (lambda v: log_range(0.1, v, 3), {"fraction", "large"}),
    "n of log_range": (lambda v: log_range(0.1, 1, v), set()),
    "lambdas": (named(sweep, "lambdas"), {*REAL - {"negative"}, "None", "list", "tuple"}),
    "models": (named(sweep, "models"), {"None"}),
    "l1_ratio": (named(sweep, "l1_ratio"), REAL - {"negative", "large"}),
    "seeds of sweep": (named(sweep, "seeds"), {"list", "tuple"}),
    "validation_fraction": (named(sweep, "validation_fraction"), {"fraction"}),
    "rule": (named(sweep, "rule"), set()),
    "task": (named(sweep, "task"), {"None"}),
    "mlp": (named(sweep, "mlp"), {"None"}),
    "draw": (named(sweep, "draw"), {"None", "function"}),
    **{
        name: (lambda v, name=name: sweep(mlp=MLPOptions(**{name: v})), WHOLE)
        for name in ("hidden", "epochs", "batch_size")
    },
    "learning_rate": (
        lambda v: sweep(mlp=MLPOptions(learning_rate=v)),
        {"fraction", "large", "list"},
    ),
    **{
        name: (lambda v, name=name: Ray(**{name: v}).check(), taken)
        for name, taken in (
            ("address", {"text", "empty text", "None"}),
            ("num_cpus", REAL - {"negative", "zero", "negative zero"}),
            ("num_gpus", REAL - {"negative"}),
            ("max_retries", {"zero", *WHOLE}),
        )
    },
    "train of run_lanes": (lambda v: run_lanes(v, {"x": [1.0]}, [0]), {"function"}),
    "hyperparameters": (lambda v: run_lanes(loss, v, [0]), {"dictionary"}),
    "seeds of run_lanes": (named(lanes, "seeds"), {"list", "tuple"}),
    "dtype of run_lanes": (named(lanes, "dtype"), set()),
    "width of run_lanes": (named(lanes, "width"), COUNT),
    "workers of run_lanes": (named(lanes, "workers"), COUNT),
    "progress of run_lanes": (named(lanes, "progress"), {"function", "None"}),
}


def tells(message, value):
    """Return whether a message holds a value, or what of it is at fault."""
    parts = [value, *value] if isinstance(value, list | tuple | np.ndarray) else [value]
    return any(quoted(part)[:20] in message or f"{part}" in message for part in parts)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_what_cannot_be_is_refused_with_its_name_and_value(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, taken = ARGUMENTS[argument]
    name = argument.split(" of ")[0].replace("_", "[-_]")
    for kind, value in BAD.items():
        if kind in taken:
            continue
        with pytest.raises((ValueError, TypeError)) as caught:
            call(value)
        message = str(caught.value)
        assert type(caught.value) in (ValueError, TypeError), (kind, message)
        assert re.search(name, message, re.IGNORECASE), (kind, message)
        assert tells(message, value), (kind, message)
        assert len(message) < 600, kind
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(shards=(1, 2)), r"run_sweep\(\) has no argument 'shards'; it has .*'shard'"),
        (lambda: sweep(shard=(1, 2)), r"sweep\(\) has no argument 'shard'; it has .*'workers'"),
        (lambda: Grid.product(x=0.1), r"x must be a list of values, as \[0.1\], got 0.1"),
        (lambda: Grid.product(seed=3), r"seed must be .*\[3\] or range\(3\), got 3"),
        (lambda: Grid.product(x=[10**400]), "x holds 1000"),
        (lambda: run(grid={"x": [1.0], "seed": [0]}, seeds=3), "leave out seeds=3"),
        (lambda: run(grid={1: [1.0]}), r"grid must be .*got \{1: \[1.0\]\}"),
        (lambda: Grid.product(x=range(10**12)), "x holds more than 10,000,000 values"),
        (lambda: Grid.product(x=range(10**4), y=range(10**4)), "more than 10,000,000 lanes"),
        (lambda: Grid.product(x=range(9**4)) * Grid.product(y=range(9**4)), "more than 10,000,000"),
        (lambda: run(seeds=10**12), "seeds must be .* got 1000000000000"),
        (lambda: run(seeds=range(10**30)), "seeds holds more than"),
        (lambda: Grid.product(x=[1]) * 3, "unsupported operand"),
        (lambda: Grid.product(x=[1]) + {"x": [2]}, "unsupported operand"),
        (lambda: lanes(seeds=[0, 0]), "distinct, got"),
        (lambda: parse_grid("1:2:inf"), "'1:2:inf'"),
        (lambda: parse_grid("1:2:99999999999"), "n must be between 2 and 10,000,000"),
        (lambda: parse_grid(3), "got 3"),
        (lambda: run(devices=["cpu"]), "devices must be"),
    ],
)
def test_the_remedy_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("address", ["gs://b/run", "s3:/b/run", "file:///tmp/run", "HTTPS://x/y"])
def test_addresses_are_not_taken_for_folders(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Runs and fits are saved where check_folder has looked.
    for call in (run, sweep, regjax.sweeps.check_folder, regjax.sweeps.merge_shards):
        with pytest.raises(ValueError, match=r"out must be a path .*got '" + address):
            call(out=address)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["shared", "state", "output", "params"])
def test_functions_among_arrays_are_refused_and_the_remedy_is_named(where):
    module = equinox.nn.MLP(1, 1, 2, 1, key=jax.random.key(0))
    training = Training(
        init=lambda hp, key: module if where == "state" else hp["x"],
        step=lambda hp, state, i, key: state,
        evaluate=lambda hp, state, key: {"loss": hp["x"]},
        n_steps=1,
        params=lambda state: module,
    )
    calls = {
        "shared": lambda: run(loss, None, module),
        "state": lambda: run(training),
        "output": lambda: run(lambda hp, key: regjax.sweeps.Fit(module, {"loss": hp["x"]})),
        "params": lambda: run(training),
    }
    with pytest.raises(ValueError, match=r"got .*at .*activation: .*equinox.partition"):
        calls[where]()


def test_plain_numbers_are_shared_and_a_lane_that_is_not_there_is_named():
    found = run(lambda hp, key, scale: {"loss": hp["x"] * scale}, None, 3.0)
    assert found.table["loss"].to_list() == [3.0, 6.0]
    with pytest.raises(KeyError, match="no lane 'ab'"):
        found.params("ab")


def test_what_is_meant_works(capsys):
    """NumPy's numbers, a dictionary as grid, a number of seeds, keys among arrays and state."""
    key = jax.random.key(7)
    training = Training(
        init=lambda hp, own, shared: shared,
        step=lambda hp, state, i, own, shared: jax.random.fold_in(state, i),
        evaluate=lambda hp, state, own, shared: {"loss": hp["x"] * jax.random.uniform(state)},
        n_steps=np.int64(4),
        evaluate_every=np.int32(2),
        checkpoint_every=np.int64(2),
    )
    given = {"metric": "loss", "width": np.int64(3), "keep": np.int64(1), "progress": True}
    rule = EarlyStopping(np.int64(2), np.float32(0))
    found = run_sweep(training, {"x": [1.0, 2.0]}, key, seeds=np.int64(3), stopping=rule, **given)
    assert "6 of 6 lanes" in capsys.readouterr().out
    assert found.table["seed"].to_list() == [0, 1, 2] * 2
    last = functools.reduce(jax.random.fold_in, range(4), key)
    expected = float(jax.random.uniform(last)) * np.repeat([1.0, 2.0], 3)
    np.testing.assert_allclose(found.table["loss"], expected, rtol=1e-6)
    assert len(found.kept()) == 3
    assert np.array_equal(found.params(0)["value"], jax.random.key_data(last))
    assert Grid.product(x=[fractions.Fraction(1, 2), jnp.float32(2)]).columns["x"] == (0.5, 2.0)


@pytest.mark.parametrize(
    "made",
    [EarlyStopping(np.int64(2), np.float32(0)), SuccessiveHalving(np.int64(1), np.int32(2))],
    ids=lambda made: type(made).__name__,
)
def test_rules_hold_plain_numbers(made):
    # As they are written into manifests and compared when a sweep is resumed.
    assert {type(value) for value in dataclasses.astuple(made)} <= {int, float}
