"""The lanes engine: lanes equal single runs, shared work is done once, seeds are reproducible."""

import concurrent.futures

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regjax.sweeps import log_range, parse_grid, run_lanes
from regjax.sweeps.strengths import check_grid


def _train(hyperparameters, key, X, y):
    # Another start for every seed; a draw would compile longer than all of the rest.
    start = jnp.cos(jax.random.key_data(key)[1] + jnp.arange(X.shape[1], dtype=X.dtype))

    def step(w, _):
        return w - 0.1 * (X.T @ (X @ w - y) / len(y) + hyperparameters["lambda_"] * w), None

    w, _ = jax.lax.scan(step, start, length=20)
    return {"w": w, "loss": jnp.mean((X @ w - y) ** 2)}


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 3)), rng.normal(size=12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_lane_equals_its_run_alone(problem, dtype):
    X, y = (a.astype(dtype) for a in problem)
    lambdas, seeds = [0.0, 0.1, 1.0], [3, 7]
    run = run_lanes(_train, {"lambda_": lambdas}, seeds, X, y, dtype=dtype)
    assert run.outputs["w"].shape == (2, 3, 3)
    assert run.outputs["w"].dtype == dtype
    with jax.enable_x64(dtype == "float64"):
        train = jax.jit(_train)
        for i, seed in enumerate(seeds):
            for j, lambda_ in enumerate(lambdas):
                alone = train({"lambda_": X.dtype.type(lambda_)}, jax.random.key(seed), X, y)
                np.testing.assert_allclose(
                    run.outputs["w"][i, j], alone["w"], rtol=30 * np.finfo(dtype).eps
                )


def test_seeds_matter_and_a_rerun_is_equal_bit_for_bit(problem):
    X, y = (a.astype(np.float32) for a in problem)
    first = run_lanes(_train, {"lambda_": [0.1, 0.2]}, [0, 1, 2], X, y, workers=1)
    again = run_lanes(_train, {"lambda_": [0.1, 0.2]}, [0, 1, 2], X, y, workers=3)
    np.testing.assert_array_equal(first.outputs["w"], again.outputs["w"])
    assert np.ptp(first.outputs["w"], axis=0).min() > 0


def test_a_program_is_compiled_once_for_all_seeds_and_strengths(problem):
    X, y = (a.astype(np.float32) for a in problem)
    traces = []

    def train(hyperparameters, key, X, y):
        traces.append(1)
        return _train(hyperparameters, key, X, y)

    run_lanes(train, {"lambda_": [0.1, 0.2]}, [0, 1, 2], X, y)
    run_lanes(train, {"lambda_": [0.3, 0.4]}, [5], X + 1, y)
    assert len(traces) == 1


def test_what_depends_on_the_key_alone_is_not_copied_per_lane():
    shapes = []

    def train(hyperparameters, key):
        rows = jax.random.key_data(key) + 1
        shapes.append(type(rows).__name__)
        return rows * hyperparameters["lambda_"]

    run_lanes(train, {"lambda_": [1.0, 2.0]}, [0])
    assert shapes == ["DynamicJaxprTracer"]


def test_progress_counts_lanes(problem):
    X, y = (a.astype(np.float32) for a in problem)
    done = []
    run_lanes(_train, {"lambda_": [0.1, 0.2]}, [0, 1, 2], X, y, progress=done.append)
    assert done == [2, 2, 2]


@pytest.mark.parametrize(("workers", "threads"), [(2, 2), (9, 3)])
def test_no_more_threads_than_workers_or_parts(workers, threads, monkeypatch):
    pool, made = concurrent.futures.ThreadPoolExecutor, []

    def noted(n_threads):
        made.append(n_threads)
        return pool(n_threads)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", noted)
    run_lanes(lambda hp, key: hp["x"], {"x": [1.0]}, [0, 1, 2], workers=workers)
    assert made == [threads]


def test_a_failing_training_function_fails_the_run():
    def train(hyperparameters, key):
        raise RuntimeError("broken on purpose")

    with pytest.raises(RuntimeError, match="broken on purpose"):
        run_lanes(train, {"lambda_": [1.0]}, [0])


def test_a_failure_drops_the_seeds_that_still_wait():
    started = []

    def note(_):
        started.append(1)
        raise KeyboardInterrupt

    run = []

    def train(hyperparameters, key):
        jax.debug.callback(lambda: run.append(1))
        return hyperparameters["x"]

    with pytest.raises(KeyboardInterrupt):
        run_lanes(train, {"x": [1.0]}, range(200), workers=1, progress=note)
    assert len(started) == 1
    assert len(run) < 200


def test_a_training_function_need_not_hash():
    class Train:
        __hash__ = None

        def __call__(self, hyperparameters, key):
            return 2 * hyperparameters["x"]

    np.testing.assert_array_equal(run_lanes(Train(), {"x": [1.0]}, [0]).outputs, [[2.0]])


def test_the_callers_kind_of_key_is_kept():
    def train(hyperparameters, key):
        return jax.random.key_data(key)

    with jax.default_prng_impl("rbg"):
        run = run_lanes(train, {"x": [1.0]}, [7], workers=2)
    expected = jax.random.key_data(jax.random.key(7, impl="rbg"))
    assert expected.shape == (4,)
    np.testing.assert_array_equal(run.outputs[0, 0], expected)


def test_diverged_lanes_leave_the_others_alone():
    def train(hyperparameters, key):
        return jnp.log(hyperparameters["x"])

    run = run_lanes(train, {"x": [-1.0, 1.0]}, [0])
    np.testing.assert_array_equal(run.outputs, [[np.nan, 0.0]])


@pytest.mark.parametrize(
    ("lanes", "seeds", "message"),
    [
        ({}, [0], "one length"),
        ({"a": [1.0], "b": [1.0, 2.0]}, [0], "one length"),
        ({"a": 1.0}, [0], "one length"),
        ({"a": []}, [0], "empty"),
        ({"a": [1.0]}, [], "empty"),
    ],
)
def test_unusable_grids_are_refused(lanes, seeds, message):
    with pytest.raises(ValueError, match=message):
        run_lanes(lambda hyperparameters, key: 0.0, lanes, seeds)


def test_grids_from_text():
    assert parse_grid("classic") == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert parse_grid("0.1, 0,1e-3") == (0.1, 0.0, 0.001)
    assert parse_grid("1e-4:1:5") == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    np.testing.assert_allclose(log_range(1e-3, 10, 7), np.geomspace(1e-3, 10, 7), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,b", "no grid"),
        ("1:2", "no grid"),
        ("1:2:x", "no grid"),
        ("-1,2", "at least 0"),
        ("nan", "finite"),
        ("inf", "finite"),
        ("1,1.0", "twice"),
        ("0:1:5", "0 < low"),
        ("2:1:5", "0 < low"),
        ("1:2:1", "at least 2"),
    ],
)
def test_unusable_grid_texts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


def test_grid_keeps_order():
    assert check_grid([1, 0.5, 2]) == (1.0, 0.5, 2.0)
