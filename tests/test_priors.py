"""Log priors are log densities, and penalised fits are the modes of posteriors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from problems import WEIGHTS, as_dtype, as_float64, assert_close

import regjax as rj
from regjax import L1, conventions, gaussian_log_prior, laplace_log_prior, ridge_closed_form
from regjax.solvers import least_squares, proximal_gradient

PRIORS = {
    "gaussian": (gaussian_log_prior, scipy.stats.norm),
    "laplace": (laplace_log_prior, scipy.stats.laplace),
}
priors = pytest.mark.parametrize(("log_prior", "reference"), PRIORS.values(), ids=PRIORS)


@priors
def test_log_prior_is_the_log_density(log_prior, reference, dtype):
    w = as_dtype(WEIGHTS["nested"], dtype)
    program = jax.jit(log_prior)
    for scale in (0.1, 1.0, 3.0):
        log_density = program(w, scale)
        expected = sum(reference.logpdf(x, scale=scale).sum() for x in as_float64(w))
        assert log_density.dtype == dtype
        assert log_density.shape == ()
        np.testing.assert_allclose(log_density, expected, rtol=64 * float(jnp.finfo(dtype).eps))


@priors
def test_scales_may_be_given_by_subtree(log_prior, reference, x64):
    w = {"a": np.array([0.5, -1.0]), "b": {"c": np.array(2.0), "d": np.zeros(3)}}
    expected = reference.logpdf([0.5, -1.0], scale=0.2).sum()
    expected += reference.logpdf([2.0, 0, 0, 0], scale=4.0).sum()
    found = jax.jit(log_prior)(w, {"a": 0.2, "b": 4.0})
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@priors
def test_derivative_in_the_scale_is_that_of_the_log_density(log_prior, reference, x64):
    w = np.array([0.5, -1.0, 0.0])
    slope = jax.jit(jax.grad(log_prior, argnums=1))(w, 0.7)
    h = 1e-6
    ahead, behind = (reference.logpdf(w, scale=0.7 + d).sum() for d in (h, -h))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-8)


@priors
def test_the_prior_integrates_to_one(log_prior, reference, x64):
    grid = np.linspace(-40.0, 40.0, 80001)
    density = np.exp(jax.jit(jax.vmap(lambda w: log_prior(w, 1.5)))(grid))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("log_prior", "penalty_gradient", "power"),
    [(gaussian_log_prior, rj.l2_gradient, 2), (laplace_log_prior, rj.l1_gradient, 1)],
    ids=PRIORS,
)
def test_minus_the_log_prior_has_the_gradient_of_the_penalty(
    log_prior, penalty_gradient, power, dtype
):
    w = as_dtype(WEIGHTS["nested"], dtype)

    @jax.jit
    def both(w, scale):
        gradient = jax.grad(lambda w: -log_prior(w, scale))(w)
        return gradient, penalty_gradient(w, 1 / scale**power)

    for scale in (0.25, 1.0, 3.0):
        assert_close(*both(w, scale), 32 * float(jnp.finfo(dtype).eps))


@priors
@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_scales_that_are_not_positive_raise(log_prior, reference, scale):
    with pytest.raises(ValueError, match="scale must be"):
        log_prior(jnp.zeros(3), scale)


# --- maximum a posteriori ----------------------------------------------------------------

N_SAMPLES, NOISE = 40, 0.7


def regression():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N_SAMPLES, 5)) * np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    y = X @ np.array([1.0, 0.0, -2.0, 0.5, 0.0]) + NOISE * rng.normal(size=N_SAMPLES)
    return X, y


@jax.jit
def lasso(X, y, lambda_):
    problem = least_squares(X, y)
    settings = {"step_size": problem.largest_step(), "max_steps": 5000, "tol": 1e-13}
    return proximal_gradient(problem.smooth(), L1(lambda_), jnp.zeros(5), **settings).value


@functools.partial(jax.jit, static_argnums=0)
def slopes(log_prior, w, scale, X, y):
    """Return the gradients of the log likelihood and of the log prior."""
    return jax.grad(log_likelihood)(w, X, y), jax.grad(log_prior)(w, scale)


def log_likelihood(w, X, y):
    return jnp.sum(jax.scipy.stats.norm.logpdf(y, X @ w, NOISE))


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_ridge_is_the_posterior_mode_under_a_gaussian_prior(scale, x64):
    X, y = regression()
    lambda_ = conventions.from_gaussian_prior(scale, NOISE, N_SAMPLES)
    w = jax.jit(ridge_closed_form)(X, y, lambda_)
    likelihood, prior = map(np.asarray, slopes(gaussian_log_prior, w, scale, X, y))
    np.testing.assert_allclose(likelihood + prior, 0, atol=1e-9)
    # The likelihood alone is far from its own mode.
    assert np.max(np.abs(likelihood)) > 0.1


@pytest.mark.parametrize("scale", [0.03, 0.1])
def test_lasso_is_the_posterior_mode_under_a_laplace_prior(scale, x64):
    X, y = regression()
    lambda_ = conventions.from_laplace_prior(scale, NOISE, N_SAMPLES)
    w = lasso(X, y, lambda_)
    slope, prior = map(np.asarray, slopes(laplace_log_prior, w, scale, X, y))
    active = np.asarray(w) != 0
    assert 0 < active.sum() < 5
    np.testing.assert_allclose((slope + prior)[active], 0, atol=1e-8)
    # Zero is the mode where the likelihood's slope does not reach the prior's, 1 / scale.
    assert np.all(np.abs(slope[~active]) <= 1 / scale)
