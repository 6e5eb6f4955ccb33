"""What is known of these optimizers, by proof or by formula, holds for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optimizer_problems import walk
from quick import quick

from regjax import L1, masks
from regjax.transforms import (
    adam_l2,
    adamc,
    adamw,
    coupled_l2,
    decoupled_weight_decay,
    lionw,
    prox_adam,
    prox_adamw,
    sgd_l2,
    sgdw,
)

RATE, STRENGTH = 0.05, 0.3
CURVATURE = np.array([0.5, 1.0, 4.0])
CENTRE = np.array([3.0, -0.5, 0.2])
START = np.array([1.0, -1.0, 0.5])


def slope(w):
    return CURVATURE * (w - CENTRE)


def descend(tx, start, n_steps, gradient=slope):
    """Return the parameters after every step; traces, so that callers may jit and map."""
    return walk(tx, start, n_steps, gradient)


def scaled_by(factors):
    """The direction `factors * g`: descent with a fixed diagonal preconditioner."""
    return optax.stateless(lambda g, _: jax.tree.map(lambda x: factors * x, g))


# --- Loshchilov and Hutter's three propositions ---

DECAY = 0.02


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_for_sgd_a_decay_per_step_is_l2_of_strength_decay_over_rate(momentum, x64):
    decay = sgdw(RATE, DECAY, scaled_by="schedule", momentum=momentum)
    l2 = sgd_l2(RATE, DECAY / RATE, momentum=momentum)
    found, expected = jax.jit(lambda w: [descend(tx, w, 40) for tx in (decay, l2)])(START)
    gap = np.abs(found - expected).max()
    # The proposition is about plain SGD.
    assert gap < 1e-14 if momentum is None else gap > 1e-3


@pytest.mark.parametrize(
    ("direction", "equal"),
    [
        (scaled_by(np.full(3, 2.0)), True),
        (scaled_by(np.array([1.0, 2.0, 4.0])), False),
        (optax.scale_by_adam(), False),
    ],
    ids=["multiple_of_the_identity", "diagonal", "adam"],
)
def test_no_strength_of_l2_follows_decay_unless_all_coordinates_are_scaled_alike(
    direction, equal, x64
):
    decay = decoupled_weight_decay(direction, RATE, DECAY, scaled_by="schedule")
    # Relative to decay over rate; one half belongs to the preconditioner of 2.
    grid = np.append(np.geomspace(0.01, 100, 400), 0.5)

    def gap(factor):
        l2 = optax.chain(coupled_l2(factor * DECAY / RATE), direction, optax.scale(-RATE))
        return jnp.abs(descend(l2, START, 40) - descend(decay, START, 40)).max()

    gaps = jax.jit(jax.vmap(gap))(grid)
    assert gaps.min() < 1e-14 if equal else gaps.min() > 0.01


def test_with_a_fixed_preconditioner_decay_is_l2_weighted_by_its_inverse(x64):
    """The penalty `decay / (2 rate) ||w sqrt(s)||^2`, with gradients divided by `s`."""
    s = np.array([0.5, 1.0, 3.0])
    decay = decoupled_weight_decay(scaled_by(1 / s), RATE, DECAY, scaled_by="schedule")

    @jax.jit
    def penalized(constant):
        def gradient(w):
            penalty = jax.grad(lambda w: constant * jnp.sum((w * jnp.sqrt(s)) ** 2))
            return (slope(w) + penalty(w)) / s

        return descend(optax.sgd(RATE), START, 60, gradient)

    expected = jax.jit(lambda w: descend(decay, w, 60))(START)
    np.testing.assert_allclose(penalized(DECAY / (2 * RATE)), expected, rtol=1e-12)
    # Without the half, without the rate.
    for wrong in (DECAY / RATE, DECAY / 2):
        assert np.abs(penalized(wrong) - expected).max() > 0.05


# --- scales ---


@functools.cache
def recorded():
    return np.random.default_rng(0).normal(size=(40, 3)) + np.array([0.5, 0.0, -0.2])


def follow(tx, gradients, start=START):
    """Return the parameters after every step along gradients that do not depend on them."""

    def step(carry, g):
        w, state = carry
        updates, state = tx.update(g, state, w)
        w = w + updates
        return (w, state), w

    return jax.lax.scan(step, (start, tx.init(start)), gradients)[1]


FREE_OF_SCALE = {
    "adamw": (adamw(RATE, STRENGTH, eps=0.0), True),
    "lionw": (lionw(RATE, STRENGTH), True),
    "adamc": (adamc(RATE, STRENGTH, eps=0.0, normalized=masks.everything), True),
    "cautious": (adamw(RATE, STRENGTH, eps=0.0, cautious=True), True),
    "prox_adamw": (prox_adamw(RATE, L1(STRENGTH), eps=0.0), True),
    "adam_l2": (adam_l2(RATE, STRENGTH, eps=0.0), False),
    "prox_adam": (prox_adam(RATE, L1(STRENGTH), eps=0.0), False),
    "sgdw": (sgdw(RATE, STRENGTH), False),
}


@pytest.mark.parametrize("name", FREE_OF_SCALE)
def test_decay_beside_adam_does_not_feel_the_scale_of_gradients_and_l2_inside_does(name, x64):
    tx, free = FREE_OF_SCALE[name]
    lanes = np.stack([recorded(), recorded() * np.array([1e-3, 1.0, 70.0])])
    plain, scaled = jax.jit(jax.vmap(lambda g: follow(tx, g)))(lanes)
    gap = np.abs(plain - scaled).max()
    assert gap < 1e-12 if free else gap > 0.01


def test_larger_weights_with_larger_steps_and_less_decay_are_the_same_scaled_up(x64):
    """On a scale-invariant loss, for rate and eps and strength as the weights' scale asks."""
    matrix = np.random.default_rng(1).normal(size=(6, 6))

    def gradient(w):
        return jax.grad(lambda w: (w @ matrix @ w) / (w @ w))(w)

    def path(c):
        tx = adamw(c * RATE, STRENGTH / c, eps=1e-3 / c)
        return descend(tx, c * np.arange(1.0, 7.0), 60, gradient)

    factors = np.array([1.0, 0.1, 7.0])
    plain, *scaled = jax.jit(jax.vmap(path))(factors)
    for factor, found in zip(factors[1:], scaled, strict=True):
        np.testing.assert_allclose(found, factor * plain, rtol=1e-10)
    assert np.abs(plain[-1] - plain[0]).max() > 0.3


# --- rotational equilibrium ---

DIMENSION = 128
EQUILIBRIA = {
    # Optimizer; norm and rotation per step as predicted (Kosson and others 2024).
    "sgd_l2": (
        sgd_l2(0.1, 0.01, momentum=0.9),
        (0.1 / (2 * 0.01 * (1 - 0.9))) ** 0.25,
        np.sqrt(2 * 0.1 * 0.01 / (1 + 0.9)),
    ),
    # Decay that does not pass through the momentum is weaker by 1 - momentum.
    "sgdw": (
        sgdw(0.1, 0.05, momentum=0.9),
        (0.1 / (2 * 0.05 * (1 - 0.9) ** 2)) ** 0.25,
        np.sqrt(2 * 0.1 * 0.05 * (1 - 0.9) / (1 + 0.9)),
    ),
    "adamw": (
        adamw(0.02, 0.1, b2=0.99, eps=0.0),
        np.sqrt(0.02 * DIMENSION / (2 * 0.1)),
        np.sqrt(2 * 0.02 * 0.1 * (1 - 0.9) / (1 + 0.9)),
    ),
}


@pytest.mark.parametrize("name", quick(EQUILIBRIA, "adamw"))
def test_norm_and_rotation_settle_where_the_theory_of_rotational_equilibrium_says(name, x64):
    """Gradients are random, orthogonal to `w` and inversely proportional to its norm."""
    tx, norm, rotation = EQUILIBRIA[name]

    def lane(key):
        def step(carry, key):
            w, state = carry
            length = jnp.sqrt(w @ w)
            g = jax.random.normal(key, (DIMENSION,)) / np.sqrt(DIMENSION)
            g = (g - w * (g @ w) / length**2) / length
            updates, state = tx.update(g, state, w)
            after = w + updates
            cosine = (w @ after) / (length * jnp.sqrt(after @ after))
            return (after, state), (length, jnp.arccos(cosine))

        w = norm * jax.random.normal(key, (DIMENSION,)) / np.sqrt(DIMENSION)
        return jax.lax.scan(step, (w, tx.init(w)), jax.random.split(key, 2500))[1]

    lengths, angles = jax.jit(jax.vmap(lane))(jax.random.split(jax.random.key(0), 8))
    assert np.mean(lengths[:, 1000:]) == pytest.approx(norm, rel=0.05)
    assert np.mean(angles[:, 1000:]) == pytest.approx(rotation, rel=0.05)
