"""Proximal gradient, the least-squares loss and the closed form, on tables of problems."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso

from regjax import L1, L2, ElasticNet, GroupLasso, NonNegative
from regjax.solvers import (
    CONVERGED,
    DIVERGED,
    MAX_STEPS,
    LeastSquares,
    least_squares,
    proximal_gradient,
    ridge_closed_form,
)

P = 6
GROUPS = np.array([0, 0, 1, 1, 2, 2])


def make_problem(name):
    rng = np.random.default_rng(0)
    n = 4 if name == "wide" else 30
    X = rng.normal(size=(n, P))
    if name == "collinear":
        X[:, 1] = X[:, 0]
    if name == "scaled":
        X *= np.array([1.0, 10.0, 0.1, 1.0, 3.0, 0.3])
    y = X @ np.array([2.0, 0.0, -1.0, 0.0, 0.5, 0.0]) + 0.3 * rng.normal(size=n)
    return X, y


PROBLEMS = {name: make_problem(name) for name in ["tall", "wide", "collinear", "scaled"]}


def norm(w, groups=GROUPS):
    return sum(np.sqrt(2) * np.linalg.norm(w[groups == g]) for g in range(3))


@dataclasses.dataclass(frozen=True)
class Case:
    """A penalty, its value in NumPy, and who else solves least squares with it."""

    penalty: Any
    value: Callable[[np.ndarray], float]
    reference: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


def sklearn_solution(model):
    return lambda X, y: (
        model.set_params(fit_intercept=False, tol=1e-13, max_iter=10**6).fit(X, y).coef_
    )


CASES = {
    "none": Case(None, lambda w: 0.0),
    "l1": Case(L1(0.2), lambda w: 0.2 * np.sum(np.abs(w)), sklearn_solution(Lasso(0.2))),
    "l2": Case(
        L2(0.2),
        lambda w: 0.1 * np.sum(w**2),
        lambda X, y: np.linalg.solve(X.T @ X + len(X) * 0.2 * np.eye(P), X.T @ y),
    ),
    "elastic_net": Case(
        ElasticNet(0.2, 0.3),
        lambda w: 0.06 * np.sum(np.abs(w)) + 0.07 * np.sum(w**2),
        sklearn_solution(SklearnElasticNet(0.2, l1_ratio=0.3)),
    ),
    "l1_and_l2": Case(
        L1(0.06) + L2(0.14),
        lambda w: 0.06 * np.sum(np.abs(w)) + 0.07 * np.sum(w**2),
        sklearn_solution(SklearnElasticNet(0.2, l1_ratio=0.3)),
    ),
    "non_negative": Case(NonNegative(), lambda w: 0.0, lambda X, y: nnls(X, y)[0]),
    "l1_non_negative": Case(
        L1(0.2) + NonNegative(),
        lambda w: 0.2 * np.sum(np.abs(w)),
        sklearn_solution(Lasso(0.2, positive=True)),
    ),
    "group_lasso": Case(GroupLasso(0.2, GROUPS, 3), lambda w: 0.2 * norm(w)),
}


@functools.partial(jax.jit, static_argnames=("max_steps", "accelerate", "record"))
def run(X, y, penalty, tol, *, max_steps, accelerate=True, record=False):
    """Take steps of the largest safe size from zero."""
    loss = least_squares(X, y)
    return proximal_gradient(
        loss.smooth(),
        penalty,
        jnp.zeros_like(loss.cross),
        step_size=loss.largest_step(),
        tol=tol,
        max_steps=max_steps,
        accelerate=accelerate,
        record=record,
    )


def solve(problem, penalty, dtype=np.float64, *, tol=1e-10, max_steps=20_000, **settings):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS[problem])
    return run(X, y, penalty, tol, max_steps=max_steps, **settings)


def objective(problem, case, w):
    X, y = PROBLEMS[problem]
    return np.sum((y - X @ w) ** 2) / (2 * len(y)) + CASES[case].value(w)


# --- proximal gradient ---


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("case", CASES)
def test_solutions_are_optimal_by_any_account(problem, case, x64):
    solution = solve(problem, CASES[case].penalty)
    w = np.asarray(solution.value)
    assert int(solution.status) == CONVERGED
    assert float(solution.kkt_residual) <= 1e-9
    # By convexity no nearby point may be better.
    rng = np.random.default_rng(1)
    best = objective(problem, case, w)
    for scale in (1e-4, 1e-2, 1.0):
        for _ in range(50):
            other = w + scale * rng.normal(size=P)
            if "non_negative" in case:
                other = np.maximum(other, 0)
            assert objective(problem, case, other) >= best - 1e-14 * (1 + best)
    reference = CASES[case].reference
    # Duplicate columns share their weight in any proportion unless L2 decides.
    unique = problem in ("tall", "scaled") or case in ("l2", "elastic_net", "l1_and_l2")
    if reference is not None and unique:
        expected = reference(*PROBLEMS[problem])
        np.testing.assert_allclose(w, expected, atol=1e-7)
        np.testing.assert_array_equal(w == 0, expected == 0)
    elif reference is not None:
        expected = objective(problem, case, reference(*PROBLEMS[problem]))
        assert best == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", ["l1", "elastic_net", "group_lasso"])
def test_both_precisions_solve_to_their_own(case, dtype):
    solution = solve("tall", CASES[case].penalty, dtype, tol=30 * np.finfo(dtype).eps)
    assert int(solution.status) == CONVERGED
    assert solution.value.dtype == solution.kkt_residual.dtype == dtype
    with jax.enable_x64(True):
        exact = np.asarray(solve("tall", CASES[case].penalty).value)
    np.testing.assert_allclose(solution.value, exact, atol=300 * np.finfo(dtype).eps + 1e-10)


@pytest.mark.parametrize("problem", ["tall", "wide"])
@pytest.mark.parametrize("case", ["l1", "group_lasso"])
def test_plain_and_accelerated_steps_agree(problem, case, x64):
    penalty = CASES[case].penalty
    plain = solve(problem, penalty, accelerate=False)
    fast = solve(problem, penalty)
    np.testing.assert_allclose(fast.value, plain.value, atol=1e-7)
    assert int(plain.status) == int(fast.status) == CONVERGED


def test_acceleration_takes_fewer_steps_on_badly_scaled_features(x64):
    plain = solve("scaled", L1(0.01), accelerate=False, tol=1e-8)
    fast = solve("scaled", L1(0.01), tol=1e-8)
    assert int(fast.n_steps) < int(plain.n_steps) / 3


def test_accelerated_steps_are_nesterovs_with_restarts_by_the_gradient(x64):
    X, y = PROBLEMS["scaled"]
    gram, cross = X.T @ X / len(y), X.T @ y / len(y)
    step = 1 / np.linalg.eigvalsh(gram)[-1]
    w = z = np.zeros(P)
    t, restarts, path = 1.0, 0, []
    for _ in range(60):
        v = z - step * (gram @ z - cross)
        new = np.sign(v) * np.maximum(np.abs(v) - step * 0.01, 0)
        if (z - new) @ (new - w) > 0:
            restarts += 1
            t, z = 1.0, new
        else:
            t_next = (1 + np.sqrt(1 + 4 * t**2)) / 2
            t, z = t_next, new + (t - 1) / t_next * (new - w)
        w = new
        path.append(objective("scaled", "none", w) + 0.01 * np.sum(np.abs(w)))
    assert restarts > 0
    solution = solve("scaled", L1(0.01), tol=0.0, max_steps=60, record=True)
    np.testing.assert_allclose(solution.value, w, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solution.history[1:], path, rtol=1e-11)


@pytest.mark.parametrize("case", CASES)
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
    for step in (0.01, 0.1):
        solution = proximal_gradient(
            least_squares(jnp.asarray(X), jnp.asarray(y)).smooth(),
            None,
            jnp.zeros(P),
            step_size=step,
            max_steps=0,
        )
        assert float(solution.kkt_residual) == pytest.approx(np.max(np.abs(gradient)), rel=1e-12)


def test_no_step_and_one_step_are_what_they_say(dtype):
    X, y = PROBLEMS["tall"]
    smooth = least_squares(jnp.asarray(X, dtype), jnp.asarray(y, dtype)).smooth()
    start = jnp.asarray(np.linspace(-1, 1, P), dtype)
    settings = {"step_size": 0.05, "record": True}
    none = proximal_gradient(smooth, L1(0.2), start, max_steps=0, **settings)
    np.testing.assert_array_equal(none.value, start)
    assert (int(none.n_steps), int(none.status), none.history.shape) == (0, MAX_STEPS, (1,))
    expected = objective("tall", "l1", np.linspace(-1, 1, P))
    np.testing.assert_allclose(none.history, expected, rtol=20 * np.finfo(dtype).eps)
    w = np.linspace(-1, 1, P)
    v = w - 0.05 * X.T @ (X @ w - y) / len(y)
    by_hand = np.sign(v) * np.maximum(np.abs(v) - 0.05 * 0.2, 0)
    for accelerate in (True, False):
        one = proximal_gradient(
            smooth, L1(0.2), start, max_steps=1, accelerate=accelerate, **settings
        )
        np.testing.assert_allclose(one.value, by_hand, atol=10 * np.finfo(dtype).eps)
        assert (int(one.n_steps), int(one.status), one.history.shape) == (1, MAX_STEPS, (2,))
        after = objective("tall", "l1", by_hand)
        np.testing.assert_allclose(one.history[1], after, rtol=20 * np.finfo(dtype).eps)


def test_a_tolerance_of_zero_takes_every_step_short_of_a_fixed_point(x64):
    assert int(solve("tall", L1(0.2), tol=0.0, max_steps=7).n_steps) == 7
    assert int(solve("tall", L1(0.2), tol=0.0, max_steps=7).status) == MAX_STEPS
    # Above lambda_max the start at zero is the solution.
    at_rest = solve("tall", L1(100.0), tol=0.0)
    assert (int(at_rest.n_steps), int(at_rest.status)) == (1, CONVERGED)
    assert float(at_rest.kkt_residual) == 0


@pytest.mark.parametrize("accelerate", [True, False])
def test_steps_far_too_large_are_reported_as_divergence(accelerate, dtype):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS["tall"])
    loss = least_squares(X, y)
    solution = proximal_gradient(
        loss.smooth(),
        L1(0.2),
        jnp.zeros(P, dtype),
        step_size=1000 * loss.largest_step(),
        max_steps=2000,
        accelerate=accelerate,
    )
    assert int(solution.status) == DIVERGED
    assert int(solution.n_steps) < 2000


def test_data_that_is_not_finite_is_reported_as_divergence(x64):
    smooth = least_squares(jnp.full((5, 2), jnp.nan), jnp.ones(5)).smooth()
    for max_steps in (0, 10):
        solution = proximal_gradient(
            smooth, L1(0.1), jnp.zeros(2), step_size=0.1, max_steps=max_steps
        )
        assert int(solution.status) == DIVERGED


def test_lanes_of_every_fate_equal_single_runs(x64):
    X, y = (jnp.asarray(part) for part in PROBLEMS["tall"])
    loss = least_squares(X, y)

    def lane(ridge, tol, step_size):
        return proximal_gradient(
            loss.smooth(ridge),
            L1(0.1),
            jnp.zeros(P),
            step_size=step_size,
            max_steps=200,
            tol=tol,
            record=True,
        )

    safe = float(loss.largest_step(1.0))
    ridges = jnp.array([0.1, 1e6, 1.0, 0.5])
    tols = jnp.array([1e-9, 1e-9, 1e-9, 0.0])
    steps = jnp.array([safe, safe, safe, 0.01 * safe])
    lanes = jax.jit(jax.vmap(lane))(ridges, tols, steps)
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


@pytest.mark.parametrize("name", ["l1", "elastic_net", "l2"])
def test_many_strengths_take_one_trace_and_equal_the_loop(name, dtype):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS["tall"])
    kinds = {"l1": L1, "elastic_net": lambda s: ElasticNet(s, 0.5), "l2": L2}
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


def test_trees_of_weights_are_solved_like_one_array(x64):
    X, y = (jnp.asarray(part) for part in PROBLEMS["tall"])
    step = float(least_squares(X, y).largest_step())

    def loss(w):
        flat = jnp.concatenate([w["left"], w["right"]["rest"]])
        return jnp.sum((y - X @ flat) ** 2) / (2 * len(y))

    start = {"left": jnp.zeros(2), "right": {"rest": jnp.zeros(4)}}
    smooth = jax.value_and_grad(loss)
    settings = {"step_size": step, "max_steps": 5000, "tol": 1e-10}
    tree = proximal_gradient(smooth, L1(0.2), start, **settings).value
    flat = np.concatenate([tree["left"], tree["right"]["rest"]])
    np.testing.assert_allclose(flat, solve("tall", L1(0.2)).value, atol=1e-8)
    # One strength per subtree: the left one is free.
    free = L1({"left": 0.0, "right": 100.0})
    tree = proximal_gradient(smooth, free, start, **settings).value
    np.testing.assert_array_equal(tree["right"]["rest"], 0)
    expected = np.linalg.lstsq(np.asarray(X[:, :2]), np.asarray(y), rcond=None)[0]
    np.testing.assert_allclose(tree["left"], expected, atol=1e-8)


@pytest.mark.parametrize("problem", ["tall", "wide"])
def test_rescaling_features_does_not_change_the_path_in_the_diagonal_metric(problem, dtype):
    # Powers of two up to 1.3e8: the products themselves are exact.
    scales = np.array([1.0, 2.0**27, 2.0**-10, 1.0, 2.0**20, 4.0])
    X, y = PROBLEMS[problem]

    @jax.jit
    def descend(X):
        loss = least_squares(X, jnp.asarray(y, dtype))
        return proximal_gradient(
            loss.smooth(),
            None,
            jnp.zeros(P, dtype),
            step_size=loss.diagonal_steps(),
            max_steps=30,
            record=True,
        )

    plain, scaled = descend(X.astype(dtype)), descend((X * scales).astype(dtype))
    tolerance = 500 * np.finfo(dtype).eps
    np.testing.assert_allclose(scaled.value * scales, plain.value, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(scaled.history, plain.history, rtol=tolerance, atol=tolerance)
    assert plain.history[-1] < 0.9 * plain.history[0]


@pytest.mark.parametrize(
    ("step_size", "message"),
    [(-0.1, "at least 0"), (np.ones(P - 1), "shape of v"), ((0.1, 0.1), "prefix")],
    ids=["negative", "shape", "structure"],
)
def test_step_sizes_that_do_not_fit_raise(step_size, message):
    smooth = jax.value_and_grad(lambda w: jnp.sum(w**2))
    with pytest.raises(ValueError, match=message):
        proximal_gradient(smooth, L1(0.1), jnp.ones(P), step_size=step_size, max_steps=1)


# --- the least-squares loss ---


def both_forms(problem, dtype):
    """Return a loss as the library builds it, and in the other of its two forms."""
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS[problem])
    built = least_squares(X, y)
    n = len(y)
    if built.gram is None:
        other = built._replace(X=None, y=None, gram=X.T @ X / n)
    else:
        root = np.sqrt(n).astype(dtype)
        other = built._replace(X=X / root, y=y / root, gram=None)
    return built, other


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_form_follows_from_the_shape(problem):
    loss = both_forms(problem, np.float32)[0]
    assert isinstance(loss, LeastSquares)
    assert (loss.gram is None) == (problem == "wide")
    assert (loss.X is None) == (loss.y is None) == (problem != "wide")


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_both_forms_give_half_the_mean_square_and_its_gradient(problem, ridge, dtype):
    X, y = PROBLEMS[problem]
    w = np.linspace(-1, 1, P)
    residual = X @ w - y
    value = residual @ residual / (2 * len(y)) + ridge / 2 * w @ w
    gradient = X.T @ residual / len(y) + ridge * w
    eps = np.finfo(dtype).eps
    for loss in both_forms(problem, dtype):
        smooth = jax.jit(loss.smooth(ridge))
        found, slope = smooth(jnp.asarray(w, dtype))
        assert found.dtype == slope.dtype == dtype
        np.testing.assert_allclose(found, value, rtol=50 * eps)
        np.testing.assert_allclose(slope, gradient, rtol=50 * eps, atol=50 * eps)
        automatic = jax.grad(lambda w, smooth=smooth: smooth(w)[0])(jnp.asarray(w, dtype))
        np.testing.assert_allclose(slope, automatic, rtol=50 * eps, atol=50 * eps)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_curvature_and_largest_step_are_those_of_the_hessian(problem, x64):
    X, y = PROBLEMS[problem]
    hessian = X.T @ X / len(y)
    weights = np.linspace(0.5, 2.0, P)
    largest = np.linalg.eigvalsh(hessian)[-1]
    for loss in both_forms(problem, np.float64):
        assert float(loss.curvature()) == pytest.approx(largest, rel=1e-12)
        weighted = np.linalg.eigvalsh(hessian * np.outer(weights, weights))[-1]
        assert float(loss.curvature(weights)) == pytest.approx(weighted, rel=1e-12)
        for ridge in (0.0, 0.7):
            expected = 1 / (largest + ridge)
            assert float(loss.largest_step(ridge)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("ridge", [0.0, 0.7, 1e6])
def test_diagonal_steps_are_safe_and_not_needlessly_small(problem, ridge, x64):
    X, y = PROBLEMS[problem]
    hessian = X.T @ X / len(y) + ridge * np.eye(P)
    for loss in both_forms(problem, np.float64):
        steps = np.asarray(loss.diagonal_steps(ridge))
        assert steps.shape == (P,)
        assert (steps > 0).all()
        v = np.ones(P)
        for _ in range(500):
            v = steps * (hessian @ v)
            v /= np.max(np.abs(v))
        # The largest eigenvalue of diag(steps) H is the curvature in their metric.
        curvature = np.max(np.abs(steps * (hessian @ v)))
        assert curvature <= 1 + 1e-12
        assert curvature >= 0.5
        if ridge == 0:
            assert curvature == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("columns", [[0], [0, 1, 2, 3, 4, 5]], ids=["one", "all"])
@pytest.mark.parametrize("problem", ["tall", "wide"])
def test_columns_of_zeros_have_finite_steps(problem, columns, ridge, x64):
    X, y = PROBLEMS[problem]
    X = X.copy()
    X[:, columns] = 0
    loss = least_squares(jnp.asarray(X), jnp.asarray(y))
    steps = np.asarray(loss.diagonal_steps(ridge))
    assert np.isfinite(steps).all()
    assert (steps > 0).all()
    assert np.isfinite(loss.largest_step(ridge))
    solution = proximal_gradient(
        loss.smooth(ridge), L1(0.1), jnp.zeros(P), step_size=steps, max_steps=50
    )
    np.testing.assert_array_equal(solution.value[np.array(columns)], 0)


# --- ridge in closed form ---


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_ridge_solves_the_normal_equations_with_n_times_lambda(problem, strength, dtype):
    X, y = PROBLEMS[problem]
    expected = np.linalg.solve(X.T @ X + len(y) * strength * np.eye(P), X.T @ y)
    w = ridge_closed_form(jnp.asarray(X, dtype), jnp.asarray(y, dtype), strength)
    assert w.dtype == dtype
    assert w.shape == (P,)
    # Rounding in X and y moves the solution by up to their condition number.
    np.testing.assert_allclose(w, expected, atol=2000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_ridge_at_zero_is_the_minimum_norm_least_squares_solution(problem, dtype):
    X, y = PROBLEMS[problem]
    expected = np.linalg.lstsq(X, y, rcond=None)[0]
    for zero in (0, 0.0, jnp.zeros([])):
        w = ridge_closed_form(jnp.asarray(X, dtype), jnp.asarray(y, dtype), zero)
        np.testing.assert_allclose(w, expected, atol=1000 * np.finfo(dtype).eps)


def test_ridge_of_several_targets_is_ridge_of_each(x64):
    X, y = (jnp.asarray(part) for part in PROBLEMS["tall"])
    Y = jnp.stack([y, -2 * y, y**2], axis=1)
    W = ridge_closed_form(X, Y, 0.3)
    assert W.shape == (P, 3)
    for i in range(3):
        np.testing.assert_allclose(W[:, i], ridge_closed_form(X, Y[:, i], 0.3), rtol=1e-12)


@pytest.mark.parametrize("problem", ["tall", "wide"])
def test_ridge_maps_over_strengths_and_shrinks_with_them(problem, dtype):
    X, y = (jnp.asarray(part, dtype) for part in PROBLEMS[problem])
    grid = jnp.asarray([0.0, 0.01, 0.1, 1.0, 10.0], dtype)
    lanes = jax.jit(jax.vmap(ridge_closed_form, in_axes=(None, None, 0)))(X, y, grid)
    loop = [ridge_closed_form(X, y, float(strength)) for strength in grid]
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(lanes, np.stack(loop), atol=tolerance)
    assert (np.diff(np.linalg.norm(lanes, axis=1)) < 0).all()
    assert np.all(lanes != 0)


def test_ridge_differentiates_in_the_strength(x64):
    X, y = (jnp.asarray(part) for part in PROBLEMS["tall"])
    n = len(y)

    def held_out(strength):
        w = ridge_closed_form(X[: n // 2], y[: n // 2], strength)
        return jnp.mean((y[n // 2 :] - X[n // 2 :] @ w) ** 2)

    for strength in (0.05, 1.0):
        found = float(jax.grad(held_out)(strength))
        h = 1e-5 * strength
        difference = (held_out(strength + h) - held_out(strength - h)) / (2 * h)
        assert found == pytest.approx(float(difference), rel=1e-6)
        # d w / d lambda = -n (X'X + n lambda I)^-1 w
        w = ridge_closed_form(X, y, strength)
        expected = -n * np.linalg.solve(X.T @ X + n * strength * np.eye(P), w)
        slope = jax.jacfwd(lambda s: ridge_closed_form(X, y, s))(strength)
        np.testing.assert_allclose(slope, expected, rtol=1e-10)


def test_ridge_does_not_square_the_condition_number(x64):
    hilbert = 1 / (np.arange(10)[:, None] + np.arange(8) + 1.0)
    exact = np.ones(8)
    y = hilbert @ exact
    ours = np.asarray(ridge_closed_form(jnp.asarray(hilbert), jnp.asarray(y), 0.0))
    normal = np.linalg.solve(hilbert.T @ hilbert, hilbert.T @ y)
    assert np.max(np.abs(ours - exact)) < 1e-5
    assert np.max(np.abs(normal - exact)) > 100 * np.max(np.abs(ours - exact))


def test_ridge_takes_integers_and_keeps_the_dtype_of_x():
    X, y = np.array([[1, 0], [0, 1]]), np.array([2, 4])
    np.testing.assert_allclose(ridge_closed_form(X, y, 0.5), [1.0, 2.0], rtol=1e-6)
    assert ridge_closed_form(X, y, 0.5).dtype == jnp.float32


@pytest.mark.parametrize(
    ("X", "y", "strength", "error", "message"),
    [
        (np.ones(3), np.ones(3), 0.1, ValueError, "n_features"),
        (np.ones((3, 0)), np.ones(3), 0.1, ValueError, "n_features"),
        (np.ones((0, 2)), np.ones(0), 0.1, ValueError, "n_features"),
        (np.ones((3, 2)), np.ones(4), 0.1, ValueError, "3 samples"),
        (np.ones((3, 2)), np.ones((3, 1, 1)), 0.1, ValueError, "n_targets"),
        (np.ones((3, 2)), np.float32(1.0), 0.1, ValueError, "n_targets"),
        (np.ones((3, 2)), np.ones(3), -0.1, ValueError, "at least 0"),
        (np.ones((3, 2)), np.ones(3), np.nan, ValueError, "finite"),
        (np.ones((3, 2)), np.ones(3), "a", TypeError, "number"),
        (np.ones((3, 2)) * 1j, np.ones(3), 0.1, TypeError, "Complex"),
        # Two strengths for two features would broadcast into one per singular direction.
        (np.ones((3, 2)), np.ones(3), jnp.array([0.1, 0.2]), ValueError, "scalar"),
    ],
)
def test_ridge_refuses_what_does_not_fit(X, y, strength, error, message):
    with pytest.raises(error, match=message):
        ridge_closed_form(X, y, strength)
