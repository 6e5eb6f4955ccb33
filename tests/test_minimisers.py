"""What coupled, decoupled and proximal steps minimise: problems solved by others."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import cast, descend
from scipy.optimize import nnls
from sklearn.linear_model import Lasso

from regjax import L1, L2, NonNegative
from regjax.transforms import (
    adam_direction,
    coupled_l1,
    coupled_l2,
    decoupled_weight_decay,
    proximal,
)

C = np.array([3.0, 0.5, -2.0, 0.2])
CLIPPED = [1.0, 0.5, -1.0, 0.2]


@pytest.mark.parametrize(
    ("make_optimizer", "expected"),
    [
        (lambda r: decoupled_weight_decay(optax.scale_by_adam(b2=0.99), r, 1.0), CLIPPED),
        (lambda r: decoupled_weight_decay(optax.scale_by_lion(), r, 1.0), CLIPPED),
        (lambda r: optax.chain(coupled_l2(1.0), optax.adam(r)), C / 2),
        (lambda r: decoupled_weight_decay(optax.identity(), r, 1.0), C / 2),
        (lambda r: proximal(optax.identity(), r, L2(1.0)), C / 2),
        (lambda r: proximal(adam_direction(), r, L2(1.0), metric="adaptive"), C / 2),
    ],
    ids=["adamw", "lion_decay", "adam_l2", "sgd_decay", "proximal", "proximal_adaptive"],
)
def test_where_the_regularized_quadratic_ends(make_optimizer, expected, x64):
    rate = optax.cosine_decay_schedule(0.1, 4000)
    path = descend(make_optimizer(rate), jnp.zeros(4), 4000, gradient=lambda w: w - C)
    np.testing.assert_allclose(path[-1], expected, atol=2e-3)


@pytest.fixture(scope="module")
def lasso():
    """A problem whose solution at this strength has 8 zeros, and that solution."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 10)) * np.linspace(0.5, 2.0, 10)
    y = X[:, 3] * 2 + X[:, 7] + 0.1 * rng.normal(size=60)
    strength = 0.3
    solution = Lasso(strength, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, y).coef_
    assert np.count_nonzero(solution) == 2
    gram, cross = X.T @ X / 60, X.T @ y / 60
    return gram, cross, strength, solution


def lasso_end(lasso, optimizer, dtype, n_steps):
    gram, cross, _, solution = lasso
    gram, cross = cast((gram, cross), dtype)
    start = jnp.zeros(10, dtype)
    found = descend(optimizer, start, n_steps, gradient=lambda w: gram @ w - cross)[-1]
    return np.asarray(found), np.max(np.abs(found - solution))


def test_proximal_gradient_steps_reach_the_lasso_with_exact_zeros(lasso, dtype):
    gram, _, strength, solution = lasso
    rate = float(1 / np.linalg.eigvalsh(gram)[-1])
    found, gap = lasso_end(lasso, proximal(optax.identity(), rate, L1(strength)), dtype, 1000)
    np.testing.assert_array_equal(found == 0, solution == 0)
    assert gap < 200 * np.finfo(dtype).eps


@pytest.mark.parametrize(("metric", "reaches"), [("adaptive", True), ("euclidean", False)])
def test_after_adam_the_adaptive_threshold_alone_reaches_the_lasso(lasso, metric, reaches, x64):
    *_, strength, solution = lasso
    rate = optax.cosine_decay_schedule(0.05, 3000)
    optimizer = proximal(adam_direction(), rate, L1(strength), metric=metric)
    found, gap = lasso_end(lasso, optimizer, jnp.float64, 3000)
    if reaches:
        np.testing.assert_array_equal(found == 0, solution == 0)
        assert gap < 1e-4
    else:
        assert gap > 0.05


@pytest.mark.parametrize("optimizer", [optax.sgd, optax.adam])
def test_subgradient_steps_come_near_the_lasso_without_exact_zeros(lasso, optimizer, x64):
    rate = optax.cosine_decay_schedule(0.05, 2000)
    chain = optax.chain(coupled_l1(lasso[2]), optimizer(rate))
    found, gap = lasso_end(lasso, chain, jnp.float64, 2000)
    assert gap < 0.01
    assert np.count_nonzero(found) == 10


def test_proximal_non_negativity_is_feasible_throughout_and_reaches_nnls(x64):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 4)), rng.normal(size=20)
    gram, cross = X.T @ X / 20, X.T @ y / 20
    rate = float(1 / np.linalg.eigvalsh(gram)[-1])
    optimizer = proximal(optax.identity(), rate, NonNegative())
    start = jnp.array([-1.0, 1.0, -2.0, 0.5])
    path = descend(optimizer, start, 500, gradient=lambda w: gram @ w - cross)
    assert (path >= 0).all()
    expected = nnls(X, y)[0]
    assert 0 < np.count_nonzero(expected) < 4
    np.testing.assert_allclose(path[-1], expected, atol=1e-12)
    np.testing.assert_array_equal(path[-1] == 0, expected == 0)
