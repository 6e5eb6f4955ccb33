"""Ready-made optimizers: each equals its rule, keeps its arguments, and ends where it should."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from regjax import L1, L2, masks, penalized_loss, transforms
from regjax.transforms import (
    adam_l2,
    adamw,
    coupled_l2,
    decoupled_weight_decay,
    lionw,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    sgd_l2,
    sgdw,
)

RATE, STRENGTH = 0.05, 0.3
ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-6}
PARAMS = {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([1.0, -1.0])}


def walk(tx, n_steps=20):
    """Return the parameters after steps along gradients that differ from leaf to leaf."""

    def step(carry, noise):
        params, state = carry
        gradient = jax.tree.map(lambda p, e: p * 0.3 + e, params, noise)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    params = jax.tree.map(jnp.asarray, PARAMS)
    rng = np.random.default_rng(0)
    noise = jax.tree.map(lambda p: rng.normal(size=(n_steps, *p.shape)).astype(p.dtype), params)
    return jax.lax.scan(step, (params, tx.init(params)), noise)[0][0]


def run(*optimizers, n_steps=20):
    """Return where each ends, from one program."""
    return jax.jit(lambda: [walk(tx, n_steps) for tx in optimizers])()


EQUAL = {
    "sgd_l2": (
        sgd_l2(RATE, STRENGTH, mask=masks.everything, momentum=0.9),
        optax.chain(optax.add_decayed_weights(STRENGTH), optax.sgd(RATE, 0.9)),
    ),
    "sgd_l2, nesterov": (
        sgd_l2(RATE, STRENGTH, mask=masks.everything, momentum=0.9, nesterov=True),
        optax.chain(optax.add_decayed_weights(STRENGTH), optax.sgd(RATE, 0.9, nesterov=True)),
    ),
    "sgdw": (
        sgdw(RATE, STRENGTH, mask=masks.everything, momentum=0.9),
        optax.chain(optax.trace(0.9), optax.add_decayed_weights(STRENGTH), optax.scale(-RATE)),
    ),
    "adam_l2": (
        adam_l2(RATE, STRENGTH, mask=masks.everything, **ADAM),
        optax.chain(optax.add_decayed_weights(STRENGTH), optax.adam(RATE, **ADAM)),
    ),
    "adamw": (
        adamw(RATE, STRENGTH, mask=masks.everything, **ADAM),
        optax.adamw(RATE, weight_decay=STRENGTH, **ADAM),
    ),
    "adamw, nesterov": (
        adamw(RATE, STRENGTH, mask=masks.everything, nesterov=True),
        optax.nadamw(RATE, weight_decay=STRENGTH),
    ),
    "lionw": (
        lionw(RATE, STRENGTH, mask=masks.everything, b1=0.8),
        optax.lion(RATE, weight_decay=STRENGTH, b1=0.8),
    ),
    "adamw by the schedule": (
        adamw(RATE, STRENGTH, scaled_by="schedule", mask=masks.everything),
        optax.adamw(RATE, weight_decay=STRENGTH / RATE),
    ),
    "adamw by the squared rate, given a peak": (
        adamw(
            RATE,
            STRENGTH,
            scaled_by="squared_learning_rate",
            peak_learning_rate=2 * RATE,
            mask=masks.everything,
        ),
        optax.adamw(RATE, weight_decay=STRENGTH / 2),
    ),
    "prox_sgd with no penalty": (prox_sgd(RATE, L1(0.0), momentum=0.9), optax.sgd(RATE, 0.9)),
    "prox_adam with no penalty": (prox_adam(RATE, L1(0.0), **ADAM), optax.adam(RATE, **ADAM)),
    "prox_adamw with no penalty": (prox_adamw(RATE, L1(0.0), **ADAM), optax.adam(RATE, **ADAM)),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", EQUAL)
def test_iterates_equal_those_of_optax(name):
    ours, theirs = run(*EQUAL[name])
    chex.assert_trees_all_close(ours, theirs, rtol=1e-12, atol=1e-13)


MASKED = {
    "sgd_l2": lambda s, mask: sgd_l2(RATE, s, mask=mask),
    "sgdw": lambda s, mask: sgdw(RATE, s, mask=mask),
    "adam_l2": lambda s, mask: adam_l2(RATE, s, mask=mask),
    "adamw": lambda s, mask: adamw(RATE, s, mask=mask),
    "lionw": lambda s, mask: lionw(RATE, s, mask=mask),
    "prox_sgd": lambda s, mask: prox_sgd(RATE, L1(s), mask=mask),
    "prox_adam": lambda s, mask: prox_adam(RATE, L1(s), mask=mask),
    "prox_adamw": lambda s, mask: prox_adamw(RATE, L2(s), mask=mask),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", MASKED)
def test_biases_are_left_alone_unless_the_mask_says_otherwise(name):
    make = MASKED[name]
    free, default, every = run(
        make(0.0, masks.weights),
        make(STRENGTH, masks.weights),
        make(STRENGTH, masks.everything),
        n_steps=5,
    )
    np.testing.assert_allclose(default["bias"], free["bias"], rtol=1e-15)
    assert np.abs(default["kernel"] - free["kernel"]).max() > 1e-3
    assert np.abs(every["bias"] - free["bias"]).max() > 1e-3
    np.testing.assert_array_max_ulp(every["kernel"], default["kernel"], maxulp=2)


@pytest.mark.parametrize("name", MASKED)
def test_negative_strengths_are_refused(name):
    with pytest.raises(ValueError, match="at least 0"):
        run(MASKED[name](-0.1, masks.weights))


@pytest.mark.parametrize("name", MASKED)
def test_numbers_are_injected_and_masks_are_not_taken_for_schedules(name):
    second = STRENGTH if "prox" not in name else L1(STRENGTH)
    make = getattr(transforms, name)
    plain = make(RATE, second)
    injected = optax.inject_hyperparams(make)(RATE, second, mask=masks.weights)
    assert "learning_rate" in jax.eval_shape(injected.init, PARAMS).hyperparams
    # Injected numbers are float32 arrays where Python's were exact.
    chex.assert_trees_all_close(*run(injected, plain), rtol=1e-3)


def test_learning_rate_comes_first_then_the_strength_then_keywords():
    for name in MASKED:
        parameters = list(inspect.signature(getattr(transforms, name)).parameters.values())
        assert parameters[0].name == "learning_rate"
        assert parameters[1].name in ("lambda_", "penalty")
        assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters[2:])
        assert "mask" in {p.name for p in parameters[2:]}


CENTER = np.array([3.0, 0.5, -2.0, 0.2])
ENDS = {
    # c / (1 + lambda), by the optimality condition of loss + penalty.
    "sgd_l2": (lambda rate: sgd_l2(rate, 1.0), CENTER / 2),
    "sgdw": (lambda rate: sgdw(rate, 1.0), CENTER / 2),
    "adam_l2": (lambda rate: adam_l2(rate, 1.0), CENTER / 2),
    # The loss alone, within the ball max |w| <= 1 / lambda (Xie and Li 2024).
    "adamw": (lambda rate: adamw(rate, 1.0), np.clip(CENTER, -1, 1)),
    "lionw": (lambda rate: lionw(rate, 1.0), np.clip(CENTER, -1, 1)),
    # The soft threshold of c at lambda.
    "prox_sgd": (lambda rate: prox_sgd(rate, L1(1.0)), [2.0, 0.0, -1.0, 0.0]),
    "prox_adam": (lambda rate: prox_adam(rate, L1(1.0)), [2.0, 0.0, -1.0, 0.0]),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ENDS)
def test_where_each_optimizer_ends_on_a_quadratic(name):
    make, expected = ENDS[name]
    n_steps = 20_000
    tx = make(optax.cosine_decay_schedule(0.02, n_steps))

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(w - CENTER, state, w)
        return (optax.apply_updates(w, updates), state), None

    start = jnp.asarray(np.array([0.3, -0.4, 0.2, 0.5]))
    (w, _), _ = jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), length=n_steps))()
    np.testing.assert_allclose(w, expected, atol=5e-3)
    if name.startswith("prox"):
        np.testing.assert_array_equal(w == 0, np.asarray(expected) == 0)


@pytest.mark.usefixtures("x64")
def test_prox_adamw_with_l2_is_decay_by_division_and_not_the_lasso_with_l1():
    w, g = np.array([2.0, -1.0]), np.array([0.5, 3.0])
    optimizers = optax.adam(RATE), prox_adamw(RATE, L2(STRENGTH))
    plain, step = jax.jit(lambda w: [tx.update(g, tx.init(w), w)[0] for tx in optimizers])(w)
    np.testing.assert_allclose(w + step, (w + plain) / (1 + RATE * STRENGTH), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_one_step_of_adamw_and_of_its_prox_differ_by_the_square_of_the_rate():
    w, g = np.array([2.0, -1.0]), np.array([0.5, 3.0])

    @jax.jit
    def gap(rate):
        steps = [
            tx.update(g, tx.init(w), w)[0]
            for tx in (adamw(rate, STRENGTH), prox_adamw(rate, L2(STRENGTH)))
        ]
        return jnp.abs(steps[0] - steps[1]).max()

    assert gap(1e-2) / gap(5e-3) == pytest.approx(4, rel=0.02)


@pytest.mark.usefixtures("x64")
def test_prox_adam_minimises_the_lasso():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 10)) * np.geomspace(0.3, 3, 10)
    y = X[:, 0] * 2 + X[:, 9] + 0.1 * rng.normal(size=80)
    objective = jax.jit(penalized_loss(lambda w: jnp.mean((X @ w - y) ** 2) / 2, L1(0.05)))
    tx = prox_adam(optax.cosine_decay_schedule(0.03, 8000), L1(0.05))

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(X.T @ (X @ w - y) / 80, state, w)
        return (optax.apply_updates(w, updates), state), None

    def end(start):
        return jax.lax.scan(step, (start, tx.init(start)), length=8000)[0][0]

    start = np.zeros(10)
    w = np.asarray(jax.jit(end)(start))
    correlation = X.T @ (y - X @ w) / 80
    np.testing.assert_allclose(correlation[w != 0], 0.05 * np.sign(w[w != 0]), atol=1e-5)
    assert np.abs(correlation[w == 0]).max() <= 0.05
    assert 2 <= np.sum(w != 0) < 10
    assert objective(w) < objective(start)


def test_links_compose_to_the_same():
    ready, composed = run(
        sgdw(RATE, STRENGTH), decoupled_weight_decay(optax.identity(), RATE, STRENGTH)
    )
    np.testing.assert_array_equal(ready["kernel"], composed["kernel"])
    ready, composed = run(
        sgd_l2(RATE, STRENGTH), optax.chain(coupled_l2(STRENGTH), optax.sgd(RATE))
    )
    np.testing.assert_array_equal(ready["kernel"], composed["kernel"])


# A traced momentum is float32, and promotes moments that follow bfloat16 weights.
MOMENTUM = {
    "sgd_l2": lambda m: sgd_l2(RATE, STRENGTH, momentum=m),
    "sgdw": lambda m: sgdw(RATE, STRENGTH, momentum=m),
    "adam_l2": lambda m: adam_l2(RATE, STRENGTH, b1=m),
    "adamw": lambda m: adamw(RATE, STRENGTH, b1=m),
    "lionw": lambda m: lionw(RATE, STRENGTH, b2=m),
    "muonw": lambda m: muonw(RATE, STRENGTH, beta=m),
    "prox_sgd": lambda m: prox_sgd(RATE, L1(STRENGTH), momentum=m),
    "prox_adam": lambda m: prox_adam(RATE, L1(STRENGTH), b1=m),
}


@pytest.mark.parametrize("name", MOMENTUM)
def test_states_keep_their_dtypes_when_momentum_is_mapped_over(name):
    w = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), PARAMS)

    def train(m):
        tx = MOMENTUM[name](m)
        state = tx.init(w)
        _, after = tx.update(jax.tree.map(jnp.ones_like, w), state, w)
        assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
        # Lanes in one compiled loop are what needs it.
        carry, _ = jax.lax.scan(lambda c, _: (tx.update(w, c, w)[1], None), state, None, length=2)
        return carry

    jax.eval_shape(jax.vmap(train), np.array([0.5, 0.9], np.float32))


def test_gradients_wider_than_the_weights_leave_the_state_as_it_is():
    w, tx = np.ones(3, jnp.bfloat16), adamw(RATE, STRENGTH)
    before = jax.eval_shape(tx.init, w)
    _, after = jax.eval_shape(tx.update, np.ones(3, np.float32), before, w)
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, before)


def test_the_strength_of_a_penalty_is_injected_through_a_function():
    make = optax.inject_hyperparams(
        lambda learning_rate, lambda_: prox_adam(learning_rate, L1(lambda_))
    )
    tx, plain = make(learning_rate=RATE, lambda_=STRENGTH), prox_adam(RATE, L1(STRENGTH))

    @jax.jit
    def first(w):
        state = tx.init(w)
        updates = [tx.update(w, state, w)[0], plain.update(w, plain.init(w), w)[0]]
        return state.hyperparams["lambda_"], updates

    strength, (found, expected) = first(PARAMS)
    assert float(strength) == pytest.approx(STRENGTH)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
