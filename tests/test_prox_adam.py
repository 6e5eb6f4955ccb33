"""What `prox_adam` minimises, by another solver; its steps in any metric; its strengths."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import walk
from scipy.optimize import brentq

from regjax import L1, L2, Box, GroupLasso, MaxNorm
from regjax.solvers import least_squares, proximal_gradient
from regjax.transforms import prox_adam, prox_adamw, prox_sgd

RATE = 0.05
N_FEATURES = 9
LABELS = np.arange(N_FEATURES) // 3


def groups(strength):
    return GroupLasso(strength, LABELS, 3)


@functools.cache
def data():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, N_FEATURES)) * np.linspace(0.6, 1.7, N_FEATURES)
    coefficients = np.array([2.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.7])
    return X, X @ coefficients + 0.1 * rng.normal(size=60)


CONVEX = {
    "l1": L1(0.2),
    "group_lasso": groups(0.2),
    "l2_and_group_lasso": L2(0.1) + groups(0.2),
    "l1_and_max_norm": L1(0.1) + MaxNorm(1.5, axis=None),
}


@pytest.mark.parametrize("name", CONVEX)
def test_prox_adam_ends_at_the_minimiser_of_loss_and_penalty(name, x64):
    X, y = data()
    gram, cross = X.T @ X / 60, X.T @ y / 60
    penalty = CONVEX[name]
    tx = prox_adam(optax.exponential_decay(0.02, 1000, 0.3), penalty, b2=0.99)

    def both():
        end = walk(tx, np.zeros(N_FEATURES), 12_000, lambda w: gram @ w - cross)[-1]
        solution = proximal_gradient(
            least_squares(jnp.asarray(X), jnp.asarray(y)).smooth(),
            penalty,
            jnp.zeros(N_FEATURES),
            step_size=1 / np.linalg.eigvalsh(gram)[-1],
            max_steps=3000,
        )
        return end, solution.value

    found, expected = jax.jit(both)()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(found == 0, expected == 0)
    if "l1" in name or "group" in name:
        assert 2 <= np.count_nonzero(expected == 0) <= 7


@functools.cache
def rows():
    """Return proximal operators of one group for each row, compiled."""
    labels = np.broadcast_to(np.arange(40)[:, None], (40, 8))
    lasso = GroupLasso(0.1, labels, 40, np.ones(40))
    return jax.jit(lasso.prox), jax.jit(MaxNorm(0.5, axis=1).prox)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
def test_steps_in_a_metric_of_any_spread_meet_their_optimality_condition(scale, x64):
    rng = np.random.default_rng(3)
    v, steps = scale * rng.normal(size=(40, 8)), 10.0 ** rng.uniform(-4, 4, size=(40, 8))
    group_lasso, max_norm = rows()
    w = np.asarray(group_lasso(v, steps))
    norms = np.linalg.norm(w, axis=1, keepdims=True)
    alive = norms[:, 0] > 0
    slopes = (v - w) / steps
    np.testing.assert_allclose(
        slopes[alive],
        (0.1 * w / np.where(norms > 0, norms, 1))[alive],
        rtol=1e-9,
        atol=1e-9 * np.abs(slopes).max(),
    )
    assert (np.linalg.norm((v / steps)[~alive], axis=1) <= 0.1).all()

    w = np.asarray(max_norm(v, steps))
    outside = np.linalg.norm(v, axis=1) > 0.5
    np.testing.assert_array_equal(w[~outside], v[~outside])
    np.testing.assert_allclose(np.linalg.norm(w[outside], axis=1), 0.5, rtol=1e-12)
    if scale >= 1:
        # One multiplier for a row, where rounding leaves digits to see it by.
        multipliers = np.where(np.abs(v - w) > 1e-3 * np.abs(v), (v - w) / (steps * w), np.nan)
        spread = np.nanmax(multipliers, axis=1) / np.nanmin(multipliers, axis=1)
        np.testing.assert_allclose(spread[outside], 1, rtol=1e-9)


def test_steps_in_a_metric_of_any_spread_reach_the_radius_to_rounding(dtype):
    rng = np.random.default_rng(4)
    v, steps = rng.normal(size=(40, 8)), 10.0 ** rng.uniform(-3, 3, size=(40, 8))
    prox = MaxNorm(0.5, axis=1).prox
    # Row by row, because rows together are iterated until the last one has arrived.
    pairs = v[:, None].astype(dtype), steps[:, None].astype(dtype)
    w = jax.jit(lambda pairs: jax.lax.map(lambda row: prox(*row), pairs)[:, 0])(pairs)
    w = np.asarray(w, np.float64)
    outside = np.linalg.norm(v, axis=1) > 0.5
    assert outside.sum() > 30
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(np.linalg.norm(w[outside], axis=1), 0.5, rtol=tolerance)


def test_steps_far_smaller_than_the_weights_leave_them_alone():
    # The square of the ratio of weight to step overflows.
    v, steps = np.array([1e10, -2e10], np.float32), np.array([1e-12, 3e-12], np.float32)
    found = jax.jit(GroupLasso(1.0, np.zeros(2, int), 1).prox)(v, steps)
    np.testing.assert_allclose(found, v, rtol=1e-6)


def test_the_constrained_minimum_is_that_of_the_multiplier(x64):
    """Least squares within a ball, by a root of `||w(mu)|| = radius`."""
    X, y = data()
    gram, cross = X.T @ X / 60, X.T @ y / 60

    def ridge(mu):
        return np.linalg.solve(gram + mu * np.eye(N_FEATURES), cross)

    mu = brentq(lambda m: np.linalg.norm(ridge(m)) - 1.5, 0, 100, xtol=1e-14)
    assert mu > 0.1
    tx = prox_adam(optax.exponential_decay(0.02, 1000, 0.3), MaxNorm(1.5, axis=None), b2=0.99)

    def end():
        return walk(tx, np.zeros(N_FEATURES), 12_000, lambda w: gram @ w - cross)[-1]

    np.testing.assert_allclose(jax.jit(end)(), ridge(mu), atol=1e-6)


def test_beside_adam_the_group_lasso_ends_elsewhere(x64):
    X, y = data()
    gram, cross = X.T @ X / 60, X.T @ y / 60
    rate = optax.exponential_decay(0.02, 500, 0.3)

    def end(make):
        tx = make(rate, groups(0.2), b2=0.99)
        return walk(tx, np.zeros(N_FEATURES), 6000, lambda w: gram @ w - cross)[-1]

    beside, inside = jax.jit(lambda: (end(prox_adamw), end(prox_adam)))()
    assert np.abs(beside - inside).max() > 0.01


@pytest.mark.parametrize("name", ["max_norm", "box", "sum"])
def test_strengths_inside_penalties_share_one_trace(name, x64):
    traces = []
    make = {
        "max_norm": lambda s: MaxNorm(s, axis=None),
        "box": lambda s: Box(-s, s),
        "sum": lambda s: L1(s) + groups(s),
    }[name]

    @jax.jit
    def run(strength):
        traces.append(1)
        start = np.linspace(-2, 2, N_FEATURES)
        return [
            walk(tx(RATE, make(strength)), start, 4, lambda w: w - 3.0)[-1]
            for tx in (prox_sgd, prox_adam)
        ]

    weak, strong = run(0.5), run(1.0)
    assert len(traces) == 1
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(weak, strong, strict=True))
