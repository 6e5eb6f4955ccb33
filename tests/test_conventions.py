"""One lambda, checked by fitting both ways: the other library's solver and one of ours."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.linear_model as sk

import regjax as rj
from regjax import L1, L2, ElasticNet, conventions
from regjax.solvers import proximal_gradient

GOLDENS = pathlib.Path(__file__).parent / "goldens"

# (from, to, arguments of from, further arguments of both)
PAIRS = {
    "sklearn_ridge": ((3.0,), (50,)),
    "closed_form": ((3.0,), (50,)),
    "sklearn_logistic": ((0.7,), (50,)),
    "glmnet": ((0.3, 0.4), (5.0,)),
    "two_strengths": ((0.3, 0.05), ()),
    "l2_without_half": ((0.3,), ()),
    "mix_without_half": ((0.3, 0.4), ()),
    "paper_adamw": ((0.0005,), (0.002,)),
    "normalized_decay": ((0.05,), (100, 50_000, 30)),
    "gaussian_prior": ((0.4,), (0.7, 50)),
    "laplace_prior": ((0.4,), (0.7, 50)),
}


def pair(name):
    return getattr(conventions, f"from_{name}"), getattr(conventions, f"to_{name}")


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


@pytest.mark.parametrize(("name", "arguments"), PAIRS.items(), ids=PAIRS)
def test_from_and_to_invert_one_another(name, arguments):
    strengths, setting = arguments
    forward, backward = pair(name)
    ours = as_tuple(forward(*strengths, *setting))
    np.testing.assert_allclose(as_tuple(backward(*ours, *setting)), strengths, rtol=1e-14)
    theirs = as_tuple(backward(*strengths, *setting))
    np.testing.assert_allclose(as_tuple(forward(*theirs, *setting)), strengths, rtol=1e-14)


def test_every_conversion_is_in_the_table():
    names = {name.partition("_")[2] for name in vars(conventions) if name.startswith("from_")}
    assert names == set(PAIRS)


@pytest.mark.parametrize(("name", "arguments"), PAIRS.items(), ids=PAIRS)
def test_conversions_trace_and_map(name, arguments, x64):
    strengths, setting = arguments
    for convert in pair(name):
        plain = as_tuple(convert(*strengths, *setting))
        lanes = jax.jit(jax.vmap(lambda *s, f=convert: f(*s, *setting)))(
            *map(np.atleast_1d, strengths)
        )
        np.testing.assert_allclose(np.ravel(as_tuple(lanes)), plain, rtol=1e-14)


@pytest.mark.parametrize(("name", "arguments"), PAIRS.items(), ids=PAIRS)
def test_negative_numbers_raise_wherever_they_stand(name, arguments):
    numbers = [*arguments[0], *arguments[1]]
    for convert in pair(name):
        for i in range(len(numbers)):
            for bad in (-1.0, np.nan):
                with pytest.raises(ValueError, match="must be"):
                    convert(*numbers[:i], bad, *numbers[i + 1 :])


DIVISORS = {
    "from_sklearn_ridge": (1,),
    "to_sklearn_logistic": (0, 1),
    "from_sklearn_logistic": (0, 1),
    "from_glmnet": (2,),
    "from_paper_adamw": (1,),
    "from_normalized_decay": (2, 3),
    "to_normalized_decay": (1, 2, 3),
    "from_gaussian_prior": (0, 2),
    "to_gaussian_prior": (0, 2),
    "from_laplace_prior": (0, 2),
    "to_laplace_prior": (0, 2),
}


@pytest.mark.parametrize(("name", "places"), DIVISORS.items(), ids=DIVISORS)
@pytest.mark.parametrize("zero", [0, 0.0, np.int64(0), np.float32(0)], ids=repr)
def test_zeros_that_would_divide_raise(name, places, zero):
    numbers = [number for part in PAIRS[name.partition("_")[2]] for number in part]
    for place in places:
        with pytest.raises(ValueError, match="must be positive"):
            getattr(conventions, name)(*numbers[:place], zero, *numbers[place + 1 :])


@pytest.mark.parametrize("zero", [0.0, 0, np.float32(0)], ids=repr)
def test_two_strengths_of_zero_have_no_ratio(zero):
    with pytest.raises(ValueError, match="both 0"):
        conventions.from_two_strengths(zero, zero)


# --- penalties written otherwise ---------------------------------------------------------

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3))


def l1(w):
    return jnp.sum(jnp.abs(w))


def squares(w):
    return jnp.sum(jnp.square(w))


OTHER_FORMS = {
    "two_strengths": (
        lambda w: 0.3 * l1(w) + 0.05 * squares(w),
        lambda: ElasticNet(*conventions.from_two_strengths(0.3, 0.05)),
    ),
    "l2_without_half": (
        lambda w: 0.3 * squares(w),
        lambda: L2(conventions.from_l2_without_half(0.3)),
    ),
    "mix_without_half": (
        lambda w: 0.7 * (0.4 * l1(w) + 0.6 * squares(w)),
        lambda: ElasticNet(*conventions.from_mix_without_half(0.7, 0.4)),
    ),
    "glmnet": (
        lambda w: 0.7 * (0.4 * l1(w) + 0.6 / 2 * squares(w) / 5),
        lambda: ElasticNet(*conventions.from_glmnet(0.7, 0.4, 5.0)),
    ),
    "regularization_loss_l1": (
        lambda w: rj.regularization_loss(w, "l1", 0.3),
        lambda: L1(0.3),
    ),
    "regularization_loss_l2": (
        lambda w: rj.regularization_loss(w, "l2", 0.3),
        lambda: L2(2 * 0.3),
    ),
}


@pytest.mark.parametrize(("other", "ours"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_converted_strengths_give_the_same_value_and_gradient(other, ours, x64):
    @jax.jit
    def both(w):
        penalty = ours()
        return (penalty.value(w), penalty.gradient(w)), jax.value_and_grad(other)(w)

    for found, expected in zip(*both(WEIGHTS), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_regularization_loss_is_the_form_of_the_tutorials(dtype):
    tree = {"a": np.array([1, -2, 0], dtype), "b": [np.array([[3]], dtype)]}
    of = jax.jit(jax.value_and_grad(rj.regularization_loss), static_argnums=1)
    for kind, expected in (("l1", 6), ("l2", 14)):
        value, gradient = of(tree, kind, 0.5)
        assert value.dtype == dtype
        assert float(value) == 0.5 * expected
        # The derivative of |w| is 0 at 0.
        slopes = {"l1": [0.5, -0.5, 0], "l2": [1, -2, 0]}[kind]
        np.testing.assert_array_equal(gradient["a"], slopes)


def test_regularization_loss_refuses_other_kinds_and_strengths():
    with pytest.raises(ValueError, match="'l1' or 'l2', got 'L2'"):
        rj.regularization_loss(jnp.ones(2), "L2", 0.1)
    for strength in (-0.1, np.nan):
        with pytest.raises(ValueError, match="lambda_reg must be"):
            rj.regularization_loss(jnp.ones(2), "l2", strength)
    with pytest.raises(ValueError, match="vmap"):
        rj.regularization_loss(jnp.ones(2), "l2", jnp.ones(2))


# --- fitting both ways -------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="loss")
def descend(loss, penalty, step_size, X, *rest):
    return proximal_gradient(
        jax.value_and_grad(lambda wb: loss(*wb, X, *rest)),
        rj.mask_penalty(penalty, (True, False)),
        (jnp.zeros(X.shape[1]), jnp.zeros(())),
        step_size=step_size,
        max_steps=50_000,
        tol=1e-11,
    )


def minimise(loss, penalty, curvature, *data):
    """Return (w, b) that minimise `loss(w, b, *data) + penalty.value(w)`; b is not penalised."""
    solution = descend(loss, penalty, 1 / curvature, *data)
    assert int(solution.status) == 0
    return jax.tree.map(np.asarray, solution.value)


def squares_by_weight(w, b, X, y, s, intercept):
    return jnp.sum(s * jnp.square(y - X @ w - intercept * b)) / (2 * s.sum())


def logistic(w, b, X, y):
    return jnp.mean(optax.sigmoid_binary_cross_entropy(X @ w + b, y))


def fit(X, y, penalty, sample_weights=None, intercept=True):
    """Return (w, b) of `sum(s (y - Xw - b)^2) / (2 sum(s)) + penalty`, s the sample weights."""
    s = np.ones(len(y)) if sample_weights is None else np.asarray(sample_weights)
    design = np.column_stack([X, np.ones(len(y))]) * np.sqrt(s / s.sum())[:, None]
    curvature = np.linalg.norm(design, 2) ** 2
    return minimise(squares_by_weight, penalty, curvature, X, y, s, float(intercept))


def regression_data():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 4)) * [1, 2, 0.5, 1] + [0, 1, 0, -1]
    y = 3 + X @ [2, 0, -3, 0.5] + rng.normal(size=40)
    return X, y, rng.uniform(0.1, 3, size=40)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_sklearn_ridge(intercept, weighted, x64):
    X, y, sample_weights = regression_data()
    sample_weights = sample_weights if weighted else None
    theirs = sk.Ridge(alpha=7.0, fit_intercept=intercept, tol=1e-12)
    theirs.fit(X, y, sample_weight=sample_weights)
    n = sample_weights.sum() if weighted else len(y)
    lambda_ = conventions.from_sklearn_ridge(7.0, n)
    w, b = fit(X, y, L2(lambda_), sample_weights, intercept)
    np.testing.assert_allclose(w, theirs.coef_, atol=1e-9)
    np.testing.assert_allclose(b, theirs.intercept_, atol=1e-9)
    # And back: scikit-learn at our strength.
    again = sk.Ridge(alpha=conventions.to_sklearn_ridge(lambda_, n), fit_intercept=intercept)
    np.testing.assert_allclose(again.fit(X, y, sample_weights).coef_, w, atol=1e-9)


def test_textbook_closed_form(x64):
    X, y, _ = regression_data()
    w, _ = fit(X, y, L2(conventions.from_closed_form(7.0, len(y))), intercept=False)
    expected = np.linalg.solve(X.T @ X + 7.0 * np.eye(4), X.T @ y)
    np.testing.assert_allclose(w, expected, atol=1e-9)
    lambda_ = conventions.from_closed_form(7.0, len(y))
    np.testing.assert_allclose(rj.ridge_closed_form(X, y, lambda_), expected, rtol=1e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.1])
def test_sklearn_lasso_and_elastic_net_need_no_conversion(l1_ratio, x64):
    X, y, _ = regression_data()
    if l1_ratio == 1:
        theirs, penalty = sk.Lasso(0.3, tol=1e-14, max_iter=100_000), L1(0.3)
    else:
        theirs = sk.ElasticNet(0.3, l1_ratio=l1_ratio, tol=1e-14, max_iter=100_000)
        penalty = ElasticNet(0.3, l1_ratio)
    theirs.fit(X, y)
    w, b = fit(X, y, penalty)
    np.testing.assert_allclose(w, theirs.coef_, atol=1e-7)
    np.testing.assert_allclose(b, theirs.intercept_, atol=1e-7)
    assert np.any(w == 0) or l1_ratio < 1


@pytest.mark.parametrize(
    ("C", "l1_ratio", "solver"), [(0.2, 0.0, "lbfgs"), (5.0, 0.0, "lbfgs"), (0.2, 1.0, "saga")]
)
def test_sklearn_logistic(C, l1_ratio, solver, x64):
    rng = np.random.default_rng(6)
    X = rng.normal(size=(60, 4))
    y = (X @ [2, 0, -1, 0.3] + 0.5 + rng.logistic(size=60) > 0).astype(float)
    theirs = sk.LogisticRegression(
        C=C, l1_ratio=l1_ratio, solver=solver, tol=1e-12, max_iter=100_000, random_state=0
    ).fit(X, y)
    lambda_ = conventions.from_sklearn_logistic(C, len(y))
    penalty = L1(lambda_) if l1_ratio else L2(lambda_)
    design = np.column_stack([X, np.ones(60)]) / np.sqrt(60)
    w, b = minimise(logistic, penalty, np.linalg.norm(design, 2) ** 2 / 4, X, y)
    np.testing.assert_allclose(w, theirs.coef_[0], atol=1e-5)
    np.testing.assert_allclose(b, theirs.intercept_[0], atol=1e-5)
    assert np.any(w == 0) == bool(l1_ratio)


def glmnet_fits():
    return json.loads((GOLDENS / "glmnet.json").read_text())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.2])
def test_glmnet(alpha, weighted, x64):
    golden = glmnet_fits()
    X, y = np.array(golden["X"]), np.array(golden["y"])
    sample_weights = np.array(golden["sample_weights"]) if weighted else np.ones(len(y))
    mean = np.average(y, weights=sample_weights)
    y_scale = np.sqrt(np.average((y - mean) ** 2, weights=sample_weights))
    assert y_scale > 5
    fits = [f for f in golden["fits"] if f["alpha"] == alpha and f["weighted"] == weighted]
    assert len(fits) == 3
    for theirs in fits:
        lambda_, l1_ratio = conventions.from_glmnet(theirs["lambda"], alpha, y_scale)
        w, b = fit(X, y, ElasticNet(lambda_, l1_ratio), sample_weights)
        np.testing.assert_allclose(w, theirs["coef"], atol=1e-6)
        np.testing.assert_allclose(b, theirs["intercept"], atol=1e-6)
        np.testing.assert_array_equal(w == 0, np.array(theirs["coef"]) == 0)


# --- weight decay ------------------------------------------------------------------------


def test_paper_adamw_decays_by_its_own_strength_per_step(x64):
    decay, peak = 0.0005, 0.002
    w = WEIGHTS
    weight_decay = conventions.from_paper_adamw(decay, peak)
    # A schedule that starts at half its peak: the paper's multiplier is then one half.
    for multiplier in (1.0, 0.5):
        optimizer = optax.adamw(multiplier * peak, weight_decay=weight_decay)
        updates = jax.jit(lambda w, o=optimizer: o.update(0 * w, o.init(w), w)[0])(w)
        np.testing.assert_allclose(updates, -multiplier * decay * w, rtol=1e-12)


def test_sgd_and_adam_take_the_strength_as_it_is(x64):
    decay = optax.add_decayed_weights(0.3)

    @jax.jit
    def both(w, gradient):
        updates, _ = decay.update(gradient, decay.init(w), w)
        return updates, gradient + L2(0.3).gradient(w)

    updates, expected = both(WEIGHTS, np.cos(WEIGHTS))
    np.testing.assert_allclose(updates, expected, rtol=1e-14)


def test_normalised_decay_grows_with_the_batch_and_shrinks_with_the_steps():
    formula = 0.05 * np.sqrt(100 / (50_000 * 30))
    np.testing.assert_allclose(
        conventions.from_normalized_decay(0.05, 100, 50_000, 30), formula, rtol=1e-15
    )
    by_name = conventions.from_normalized_decay(0.05, batch_size=100, n_samples=50_000, n_epochs=30)
    np.testing.assert_allclose(by_name, formula, rtol=1e-15)
