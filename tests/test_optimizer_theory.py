"""What is known of these optimizers, by proof or by formula, holds for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import brentq

from regjax import L0, L1, L2, Box, ElasticNet, GroupLasso, MaxNorm, NonNegative, UnitNorm, masks
from regjax.solvers import least_squares, proximal_gradient
from regjax.transforms import (
    adam_l2,
    adamc,
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
CURVATURE = np.array([0.5, 1.0, 4.0])
CENTRE = np.array([3.0, -0.5, 0.2])
START = np.array([1.0, -1.0, 0.5])


def slope(w):
    return CURVATURE * (w - CENTRE)


def descend(tx, start, n_steps, gradient=slope):
    """Return the parameters after every step; traces, so that callers may jit and map."""

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(gradient(w), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    start = jax.tree.map(jnp.asarray, start)
    return jax.lax.scan(step, (start, tx.init(start)), length=n_steps)[1]


def scaled_by(factors):
    """The direction `factors * g`: descent with a fixed diagonal preconditioner."""
    return optax.stateless(lambda g, _: jax.tree.map(lambda x: factors * x, g))


# --- Loshchilov and Hutter's three propositions ---

DECAY = 0.02


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_for_sgd_a_decay_per_step_is_l2_of_strength_decay_over_rate(momentum, x64):
    decay = sgdw(RATE, DECAY, scaled_by="schedule", momentum=momentum)
    l2 = sgd_l2(RATE, DECAY / RATE, momentum=momentum)
    gap = jnp.abs(descend(decay, START, 40) - descend(l2, START, 40)).max()
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

    def penalized(constant):
        def gradient(w):
            penalty = jax.grad(lambda w: constant * jnp.sum((w * jnp.sqrt(s)) ** 2))
            return (slope(w) + penalty(w)) / s

        return descend(optax.sgd(RATE), START, 60, gradient)

    expected = descend(decay, START, 60)
    np.testing.assert_allclose(penalized(DECAY / (2 * RATE)), expected, rtol=1e-12)
    # Without the half, without the rate.
    for wrong in (DECAY / RATE, DECAY / 2):
        assert jnp.abs(penalized(wrong) - expected).max() > 0.05


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

    start = jnp.asarray(start)
    return jax.jit(lambda g: jax.lax.scan(step, (start, tx.init(start)), g)[1])(gradients)


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
    plain = follow(tx, recorded())
    scaled = follow(tx, recorded() * np.array([1e-3, 1.0, 70.0]))
    gap = jnp.abs(plain - scaled).max()
    assert gap < 1e-12 if free else gap > 0.01


@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_larger_weights_with_larger_steps_and_less_decay_are_the_same_scaled_up(factor, x64):
    """On a scale-invariant loss, for rate and eps and strength as the weights' scale asks."""
    matrix = np.random.default_rng(1).normal(size=(6, 6))

    def gradient(w):
        return jax.grad(lambda w: (w @ matrix @ w) / (w @ w))(w)

    def path(c):
        tx = adamw(c * RATE, STRENGTH / c, eps=1e-3 / c)
        return descend(tx, c * np.arange(1.0, 7.0), 60, gradient)

    found, plain = path(factor), path(1.0)
    np.testing.assert_allclose(found, factor * plain, rtol=1e-10)
    assert jnp.abs(plain[-1] - plain[0]).max() > 0.3


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


@pytest.mark.parametrize("name", EQUILIBRIA)
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


# --- what prox_adam minimises, by another solver ---

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
    "elastic_net": ElasticNet(0.3, 0.6),
    "group_lasso": groups(0.2),
    "l1_and_group_lasso": L1(0.1) + groups(0.1),
    "l2_and_group_lasso": L2(0.1) + groups(0.2),
    "max_norm": MaxNorm(1.5, axis=None),
    "l1_and_max_norm": L1(0.1) + MaxNorm(1.5, axis=None),
    "box": Box(-0.5, 1.0),
}


@pytest.mark.parametrize("name", CONVEX)
def test_prox_adam_ends_at_the_minimiser_of_loss_and_penalty(name, x64):
    X, y = data()
    gram, cross = X.T @ X / 60, X.T @ y / 60
    penalty = CONVEX[name]
    tx = prox_adam(optax.exponential_decay(0.02, 1000, 0.3), penalty, b2=0.99)

    def both():
        end = descend(tx, np.zeros(N_FEATURES), 12_000, lambda w: gram @ w - cross)[-1]
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


@pytest.mark.parametrize("scale", [1e-2, 1.0, 30.0])
def test_steps_in_a_metric_of_any_spread_meet_their_optimality_condition(scale, x64):
    rng = np.random.default_rng(3)
    v, steps = scale * rng.normal(size=(40, 8)), 10.0 ** rng.uniform(-4, 4, size=(40, 8))
    rows = np.broadcast_to(np.arange(40)[:, None], (40, 8))
    w = np.asarray(GroupLasso(0.1, rows, 40, jnp.ones(40)).prox(jnp.asarray(v), steps))
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

    w = np.asarray(MaxNorm(0.5, axis=1).prox(jnp.asarray(v), steps))
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
    rows = jnp.asarray(v[:, None], dtype), jnp.asarray(steps[:, None], dtype)
    w = np.asarray(jax.lax.map(lambda row: prox(*row), rows)[:, 0], np.float64)
    outside = np.linalg.norm(v, axis=1) > 0.5
    assert outside.sum() > 30
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(np.linalg.norm(w[outside], axis=1), 0.5, rtol=tolerance)


def test_steps_far_smaller_than_the_weights_leave_them_alone():
    # The square of the ratio of weight to step overflows.
    v, steps = jnp.array([1e10, -2e10]), jnp.array([1e-12, 3e-12])
    found = GroupLasso(1.0, np.zeros(2, int), 1).prox(v, steps)
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
        return descend(tx, np.zeros(N_FEATURES), 12_000, lambda w: gram @ w - cross)[-1]

    np.testing.assert_allclose(jax.jit(end)(), ridge(mu), atol=1e-6)


def test_beside_adam_the_group_lasso_ends_elsewhere(x64):
    X, y = data()
    gram, cross = X.T @ X / 60, X.T @ y / 60
    rate = optax.exponential_decay(0.02, 500, 0.3)

    def end(make):
        tx = make(rate, groups(0.2), b2=0.99)
        return descend(tx, np.zeros(N_FEATURES), 6000, lambda w: gram @ w - cross)[-1]

    beside, inside = jax.jit(lambda: (end(prox_adamw), end(prox_adam)))()
    assert jnp.abs(beside - inside).max() > 0.01


# --- every optimizer ---

TREE = {
    "a": {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([1.0, -1.0])},
    "b": {"kernel": np.array([[-0.5, 0.0], [2.0, 0.25]])},
}
EVERY = {
    "sgd_l2": lambda s, **o: sgd_l2(RATE, s, momentum=0.9, **o),
    "sgdw": lambda s, **o: sgdw(RATE, s, momentum=0.9, nesterov=True, **o),
    "adam_l2": lambda s, **o: adam_l2(RATE, s, **o),
    "adamw": lambda s, **o: adamw(RATE, s, **o),
    "adamc": lambda s, **o: adamc(
        RATE, s, normalized=masks.everything, peak_learning_rate=0.1, **o
    ),
    "lionw": lambda s, **o: lionw(RATE, s, **o),
    "muonw": lambda s, **o: muonw(RATE, s, ns_steps=1, **o),
    "prox_sgd": lambda s, **o: prox_sgd(RATE, L1(s), momentum=0.5, **o),
    "prox_adam": lambda s, **o: prox_adam(RATE, L1(s) + L2(s), **o),
    "prox_adamw": lambda s, **o: prox_adamw(RATE, ElasticNet(s, 0.5), **o),
}


def push(w):
    return jax.tree.map(
        lambda x: 0.3 * x + jnp.cos(jnp.arange(x.size, dtype=x.dtype).reshape(x.shape)), w
    )


@pytest.mark.parametrize("name", EVERY)
def test_masks_equal_a_tree_split_by_hand_and_strengths_share_one_trace(name, x64):
    make, traces = EVERY[name], []

    @jax.jit
    def run(strength):
        traces.append(1)
        masked = make(strength, mask=masks.by_path("a/*"))
        return (
            descend(masked, TREE, 6, push),
            descend(make(strength, mask=masks.everything), TREE["a"], 6, push),
            descend(make(0.0, mask=masks.everything), TREE["b"], 6, push),
        )

    ends = []
    for strength in (0.0, 0.1, 0.4):
        whole, penalized, free = run(strength)
        for found, expected in ((whole["a"], penalized), (whole["b"], free)):
            for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)
        ends.append(whole["a"]["kernel"][-1])
    assert len(traces) == 1
    assert np.abs(ends[0] - ends[1]).max() > 1e-3
    assert np.abs(ends[1] - ends[2]).max() > 1e-3


SHAPE = (3, 2)
PENALTIES = {
    "l1": L1(STRENGTH),
    "l2": L2(STRENGTH),
    "elastic_net": ElasticNet(STRENGTH, 0.5),
    "l0": L0(STRENGTH),
    "non_negative": NonNegative(),
    "box": Box(-0.5, 0.5),
    "group_lasso": GroupLasso(STRENGTH, np.array([[0, 1]]), 2),
    "group_lasso_without_weight": GroupLasso(STRENGTH, np.array([[0, 1]]), 2, jnp.zeros(2)),
    "max_norm": MaxNorm(0.5, axis=0),
    "max_norm_of_zero": MaxNorm(0.0, axis=0),
    "unit_norm": UnitNorm(axis=0),
    "sum": L1(0.1) + L2(0.1) + GroupLasso(STRENGTH, np.array([[0, 1]]), 2),
}
FLAT = {
    "zeros, no gradient": (np.zeros(SHAPE), np.zeros(SHAPE)),
    "zeros": (np.zeros(SHAPE), np.ones(SHAPE)),
    "no gradient": (np.ones(SHAPE), np.zeros(SHAPE)),
    "a zero column": (np.array([[1.0, 0], [2, 0], [0, 0]]), np.array([[1.0, 0], [0, 0], [2, 0]])),
}


def finite_steps(optimizers, dtype):
    """Run every optimizer two steps on every problem, in one program."""
    starts, slopes = (
        jnp.asarray(np.stack([problem[i] for problem in FLAT.values()]), dtype) for i in (0, 1)
    )

    def two_steps(w, g):
        return [descend(tx, w, 2, lambda _: g)[-1] for tx in optimizers]

    ends = jax.jit(jax.vmap(two_steps))(starts, slopes)
    assert all(end.dtype == dtype for end in ends)
    return [np.isfinite(end).all(axis=(1, 2)).tolist() for end in ends]


def test_no_optimizer_makes_nan_of_zero_weights_or_zero_gradients(dtype):
    optimizers = {
        **{name: make(STRENGTH) for name, make in EVERY.items()},
        "target_norm": adamw(RATE, STRENGTH, target_norm=1.0, cautious=True),
        "lionw, target_norm": lionw(RATE, STRENGTH, target_norm=0.0),
    }
    found = finite_steps(optimizers.values(), dtype)
    assert dict(zip(optimizers, found, strict=True)) == dict.fromkeys(optimizers, [True] * 4)


@pytest.mark.parametrize("make", [prox_sgd, prox_adam, prox_adamw])
def test_no_penalty_makes_nan_of_zero_groups_or_zero_gradients(make, dtype):
    names = [name for name in PENALTIES if make is not prox_adam or name != "unit_norm"]
    found = finite_steps([make(RATE, PENALTIES[name]) for name in names], dtype)
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, [True] * 4)


@pytest.mark.parametrize("name", ["group_lasso", "max_norm", "box", "sum"])
def test_strengths_inside_penalties_share_one_trace(name, x64):
    traces = []
    make = {
        "group_lasso": groups,
        "max_norm": lambda s: MaxNorm(s, axis=None),
        "box": lambda s: Box(-s, s),
        "sum": lambda s: L1(s) + groups(s),
    }[name]

    @jax.jit
    def run(strength):
        traces.append(1)
        start = np.linspace(-2, 2, N_FEATURES)
        return [
            descend(tx(RATE, make(strength)), start, 4, lambda w: w - 3.0)[-1]
            for tx in (prox_sgd, prox_adam, prox_adamw)
        ]

    weak, strong = run(0.5), run(1.0)
    assert len(traces) == 1
    assert all(jnp.abs(a - b).max() > 1e-3 for a, b in zip(weak, strong, strict=True))
