"""Where proximal gradient ends, and by which steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from least_squares_problems import CASES, PROBLEMS, P, objective, solve

from regjax import L1
from regjax.solvers import CONVERGED, least_squares, proximal_gradient

# Every penalty on two of the problems, and every problem with half of the penalties.
PAIRS = [(p, c) for i, c in enumerate(CASES) for j, p in enumerate(PROBLEMS) if (i + j) % 2]


@pytest.mark.parametrize(("problem", "case"), PAIRS)
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


@pytest.mark.parametrize("case", ["l1", "group_lasso"])
def test_both_precisions_solve_to_their_own(case, dtype):
    solution = solve("tall", CASES[case].penalty, dtype, tol=30 * np.finfo(dtype).eps)
    assert int(solution.status) == CONVERGED
    assert solution.value.dtype == solution.kkt_residual.dtype == dtype
    with jax.enable_x64(True):
        exact = np.asarray(solve("tall", CASES[case].penalty).value)
    np.testing.assert_allclose(solution.value, exact, atol=300 * np.finfo(dtype).eps + 1e-10)


@pytest.mark.parametrize(("problem", "case"), [("tall", "l1"), ("wide", "group_lasso")])
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


def test_trees_of_weights_are_solved_like_one_array(x64):
    X, y = PROBLEMS["tall"]
    step = len(y) / np.linalg.norm(X, 2) ** 2

    def loss(w):
        flat = jnp.concatenate([w["left"], w["right"]["rest"]])
        return jnp.sum((y - X @ flat) ** 2) / (2 * len(y))

    start = {"left": np.zeros(2), "right": {"rest": np.zeros(4)}}

    @jax.jit
    def solved(penalty):
        settings = {"step_size": step, "max_steps": 5000, "tol": 1e-10}
        return proximal_gradient(jax.value_and_grad(loss), penalty, start, **settings).value

    tree = solved(L1({"left": 0.2, "right": 0.2}))
    flat = np.concatenate([tree["left"], tree["right"]["rest"]])
    np.testing.assert_allclose(flat, solve("tall", L1(0.2)).value, atol=1e-8)
    # One strength per subtree: the left one is free.
    tree = solved(L1({"left": 0.0, "right": 100.0}))
    np.testing.assert_array_equal(tree["right"]["rest"], 0)
    expected = np.linalg.lstsq(X[:, :2], y, rcond=None)[0]
    np.testing.assert_allclose(tree["left"], expected, atol=1e-8)


@pytest.mark.parametrize(
    ("problem", "dtype"), [("tall", np.float32), ("wide", np.float64)], indirect=["dtype"]
)
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
    def smooth(w):
        return 0.0, w

    with pytest.raises(ValueError, match=message):
        proximal_gradient(smooth, L1(0.1), jnp.ones(P), step_size=step_size, max_steps=1)
