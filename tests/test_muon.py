"""Muon's direction and `muonw` against `optax.contrib.muon` and against its spectral bound."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from optax.contrib import MuonDimensionNumbers

from regjax import masks
from regjax.transforms import adamw, muon_direction, muonw

STRENGTH = 0.3
RNG = np.random.default_rng(0)
TREE = {
    "dense": {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)},
    "head": [RNG.normal(size=(2, 4)), np.array(RNG.normal())],
    "norm": {"scale": RNG.normal(size=(2,))},
}
NUMBERS = MuonDimensionNumbers()


def rate(k):
    return 0.1 - 0.0075 * k


def run(tx, start, n_steps=12):
    """Return the parameters after steps along gradients that differ from leaf to leaf."""
    rng = np.random.default_rng(1)
    noise = jax.tree.map(lambda x: rng.normal(size=(n_steps, *x.shape)).astype(x.dtype), start)

    def step(carry, z):
        w, state = carry
        g = jax.tree.map(lambda x, e: 0.3 * x + e, w, z)
        updates, state = tx.update(g, state, w)
        return (optax.apply_updates(w, updates), state), None

    def whole(w, noise):
        return jax.lax.scan(step, (w, tx.init(w)), noise)[0][0]

    return jax.jit(whole)(start, noise)


def direct(direction, gradients, params):
    """Return the first direction, compiled as a whole."""
    return jax.jit(lambda g, w: direction.update(g, direction.init(w), w)[0])(gradients, params)


def layout(tx, params):
    """Return the structure of the state, which tells the leaves of Muon from those of Adam."""
    return jax.tree.structure(jax.eval_shape(tx.init, params))


def assert_equal(a, b, tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def optax_muon(rate, strength, **options):
    return optax.contrib.muon(rate, weight_decay=strength, adam_weight_decay=strength, **options)


OPTIONS = {
    "nesterov": False,
    "beta": 0.8,
    "adam_b1": 0.5,
    "adam_b2": 0.9,
    "ns_steps": 2,
    "eps": 1e-2,
    "consistent_rms": 0.2,
}


@functools.cache
def ends(**options):
    """Return where `muonw` ends with these options, in float64."""
    return run(muonw(rate, STRENGTH, mask=masks.everything, **options), TREE)


def test_muonw_is_muon_of_optax_with_decay_on_both_parts(x64):
    ours = ends(**OPTIONS)
    assert_equal(ours, run(optax_muon(rate, STRENGTH, **OPTIONS), TREE), 1e-12)
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(ends()), strict=True)
    assert min(np.abs(x - y).max() for x, y in pairs) > 1e-3


def test_adam_scale_is_adams_rate_relative_to_muons(x64):
    ours = ends(adam_scale=0.1)
    # The decay goes by Muon's rate on Adam's leaves too.
    theirs = optax.contrib.muon(
        rate,
        weight_decay=STRENGTH,
        adam_weight_decay=10 * STRENGTH,
        adam_learning_rate=lambda k: 0.1 * rate(k),
    )
    assert_equal(ours, run(theirs, TREE), 1e-12)
    assert_equal(ours["dense"]["kernel"], ends()["dense"]["kernel"], 1e-14)
    assert np.abs(ours["dense"]["bias"] - ends()["dense"]["bias"]).min() > 1e-3


def test_given_dimension_numbers_say_which_leaves_are_matrices(x64):
    def given(params):
        return jax.tree.map_with_path(
            lambda path, x: NUMBERS if "kernel" in jax.tree_util.keystr(path) else None, params
        )

    everything = {"mask": masks.everything}
    tx = muonw(rate, STRENGTH, weight_dimension_numbers=given, **everything)
    found = run(tx, TREE)
    by_adam = run(adamw(rate, STRENGTH, nesterov=True, **everything), TREE)
    assert_equal(found["dense"]["kernel"], ends()["dense"]["kernel"], 1e-14)
    assert_equal(found["head"], by_adam["head"], 1e-14)
    assert_equal(found["norm"], by_adam["norm"], 1e-14)
    assert np.abs(ends()["head"][0] - by_adam["head"][0]).max() > 1e-2
    # As a tree and as a prefix of one they say the same.
    assert layout(tx, TREE) != layout(muonw(rate, STRENGTH, **everything), TREE)
    for head in ([None, None], None):
        numbers = {"dense": {"kernel": NUMBERS, "bias": None}, "head": head, "norm": None}
        other = muonw(rate, STRENGTH, weight_dimension_numbers=numbers, **everything)
        assert layout(other, TREE) == layout(tx, TREE)


@pytest.mark.slow
def test_axes_may_be_given_for_leaves_of_more_dimensions(x64):
    start = {"kernel": RNG.normal(size=(2, 3, 2, 4)), "bias": np.ones(4)}
    axes = MuonDimensionNumbers((0, 1, 2), 3)
    given = {"kernel": axes, "bias": None}
    found = run(muonw(rate, STRENGTH, weight_dimension_numbers=given), start)
    no_bias = {"kernel": True, "bias": False}
    optax_tree = optax.contrib.muon(
        rate, weight_decay=STRENGTH, muon_weight_dimension_numbers=given, weight_decay_mask=no_bias
    )
    assert_equal(found, run(optax_tree, start), 1e-12)
    # Convolutions are left to Adam unless their axes are named.
    by_adam = run(adamw(rate, STRENGTH, nesterov=True), start)
    assert_equal(run(muonw(rate, STRENGTH), start), by_adam, 1e-14)


def matrices(params):
    return jax.tree.map(lambda x: NUMBERS if x.ndim == 2 else None, params)


def test_callable_equinox_modules_are_trees_and_not_functions(x64):
    model = eqx.nn.MLP(2, 3, 4, 0, key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    assert callable(params)
    tx = muonw(rate, STRENGTH, mask=masks.everything)
    ours = run(tx, params)
    # That of optax sees a list of the same arrays; Equinox's matrices are (outputs, inputs).
    flipped = {"muon_weight_dimension_numbers": [MuonDimensionNumbers(1, 0), None]}
    theirs = run(optax_muon(rate, STRENGTH, **flipped), jax.tree.leaves(params))
    assert_equal(jax.tree.leaves(ours), theirs, 1e-12)
    assert eqx.combine(ours, rest)(np.ones(2)).shape == (3,)
    # A tree of numbers is callable too.
    for given in (matrices(params), matrices):
        other = muonw(rate, STRENGTH, mask=masks.everything, weight_dimension_numbers=given)
        assert layout(other, params) == layout(tx, params)


def test_a_layer_has_the_shape_factor_of_its_inputs_and_outputs_in_every_library(x64):
    g = np.random.default_rng(0).normal(size=(3, 12))
    layer = eqx.filter(
        eqx.nn.Linear(3, 12, use_bias=False, key=jax.random.key(1)), eqx.is_inexact_array
    )
    plain, given = muon_direction(), muon_direction(weight_dimension_numbers=matrices)
    cases = [
        (plain, {"weight": g}),
        (plain, jax.tree.map(lambda _: g.T, layer)),
        (given, jax.tree.map(lambda _: g.T, layer)),
    ]

    def directions(gradients):
        return [tx.update(g, tx.init(g), g)[0] for (tx, _), g in zip(cases, gradients, strict=True)]

    found = jax.jit(directions)([tree for _, tree in cases])
    flat, equinox, by_rows = (
        np.linalg.svd(leaf, compute_uv=False) for leaf in jax.tree.leaves(found)
    )
    np.testing.assert_allclose(equinox, flat, rtol=1e-9)
    assert np.all((flat > 2 * 0.6) & (flat < 2 * 1.25))
    # Said to be (inputs, outputs), it is one of fewer outputs than inputs.
    np.testing.assert_allclose(by_rows, flat / 2, rtol=1e-9)


def test_biases_norms_and_other_leaves_go_to_adam_by_name():
    square = np.array([[1.0, 2.0], [0.0, 1.0]], np.float32)
    start = {
        "norm": {"scale": np.ones_like(square)},
        "dense": {"bias": np.ones_like(square), "kernel": 2 * np.eye(2, dtype=np.float32)},
        "steps": np.ones((2, 2), np.int32),
    }
    g = jax.tree.map(lambda x: square.astype(x.dtype), start)
    found = direct(muon_direction(nesterov=False), g, start)
    for leaf in (found["norm"]["scale"], found["dense"]["bias"], found["steps"]):
        np.testing.assert_allclose(leaf, np.sign(square), atol=1e-4)
    kernel = np.asarray(found["dense"]["kernel"])
    assert np.abs(kernel - np.sign(square)).max() > 0.1
    # Descent: as a direction it is subtracted.
    assert np.sum(kernel * square) > 0


# --- what it does ---


def test_the_direction_has_singular_values_near_one_times_the_shape_factor():
    rng = np.random.default_rng(1)
    g = [{"w": rng.normal(size=shape).astype(np.float32)} for shape in ((4, 4), (6, 3), (3, 6))]
    for options, scale in (
        ({}, lambda inputs, outputs: np.sqrt(max(1, outputs / inputs))),
        ({"consistent_rms": 0.2}, lambda inputs, outputs: 0.2 * np.sqrt(max(inputs, outputs))),
    ):
        found = direct(muon_direction(**options), g, g)
        for matrix, d in zip(jax.tree.leaves(g), jax.tree.leaves(found), strict=True):
            values = np.linalg.svd(d, compute_uv=False) / scale(*matrix.shape)
            assert values.min() > 0.5
            assert values.max() < 1.3
            # It keeps the singular vectors of the gradient.
            u, _, vt = np.linalg.svd(matrix, full_matrices=False)
            inner = u.T @ np.asarray(d) @ vt.T
            np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4)


def test_consistent_rms_gives_steps_of_that_size(x64):
    # Of an orthogonal matrix (n, m) the root mean square is 1 / sqrt(max(n, m)).
    g = np.random.default_rng(2).normal(size=(5, 3))
    d = direct(muon_direction(consistent_rms=0.2, ns_steps=12, ns_coeffs=(1.5, -0.5, 0.0)), g, g)
    assert np.sqrt(np.mean(np.square(d))) == pytest.approx(0.2, rel=1e-6)


def test_decay_bounds_the_spectral_norm_by_that_of_the_direction_over_the_strength(x64):
    """A linear loss pushes for ever; without decay the norm would grow without bound."""
    rng, strength = np.random.default_rng(3), 2.0
    g, start = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0, None))
    def path(start, decay, g):
        tx = muonw(0.02, decay)

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(g, state, w)
            w = w + updates
            return (w, state), w

        return jax.lax.scan(step, (start, tx.init(start)), length=1500)[1]

    starts = np.stack([0.01 * start, 3 * start, 0.01 * start])
    paths = path(starts, np.array([strength, strength, 0.0]), g)
    d = direct(muon_direction(), g, g)
    bound = np.linalg.norm(d, 2) / strength
    from_small, from_large, free = np.linalg.norm(paths, 2, axis=(2, 3))
    # What is added to the norm of the momentum makes the first directions a little longer.
    assert (from_small <= bound * (1 + 1e-7)).all()
    assert from_large[0] > bound
    # Every step keeps 1 - lr lambda of what lies outside.
    excess = np.maximum(from_large[0] - bound, 0) * (1 - 0.02 * strength) ** np.arange(1500)
    assert (from_large <= bound + excess + 1e-9).all()
    np.testing.assert_allclose(paths[0, -1], -d / strength, atol=1e-5)
    assert free[-1] > 4 * bound


# --- under the transformations of JAX and optax ---


def test_strengths_map_in_one_trace(x64):
    traces = []

    def final(strength):
        traces.append(1)
        return run(muonw(rate, strength, mask=masks.everything), TREE)

    lanes = jax.jit(jax.vmap(final))(np.array([0.0, STRENGTH]))
    assert len(traces) == 1
    assert_equal(jax.tree.map(lambda x: x[1], lanes), ends(), 1e-12)
    kernels = lanes["dense"]["kernel"]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-2


def test_numbers_are_injected_where_the_iterations_are_static(x64):
    make = optax.inject_hyperparams(muonw, static_args="ns_steps")
    injected = make(rate, STRENGTH, mask=masks.everything, **OPTIONS)
    hyperparams = jax.eval_shape(injected.init, TREE).hyperparams
    assert {"learning_rate", "lambda_", "adam_scale", "consistent_rms"} <= set(hyperparams)
    assert_equal(run(injected, TREE), ends(**OPTIONS), 1e-12)


def test_bfloat16_is_kept():
    start = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), TREE)
    found = run(muonw(rate, STRENGTH, ns_steps=2), start, 4)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves(found))


def test_zero_gradients_and_zero_weights_give_no_nan():
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), TREE)
    updates = direct(muonw(rate, STRENGTH), zeros, zeros)
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(updates))


def test_faulty_calls_raise():
    w = np.ones((2, 2))
    direction = muon_direction()
    with pytest.raises(ValueError, match="params"):
        direction.update(w, direction.init(w))
    with pytest.raises(ValueError, match="lambda_ must be at least 0"):
        muonw(rate, -0.1)
    wrong = {"kernel": NUMBERS, "other": None}
    with pytest.raises(ValueError, match="structure"):
        muonw(rate, STRENGTH, weight_dimension_numbers=wrong).init({"kernel": w})
    with pytest.raises(ValueError, match="rank >= 2"):
        run(muonw(rate, STRENGTH, weight_dimension_numbers=NUMBERS), np.ones(2))
