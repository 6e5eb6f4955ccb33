"""What a run of proximal gradient reports: history, residual, status, one for each lane."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from least_squares_problems import CASES, PROBLEMS, P, objective, solve

from regjax import L1, L2, ElasticNet
from regjax.solvers import CONVERGED, DIVERGED, MAX_STEPS, least_squares, proximal_gradient


@pytest.mark.parametrize("case", ["none", "l2", "group_lasso"])
def test_plain_histories_fall_and_end_at_the_objective(case, x64):
    solution = solve("tall", CASES[case].penalty, accelerate=False, record=True, max_steps=500)
    history, n_steps = np.asarray(solution.history), int(solution.n_steps)
    assert history.shape == (501,)
    assert 5 < n_steps < 500
    assert np.isnan(history[n_steps + 1 :]).all()
    recorded = history[: n_steps + 1]
    rounding = 10 * np.finfo(np.float64).eps * recorded[0]
    assert (np.diff(recorded) <= rounding).all()
    assert recorded[0] == pytest.approx(objective("tall", case, np.zeros(P)), rel=1e-12)
    last = objective("tall", case, np.asarray(solution.value))
    assert recorded[-1] == pytest.approx(last, rel=1e-12)


def test_recording_changes_nothing_else(x64):
    solution = solve("tall", L1(0.2), record=True, max_steps=500)
    unrecorded = solve("tall", L1(0.2), max_steps=500)
    assert unrecorded.history.shape == (0,)
    assert int(unrecorded.n_steps) == int(solution.n_steps)
    np.testing.assert_allclose(unrecorded.value, solution.value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("accelerate", [True, False])
def test_the_tolerance_is_met_and_a_looser_one_stops_sooner(accelerate, x64):
    steps = []
    for tol in (1e-2, 1e-5, 1e-8):
        solution = solve("tall", L1(0.2), tol=tol, accelerate=accelerate)
        assert int(solution.status) == CONVERGED
        # A step does not lengthen the residual's 2-norm; tol bounds its largest entry.
        assert float(solution.kkt_residual) <= np.sqrt(P) * tol
        steps.append(int(solution.n_steps))
    assert 1 < steps[0] < steps[1] < steps[2]


def test_the_kkt_residual_is_in_units_of_the_gradient(x64):
    X, y = PROBLEMS["tall"]
    gradient = -X.T @ y / len(y)

    @jax.jit
    def start(step):
        smooth = least_squares(X, y).smooth()
        return proximal_gradient(smooth, None, jnp.zeros(P), step_size=step, max_steps=0)

    for step in (0.01, 0.1):
        solution = start(step)
        assert float(solution.kkt_residual) == pytest.approx(np.max(np.abs(gradient)), rel=1e-12)


@pytest.mark.parametrize(
    ("accelerate", "dtype"), [(True, np.float32), (False, np.float64)], indirect=["dtype"]
)
def test_no_step_and_one_step_are_what_they_say(accelerate, dtype):
    X, y = PROBLEMS["tall"]
    start = jnp.asarray(np.linspace(-1, 1, P), dtype)

    @functools.partial(jax.jit, static_argnames="max_steps")
    def steps(X, y, max_steps):
        settings = {"step_size": 0.05, "record": True, "accelerate": accelerate}
        smooth = least_squares(X, y).smooth()
        return proximal_gradient(smooth, L1(0.2), start, max_steps=max_steps, **settings)

    data = X.astype(dtype), y.astype(dtype)
    none = steps(*data, max_steps=0)
    np.testing.assert_array_equal(none.value, start)
    assert (int(none.n_steps), int(none.status), none.history.shape) == (0, MAX_STEPS, (1,))
    expected = objective("tall", "l1", np.linspace(-1, 1, P))
    np.testing.assert_allclose(none.history, expected, rtol=20 * np.finfo(dtype).eps)
    w = np.linspace(-1, 1, P)
    v = w - 0.05 * X.T @ (X @ w - y) / len(y)
    by_hand = np.sign(v) * np.maximum(np.abs(v) - 0.05 * 0.2, 0)
    one = steps(*data, max_steps=1)
    np.testing.assert_allclose(one.value, by_hand, atol=10 * np.finfo(dtype).eps)
    assert (int(one.n_steps), int(one.status), one.history.shape) == (1, MAX_STEPS, (2,))
    after = objective("tall", "l1", by_hand)
    np.testing.assert_allclose(np.asarray(one.history)[1], after, rtol=20 * np.finfo(dtype).eps)


def test_a_tolerance_of_zero_takes_every_step_short_of_a_fixed_point(x64):
    seven = solve("tall", L1(0.2), tol=0.0, max_steps=7)
    assert (int(seven.n_steps), int(seven.status)) == (7, MAX_STEPS)
    # Above lambda_max the start at zero is the solution.
    at_rest = solve("tall", L1(100.0), tol=0.0, max_steps=7)
    assert (int(at_rest.n_steps), int(at_rest.status)) == (1, CONVERGED)
    assert float(at_rest.kkt_residual) == 0


@pytest.mark.parametrize(
    ("accelerate", "dtype"), [(True, np.float64), (False, np.float32)], indirect=["dtype"]
)
def test_steps_far_too_large_are_reported_as_divergence(accelerate, dtype):
    @jax.jit
    def run_away(X, y):
        loss = least_squares(X, y)
        return proximal_gradient(
            loss.smooth(),
            L1(0.2),
            jnp.zeros(P, dtype),
            step_size=1000 * loss.largest_step(),
            max_steps=2000,
            accelerate=accelerate,
        )

    solution = run_away(*(part.astype(dtype) for part in PROBLEMS["tall"]))
    assert int(solution.status) == DIVERGED
    assert int(solution.n_steps) < 2000


def test_data_that_is_not_finite_is_reported_as_divergence(x64):
    @jax.jit
    def statuses(X):
        smooth = least_squares(X, jnp.ones(5)).smooth()
        return [
            proximal_gradient(smooth, L1(0.1), jnp.zeros(2), step_size=0.1, max_steps=steps).status
            for steps in (0, 10)
        ]

    assert [int(status) for status in statuses(np.full((5, 2), np.nan))] == [DIVERGED, DIVERGED]


def test_lanes_of_every_fate_equal_single_runs(x64):
    X, y = PROBLEMS["tall"]

    def lane(ridge, tol, step_size):
        loss = least_squares(jnp.asarray(X), jnp.asarray(y))
        return proximal_gradient(
            loss.smooth(ridge),
            L1(0.1),
            jnp.zeros(P),
            step_size=step_size,
            max_steps=200,
            tol=tol,
            record=True,
        )

    safe = 1 / (np.linalg.norm(X, 2) ** 2 / len(y) + 1.0)
    ridges = np.array([0.1, 1e6, 1.0, 0.5])
    tols = np.array([1e-9, 1e-9, 1e-9, 0.0])
    steps = np.array([safe, safe, safe, 0.01 * safe])
    lanes = jax.tree.map(np.asarray, jax.jit(jax.vmap(lane))(ridges, tols, steps))
    np.testing.assert_array_equal(lanes.status, [CONVERGED, DIVERGED, CONVERGED, MAX_STEPS])
    assert lanes.history.shape == (4, 201)
    single = jax.jit(lane)
    for i in (0, 2, 3):
        alone = single(ridges[i], tols[i], steps[i])
        np.testing.assert_allclose(lanes.value[i], alone.value, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(lanes.history[i], alone.history, rtol=1e-12)
        assert int(lanes.n_steps[i]) == int(alone.n_steps)
        assert int(lanes.status[i]) == int(alone.status)
    assert int(lanes.n_steps[1]) == int(single(ridges[1], tols[1], steps[1]).n_steps) < 200


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("elastic_net", np.float32), ("l2", np.float64)],
    indirect=["dtype"],
)
def test_many_strengths_take_one_trace_and_equal_the_loop(name, dtype):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS["tall"])
    kinds = {"elastic_net": lambda s: ElasticNet(s, 0.5), "l2": L2}
    traces = []

    def lane(strength):
        traces.append(strength)
        loss = least_squares(X, y)
        solution = proximal_gradient(
            loss.smooth(),
            kinds[name](strength),
            jnp.zeros(P, dtype),
            step_size=loss.largest_step(),
            max_steps=300,
            tol=1e-5,
        )
        return solution.value

    grid = np.array([0.0, 0.01, 0.1, 1.0, 10.0], dtype)
    single = jax.jit(lane)
    loop = [single(strength) for strength in grid]
    lanes = jax.jit(jax.vmap(lane))(grid)
    assert len(traces) == 2
    np.testing.assert_allclose(lanes, np.stack(loop), atol=5e-5)
    norms = np.linalg.norm(lanes, axis=1)
    assert (np.diff(norms) < 0).all()
