"""Coupled, decoupled and proximal transformations against NumPy, optax and solved problems."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.optimize import nnls
from sklearn.linear_model import Lasso

from regjax import (
    L1,
    L2,
    GroupLasso,
    NonNegative,
    UnitNorm,
    masks,
    penalized_loss,
    sgd_with_weight_decay,
)
from regjax.transforms import (
    adam_direction,
    coupled_l1,
    coupled_l2,
    decoupled_weight_decay,
    proximal,
)

CURVATURE = np.array([0.5, 1.0, 2.0])
CENTRE = np.array([3.0, -0.5, 0.2])
START = np.array([[1.0, -1.0, 0.5], [-0.25, 2.0, 0.125]])
ARRAY = START[0]
TREE = {"dense": {"kernel": START, "bias": START[1]}, "norm": {"scale": START[0]}}


def slope(w):
    return (CURVATURE * (w - CENTRE)).astype(w.dtype)


def slopes(params):
    return jax.tree.map(slope, params)


def soft(v, threshold):
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def assert_trees_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def largest_gap(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(jnp.max(jnp.abs(x - y))), a, b)))


def scan(step, carry, n_steps):
    """Return what `step` gives, applied again and again, stacked."""

    def body(carry, _):
        carry = step(carry)
        return carry, carry

    return jax.jit(lambda carry: jax.lax.scan(body, carry, length=n_steps)[1])(carry)


def descend(optimizer, params, n_steps, gradient=slopes):
    """Return the parameters after every step, stacked."""

    def step(carry):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        return optax.apply_updates(params, updates), state

    return scan(step, (params, optimizer.init(params)), n_steps)[0]


def first_update(optimizer, params, gradient=None):
    """Return the update of the first step; without a gradient, of one that is zero."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    gradient = zeros if gradient is None else gradient
    return optimizer.update(gradient, optimizer.init(params), params)[0]


def numpy_descend(finish, w, n_steps, gradient=slope):
    """Return `w` after every step of `w = finish(k, w, gradient)`, stacked."""
    path = []
    for k in range(n_steps):
        w = finish(k, w, gradient(w))
        path.append(w)
    return np.stack(path)


def numpy_adam(finish, w, n_steps, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0):
    """The same with `w = finish(k, w, direction, metric)`, both of them Adam's."""
    m = v = np.zeros_like(w)

    def step(k, w, g):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        metric = np.sqrt(v / (1 - b2 ** (k + 1)) + eps_root) + eps
        return finish(k, w, m / (1 - b1 ** (k + 1)) / metric, metric)

    return numpy_descend(step, w, n_steps)


def l1_at(strength):
    return (lambda k: L1(strength(k))) if callable(strength) else L1(strength)


# Name: (transformation, the step it takes on a gradient g, in NumPy).
PLAIN = {
    "coupled_l2": (
        lambda r, s, m: optax.chain(coupled_l2(s, m), optax.sgd(r)),
        lambda r, s, w, g: w - r * (g + s * w),
    ),
    "coupled_l1": (
        lambda r, s, m: optax.chain(coupled_l1(s, m), optax.sgd(r)),
        lambda r, s, w, g: w - r * (g + s * np.sign(w)),
    ),
    "decoupled": (
        lambda r, s, m: decoupled_weight_decay(optax.identity(), r, s, mask=m),
        lambda r, s, w, g: w - r * g - r * s * w,
    ),
    "proximal": (
        lambda r, s, m: proximal(optax.identity(), r, l1_at(s), mask=m),
        lambda r, s, w, g: soft(w - r * g, r * s),
    ),
}
MAKERS = {
    **{name: make for name, (make, _) in PLAIN.items()},
    "coupled_l2_adam": lambda r, s, m: optax.chain(coupled_l2(s, m), optax.adam(r)),
    "adamw": lambda r, s, m: decoupled_weight_decay(optax.scale_by_adam(), r, s, mask=m),
    "adaptive": lambda r, s, m: proximal(adam_direction(), r, l1_at(s), metric="adaptive", mask=m),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


# --- every transformation ---


@pytest.mark.parametrize("name", PLAIN)
def test_steps_with_scheduled_rate_and_strength_equal_numpy(name, x64):
    make, numpy_step = PLAIN[name]

    def rate(k):
        return 0.2 / (1 + k)

    def strength(k):
        return 0.7 * 0.9**k

    found = descend(make(rate, strength, masks.weights), jnp.asarray(ARRAY), 20)
    expected = numpy_descend(lambda k, w, g: numpy_step(rate(k), strength(k), w, g), ARRAY, 20)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_number_traced_scalar_and_schedule_of_one_strength_agree(make, dtype):
    params = cast(ARRAY, dtype)

    def last(strength):
        return descend(make(0.1, strength, masks.weights), params, 10)[-1]

    number = jax.jit(lambda: last(0.3))()
    tolerance = 20 * np.finfo(dtype).eps
    for other in (jax.jit(last)(0.3), jax.jit(lambda: last(lambda count: 0.3))()):
        np.testing.assert_allclose(other, number, rtol=tolerance, atol=tolerance)
        assert other.dtype == dtype


def test_vmap_over_strengths_equals_the_loop_with_one_trace(make):
    params = cast(TREE, jnp.float32)
    traces = []

    def last(strength):
        traces.append(strength)
        path = descend(make(0.1, strength, masks.weights), params, 10)
        return jax.tree.map(lambda leaf: leaf[-1], path)

    grid = [0.0, 0.01, 0.1, 0.5]
    single = jax.jit(last)
    loop = [single(strength) for strength in grid]
    assert len(traces) == 1
    lanes = jax.jit(jax.vmap(last))(jnp.array(grid))
    assert len(traces) == 2
    for i, one in enumerate(loop):
        lane = jax.tree.map(lambda leaf, i=i: leaf[i], lanes)
        assert_trees_close(lane, one, rtol=1e-5, atol=1e-6)
    assert largest_gap(loop[0], loop[-1]) > 1e-2


@pytest.mark.parametrize(
    ("mask", "penalized"),
    [
        (masks.weights, {"dense/kernel"}),
        (masks.everything, {"dense/kernel", "dense/bias", "norm/scale"}),
        (masks.by_path("*/bias"), {"dense/bias"}),
        ({"dense": {"kernel": False, "bias": True}, "norm": True}, {"dense/bias", "norm/scale"}),
    ],
    ids=["weights", "everything", "by_path", "tree"],
)
def test_leaves_outside_the_mask_are_left_alone_and_only_they(make, mask, penalized):
    update = first_update(make(0.1, 0.5, mask), cast(TREE, jnp.float32))
    for leaf in masks.tree_leaves(update):
        assert np.all(leaf.value != 0) == (leaf.path in penalized)
        assert np.any(leaf.value != 0) == (leaf.path in penalized)


def test_default_mask_is_weights():
    params = cast(TREE, jnp.float32)
    defaults = [
        optax.chain(coupled_l2(0.5), optax.sgd(0.1)),
        optax.chain(coupled_l1(0.5), optax.sgd(0.1)),
        decoupled_weight_decay(optax.identity(), 0.1, 0.5),
        proximal(optax.identity(), 0.1, L1(0.5)),
    ]
    for optimizer, (make, _) in zip(defaults, PLAIN.values(), strict=True):
        explicit = first_update(make(0.1, 0.5, masks.weights), params)
        assert largest_gap(first_update(optimizer, params), explicit) == 0


@pytest.mark.parametrize("low", [jnp.bfloat16, jnp.float32])
def test_dtypes_are_kept_under_scan_and_cond(make, low):
    params = cast(TREE, low)
    optimizer = make(optax.linear_schedule(0.1, 0.01, 5), 0.5, masks.weights)

    # scan and cond raise themselves when a state changes shape or dtype.
    @jax.jit
    def step(params, state, skip):
        def go():
            updates, new = optimizer.update(slopes(params), state, params)
            return updates, new

        def stay():
            return jax.tree.map(jnp.zeros_like, params), state

        return jax.lax.cond(skip, stay, go)

    state = optimizer.init(params)
    still, same = step(params, state, True)
    updates, new = step(params, state, False)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(low)}
    assert largest_gap(still, jax.tree.map(jnp.zeros_like, params)) == 0
    before, after = jax.tree.leaves(state), jax.tree.leaves(new)
    assert [(x.shape, x.dtype) for x in before] == [(x.shape, x.dtype) for x in after]
    assert all(np.array_equal(x, y) for x, y in zip(before, jax.tree.leaves(same), strict=True))
    path = descend(optimizer, params, 5)
    assert {leaf.dtype for leaf in jax.tree.leaves(path)} == {jnp.dtype(low)}
    assert all(np.isfinite(np.asarray(leaf, np.float32)).all() for leaf in jax.tree.leaves(path))


def test_coupled_gradients_keep_their_own_dtype_beside_params_of_another():
    for gradient, param in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16)):
        w, g = jnp.ones(3, param), jnp.ones(3, gradient)
        for link in (coupled_l2(0.5), coupled_l1(0.5)):
            update = first_update(link, w, g)
            assert update.dtype == gradient
            np.testing.assert_array_equal(np.asarray(update, np.float32), 1.5)


def test_missing_params_raise(make):
    optimizer = make(0.1, 0.5, masks.weights)
    params = cast(ARRAY, jnp.float32)
    with pytest.raises(ValueError, match="params"):
        optimizer.update(params, optimizer.init(params))


@pytest.mark.parametrize(
    ("strength", "error"),
    [(-0.1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("a", TypeError)],
)
def test_strengths_that_are_no_strengths_raise(make, strength, error):
    with pytest.raises(error, match="lambda_"):
        first_update(make(0.1, strength, masks.weights), jnp.ones(3))


@pytest.mark.parametrize("rate", [-0.1, np.nan])
@pytest.mark.parametrize("name", ["decoupled", "proximal"])
def test_learning_rates_that_are_none_raise(name, rate):
    with pytest.raises(ValueError, match="learning_rate"):
        MAKERS[name](rate, 0.1, masks.weights)


def test_an_array_of_strengths_raises_and_does_not_broadcast(make):
    # As many strengths as the trailing axis is long: broadcasting would go unnoticed.
    strengths = jnp.array([0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="lambda_"):
        first_update(make(0.1, strengths, masks.weights), jnp.ones(3))


def test_equinox_modules_are_regularized_in_their_weights_alone(make):
    model = eqx.nn.MLP(2, 3, 4, 1, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    optimizer = make(0.1, 0.5, masks.weights)
    stepped = eqx.apply_updates(model, first_update(optimizer, params))
    for before, after in zip(model.layers, stepped.layers, strict=True):
        assert jnp.sum(jnp.abs(after.weight)) < jnp.sum(jnp.abs(before.weight)) - 1e-2
        np.testing.assert_array_equal(after.bias, before.bias)


def test_nnx_states_are_regularized_in_their_weights_alone(make):
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.ones(3)
    params = nnx.state(layer, nnx.Param)
    optimizer = make(0.1, 0.5, masks.weights)
    after = nnx.to_pure_dict(optax.apply_updates(params, first_update(optimizer, params)))
    before = nnx.to_pure_dict(params)
    assert jnp.sum(jnp.abs(after["kernel"])) < jnp.sum(jnp.abs(before["kernel"])) - 1e-2
    np.testing.assert_array_equal(after["bias"], np.ones(3))


# --- coupled L2 and decay ---


@pytest.mark.parametrize("params", [ARRAY, TREE], ids=["array", "tree"])
def test_coupled_l2_with_sgd_is_decay_and_is_descent_on_the_penalized_loss(params, dtype):
    params = cast(params, dtype)
    rate, strength = 0.1, 0.7

    def loss(p):
        terms = jax.tree.map(lambda w: jnp.sum(CURVATURE * (w - CENTRE) ** 2) / 2, p)
        return sum(jax.tree.leaves(terms))

    objective = penalized_loss(loss, L2(strength), masks.everything)

    def plain(p):
        return jax.tree.map(lambda w, g: w - rate * g, p, jax.grad(objective)(p))

    coupled = optax.chain(coupled_l2(strength, masks.everything), optax.sgd(rate))
    path = descend(coupled, params, 60)
    # Each step rounds a few times and the contraction forgets old rounding.
    tolerance = 50 * np.finfo(dtype).eps
    decayed = scan(lambda p: sgd_with_weight_decay(p, slopes(p), rate, strength), params, 60)
    assert_trees_close(path, decayed, rtol=tolerance, atol=tolerance)
    assert_trees_close(path, scan(plain, params, 60), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("direction", "equal"),
    [(optax.identity(), True), (optax.trace(0.9), False), (optax.scale_by_adam(), False)],
    ids=["sgd", "momentum", "adam"],
)
def test_coupled_and_decoupled_are_one_under_sgd_and_two_otherwise(direction, equal, x64):
    params = jnp.asarray(ARRAY)
    coupled = optax.chain(coupled_l2(0.5), direction, optax.scale(-0.02))
    decoupled = decoupled_weight_decay(direction, 0.02, 0.5)
    gap = largest_gap(descend(coupled, params, 50), descend(decoupled, params, 50))
    assert gap < 1e-13 if equal else gap > 0.05


@pytest.mark.parametrize("rate", [0.05, optax.cosine_decay_schedule(0.05, 40)])
def test_decay_beside_adam_is_adamw_of_optax_and_of_numpy(rate, x64):
    strength = 0.4

    def rate_at(k):
        return rate if isinstance(rate, float) else float(rate(k))

    def adamw(k, w, d, metric):
        return w - rate_at(k) * (d + strength * w)

    own = decoupled_weight_decay(optax.scale_by_adam(), rate, strength, mask=masks.everything)
    theirs = optax.adamw(rate, weight_decay=strength)
    path = descend(own, cast(TREE, jnp.float64), 40)
    assert_trees_close(path, descend(theirs, cast(TREE, jnp.float64), 40), rtol=1e-12, atol=1e-12)
    expected = jax.tree.map(lambda leaf: numpy_adam(adamw, leaf, 40), TREE)
    assert_trees_close(path, expected, rtol=1e-12, atol=1e-12)


def test_coupled_l2_before_adam_is_add_decayed_weights_before_adam(x64):
    params = cast(TREE, jnp.float64)
    own = optax.chain(coupled_l2(0.4, masks.everything), optax.adam(0.05))
    theirs = optax.chain(optax.add_decayed_weights(0.4), optax.adam(0.05))
    assert_trees_close(descend(own, params, 40), descend(theirs, params, 40), rtol=1e-12)


RATES = np.array([0.02, 0.05, 0.08, 0.04, 0.01, 0.0])
PEAK = 0.08
DECAYS = {
    "learning_rate": lambda rate, s, peak: rate * s,
    "schedule": lambda rate, s, peak: rate / peak * s,
    "squared_learning_rate": lambda rate, s, peak: rate**2 / peak * s,
}


@pytest.mark.parametrize("scaled_by", DECAYS)
def test_the_decay_is_scaled_as_the_table_says(scaled_by, x64):
    strength = 0.3
    optimizer = decoupled_weight_decay(
        optax.scale_by_adam(),
        lambda count: jnp.asarray(RATES)[count],
        strength,
        scaled_by=scaled_by,
        peak_learning_rate=PEAK,
    )

    def finish(k, w, d, metric):
        return w - RATES[k] * d - DECAYS[scaled_by](RATES[k], strength, PEAK) * w

    found = descend(optimizer, jnp.asarray(ARRAY), len(RATES))
    np.testing.assert_allclose(found, numpy_adam(finish, ARRAY, len(RATES)), rtol=1e-12)


@pytest.mark.parametrize("scaled_by", DECAYS)
@pytest.mark.parametrize("peak", [None, 0.2])
def test_a_constant_rate_is_its_own_peak_unless_one_is_given(scaled_by, peak, x64):
    optimizer = decoupled_weight_decay(
        optax.identity(), 0.1, 0.3, scaled_by=scaled_by, peak_learning_rate=peak
    )
    update = first_update(optimizer, jnp.array([2.0]))
    np.testing.assert_allclose(update, -2 * DECAYS[scaled_by](0.1, 0.3, peak or 0.1), rtol=1e-14)


@pytest.mark.parametrize("scaled_by", ["schedule", "squared_learning_rate"])
@pytest.mark.parametrize("rate", [optax.constant_schedule(0.1), np.array(0.1)])
def test_a_peak_that_cannot_be_read_off_the_rate_must_be_given(scaled_by, rate):
    with pytest.raises(ValueError, match="peak_learning_rate"):
        decoupled_weight_decay(optax.identity(), rate, 0.3, scaled_by=scaled_by)
    decoupled_weight_decay(optax.identity(), rate, 0.3)


@pytest.mark.parametrize("peak", [0.0, -0.1, np.nan])
def test_a_peak_that_is_not_positive_raises(peak):
    # A negative peak would turn the decay into growth.
    with pytest.raises(ValueError, match="peak_learning_rate"):
        decoupled_weight_decay(
            optax.identity(), 0.1, 0.3, scaled_by="schedule", peak_learning_rate=peak
        )


def test_an_unknown_scaling_raises():
    with pytest.raises(ValueError, match="scaled_by"):
        decoupled_weight_decay(optax.identity(), 0.1, 0.3, scaled_by="peak")


@pytest.mark.parametrize(
    "mask",
    [masks.weights, masks.by_ndim(2), masks.weights & masks.by_path("dense/*")],
    ids=["weights", "by_ndim", "combined"],
)
def test_decay_goes_on_under_inject_hyperparams_with_a_mask_object(mask):
    params = cast(TREE, jnp.float32)
    zeros = jax.tree.map(jnp.zeros_like, params)
    decay = optax.inject_hyperparams(decoupled_weight_decay)(
        optax.scale_by_adam(), learning_rate=0.1, lambda_=0.5, mask=mask
    )
    coupled = optax.inject_hyperparams(coupled_l2)(lambda_=0.5, mask=mask)
    for optimizer, factor in ((decay, -0.05), (coupled, 0.5)):
        state = optimizer.init(params)
        updates, state = optimizer.update(zeros, state, params)
        np.testing.assert_allclose(updates["dense"]["kernel"], factor * START, rtol=1e-6)
        assert largest_gap(updates["dense"]["bias"], jnp.zeros(3)) == 0
        state.hyperparams["lambda_"] = jnp.asarray(0.0)
        updates, _ = optimizer.update(zeros, state, params)
        assert largest_gap(updates, zeros) == 0


def test_schedules_of_strength_work_under_inject_hyperparams():
    optimizer = optax.inject_hyperparams(coupled_l2)(lambda_=lambda count: 0.5 * (count + 1))
    w = jnp.array([2.0])
    state = optimizer.init(w)
    for expected in (1.0, 2.0, 3.0):
        updates, state = optimizer.update(jnp.zeros(1), state, w)
        np.testing.assert_allclose(updates, expected)


def test_sgd_with_weight_decay_decays_every_leaf_and_keeps_dtypes():
    params = {"kernel": jnp.array([2.0], jnp.bfloat16), "bias": jnp.array([4.0])}
    gradient = {"kernel": jnp.array([1.0], jnp.bfloat16), "bias": jnp.array([-2.0])}
    stepped = sgd_with_weight_decay(params, gradient, 0.5, 0.25)
    assert stepped["kernel"].dtype == jnp.bfloat16
    # 2 - .5 * 1 - .5 * .25 * 2 and 4 + .5 * 2 - .5 * .25 * 4, exact in binary.
    assert float(stepped["kernel"][0]) == 1.25
    assert float(stepped["bias"][0]) == 4.5
    for lr, strength in ((-1.0, 0.0), (0.1, -1.0)):
        with pytest.raises(ValueError, match="at least 0"):
            sgd_with_weight_decay(params, gradient, lr, strength)


# --- what is minimised ---

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


# --- proximal steps ---


@pytest.mark.parametrize(
    "settings",
    [{}, {"b1": 0.5, "b2": 0.9, "eps": 0.1, "eps_root": 0.01}],
    ids=["defaults", "others"],
)
@pytest.mark.parametrize("metric", ["adaptive", "euclidean"])
def test_thresholds_after_adam_equal_numpy(settings, metric, x64):
    rate, strength = 0.05, 1.0

    def finish(k, w, d, m):
        return soft(w - rate * d, rate * strength / (m if metric == "adaptive" else 1))

    optimizer = proximal(adam_direction(**settings), rate, L1(strength), metric=metric)
    found = descend(optimizer, jnp.asarray(ARRAY), 120)
    expected = numpy_adam(finish, ARRAY, 120, **settings)
    assert (expected == 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_adam_direction_is_scale_by_adam(dtype):
    params = cast(TREE, dtype)
    settings = {"b1": 0.8, "b2": 0.95, "eps": 1e-4, "eps_root": 1e-6}
    own = optax.chain(adam_direction(**settings), optax.scale(-0.1))
    theirs = optax.chain(optax.scale_by_adam(**settings), optax.scale(-0.1))
    assert largest_gap(descend(own, params, 10), descend(theirs, params, 10)) == 0


def test_adaptive_steps_see_clipped_gradients(x64):
    rate, strength, largest = 0.05, 0.3, 0.5

    def clipped(w):
        g = slope(w)
        return g * jnp.minimum(1, largest / jnp.sqrt(jnp.sum(g**2)))

    def optimizer(direction):
        return proximal(direction, rate, L1(strength), metric="adaptive")

    chain = optax.chain(optax.clip_by_global_norm(largest), adam_direction())
    params = jnp.asarray(ARRAY)
    found = descend(optimizer(chain), params, 40)
    by_hand = descend(optimizer(adam_direction()), params, 40, gradient=clipped)
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    assert largest_gap(found, descend(optimizer(adam_direction()), params, 40)) > 1e-3


def test_proximal_l2_divides_by_one_plus_rate_times_strength(dtype):
    rate, strength = 0.1, 0.7
    path = descend(proximal(optax.identity(), rate, L2(strength)), cast(ARRAY, dtype), 20)
    expected = numpy_descend(lambda k, w, g: (w - rate * g) / (1 + rate * strength), ARRAY, 20)
    np.testing.assert_allclose(path, expected, atol=30 * np.finfo(dtype).eps)


def test_one_step_of_proximal_l2_and_of_adamw_differ_by_the_square_of_the_rate(x64):
    w = jnp.asarray(ARRAY)

    def gap(rate):
        a = descend(proximal(optax.scale_by_adam(), rate, L2(0.7)), w, 1)
        b = descend(decoupled_weight_decay(optax.scale_by_adam(), rate, 0.7), w, 1)
        return largest_gap(a, b)

    assert gap(1e-2) > 1e-6
    assert gap(1e-3) / gap(5e-4) == pytest.approx(4, rel=0.01)


def test_a_penalty_may_be_a_function_of_the_step_count(x64):
    def kind(k):
        return L1(0.1 * (k + 1)) + L2(0.2)

    def finish(k, w, g):
        return soft(w - 0.1 * g, 0.1 * 0.1 * (k + 1) / (1 + 0.1 * 0.2) * 1.02) / 1.02

    path = descend(proximal(optax.identity(), 0.1, kind), jnp.asarray(ARRAY), 15)
    np.testing.assert_allclose(path, numpy_descend(finish, ARRAY, 15), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("low", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("metric", ["euclidean", "adaptive"])
def test_exact_zeros_survive_apply_updates(low, accumulate, metric):
    rng = np.random.default_rng(2)
    w = jnp.asarray(rng.normal(size=200), low)
    gradient = jnp.asarray(rng.choice([-1.0, 1.0], size=200), low)
    optimizer = proximal(adam_direction(eps=0.0), 0.25, L1(2.0), metric=metric)
    expected = np.asarray(w, np.float32) - 0.25 * np.asarray(gradient, np.float32)
    if accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, accumulate)
    update = jax.jit(optimizer.update)
    state, found = optimizer.init(w), w
    for _ in range(accumulate):
        np.testing.assert_array_equal(found, w)
        updates, state = update(gradient, state, w)
        found = optax.apply_updates(w, updates)
    assert found.dtype == low
    # Adam's first direction is the sign and its metric is 1, so both thresholds are .5; the
    # entries within rounding of the threshold are left out.
    clear = np.abs(np.abs(expected) - 0.5) > 0.02
    np.testing.assert_array_equal((found == 0)[clear], (np.abs(expected) < 0.5)[clear])
    assert 20 < np.count_nonzero(found == 0) < 180


def test_group_lasso_steps_set_whole_columns_to_zero():
    kernel = jnp.array([[3.0, 0.1], [4.0, -0.2]])
    penalty = GroupLasso(1.0, jnp.array([0, 1]), n_groups=2, weights=jnp.ones(2))
    optimizer = proximal(optax.identity(), optax.constant_schedule(0.5), penalty)
    # The first column has norm 5 and loses .5 of it.
    found = optax.apply_updates(kernel, first_update(optimizer, kernel))
    np.testing.assert_allclose(found, [[2.7, 0.0], [3.6, 0.0]], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], 0)


@pytest.mark.parametrize(
    ("direction", "penalty", "message"),
    [
        (optax.scale_by_adam(), L1(0.1), "adam_direction"),
        (optax.identity(), L1(0.1), "adam_direction"),
        (optax.chain(adam_direction(), adam_direction()), L1(0.1), "found 2"),
        (adam_direction(), UnitNorm(axis=None), "one step per coordinate"),
        (adam_direction(), L2(0.1) + UnitNorm(axis=None), "one step per coordinate"),
    ],
    ids=["scale_by_adam", "identity", "two", "unit_norm", "sum_with_unit_norm"],
)
def test_an_adaptive_metric_that_does_not_exist_raises_at_init(direction, penalty, message):
    optimizer = proximal(direction, 0.1, penalty, metric="adaptive")
    with pytest.raises(ValueError, match=message):
        optimizer.init(jnp.ones(3))
    proximal(direction, 0.1, penalty).init(jnp.ones(3))


def test_an_unknown_metric_and_a_penalty_that_is_none_raise():
    with pytest.raises(ValueError, match="metric"):
        proximal(optax.identity(), 0.1, L1(0.1), metric="adam")
    # A class could be taken for a schedule, and the step count for its strength.
    for penalty in (0.1, L1, None):
        with pytest.raises(TypeError, match="penalty object"):
            proximal(optax.identity(), 0.1, penalty)
    with pytest.raises(TypeError, match="penalty object"):
        proximal(optax.identity(), 0.1, lambda step: 0.1).init(jnp.ones(3))


def test_extra_arguments_reach_the_direction():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    direction = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    w = jnp.ones(3)
    for optimizer in (
        decoupled_weight_decay(direction, 0.1, 0.0),
        proximal(direction, 0.1, L1(0.0)),
    ):
        updates, _ = optimizer.update(w, optimizer.init(w), w, value=3.0)
        np.testing.assert_allclose(updates, -0.3 * w, rtol=1e-6)
