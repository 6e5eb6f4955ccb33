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
from quick import quick

from regjax import masks
from regjax.transforms import adamw, muon_direction, muonw

STRENGTH = 0.3
RNG = np.random.default_rng(0)
TREE = {
    "dense": {"kernel": RNG.normal(size=(3, 2)), "bias": RNG.normal(size=2)},
    "head": [RNG.normal(size=(2, 4)), RNG.normal(size=())],
    "norm": {"scale": RNG.normal(size=(2,))},
}
NUMBERS = MuonDimensionNumbers()


def rate(k):
    return 0.1 - 0.0075 * k


def run(tx, start, n_steps=12):
    """Return the parameters after steps along gradients that differ from leaf to leaf."""
    leaves, structure = jax.tree.flatten(start)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = structure.unflatten(
        [
            jax.random.normal(k, (n_steps, *np.shape(x)), x.dtype)
            for k, x in zip(keys, leaves, strict=True)
        ]
    )

    def step(carry, z):
        w, state = carry
        g = jax.tree.map(lambda x, e: 0.3 * x + e, w, z)
        updates, state = tx.update(g, state, w)
        return (optax.apply_updates(w, updates), state), None

    def whole(w):
        return jax.lax.scan(step, (w, tx.init(w)), noise)[0][0]

    return jax.jit(whole)(start)


def tree():
    return jax.tree.map(jnp.asarray, TREE)


def assert_equal(a, b, tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def optax_muon(rate, strength, **options):
    return optax.contrib.muon(rate, weight_decay=strength, adam_weight_decay=strength, **options)


OPTIONS = {
    "defaults": {},
    "momentum": {"nesterov": False, "beta": 0.8, "adam_b1": 0.5, "adam_b2": 0.9},
    "scale": {"ns_steps": 2, "eps": 1e-2, "consistent_rms": 0.2},
}


@functools.cache
def ends(**options):
    """Return where `muonw` ends with these options, in float64."""
    return run(muonw(rate, STRENGTH, mask=masks.everything, **options), tree())


@pytest.mark.parametrize("name", quick(OPTIONS, "scale"))
def test_muonw_is_muon_of_optax_with_decay_on_both_parts(name, x64):
    ours = ends(**OPTIONS[name])
    assert_equal(ours, run(optax_muon(rate, STRENGTH, **OPTIONS[name]), tree()), 1e-12)
    if name != "defaults":
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(ends()), strict=True)
        assert max(np.abs(x - y).max() for x, y in pairs) > 1e-3


def test_adam_scale_is_adams_rate_relative_to_muons(x64):
    ours = ends(adam_scale=0.1)
    # The decay goes by Muon's rate on Adam's leaves too.
    theirs = optax.contrib.muon(
        rate,
        weight_decay=STRENGTH,
        adam_weight_decay=10 * STRENGTH,
        adam_learning_rate=lambda k: 0.1 * rate(k),
    )
    assert_equal(ours, run(theirs, tree()), 1e-12)
    assert_equal(ours["dense"]["kernel"], ends()["dense"]["kernel"], 1e-14)
    assert np.abs(ours["dense"]["bias"] - ends()["dense"]["bias"]).min() > 1e-3


@pytest.mark.parametrize(
    "given",
    [
        {"dense": {"kernel": NUMBERS, "bias": None}, "head": None, "norm": None},
        {"dense": {"kernel": NUMBERS, "bias": None}, "head": [None, None], "norm": None},
        lambda p: jax.tree.map_with_path(
            lambda path, x: NUMBERS if "kernel" in jax.tree_util.keystr(path) else None, p
        ),
    ],
    ids=["prefix", "tree", "function"],
)
def test_given_dimension_numbers_say_which_leaves_are_matrices(given, x64):
    everything = {"mask": masks.everything}
    found = ends_given(given)
    by_adam = run(adamw(rate, STRENGTH, nesterov=True, **everything), tree())
    assert_equal(found["dense"]["kernel"], ends()["dense"]["kernel"], 1e-14)
    assert_equal(found["head"], by_adam["head"], 1e-14)
    assert_equal(found["norm"], by_adam["norm"], 1e-14)
    assert np.abs(ends()["head"][0] - by_adam["head"][0]).max() > 1e-2


def ends_given(numbers):
    tx = muonw(rate, STRENGTH, mask=masks.everything, weight_dimension_numbers=numbers)
    return run(tx, tree())


@pytest.mark.slow
def test_axes_may_be_given_for_leaves_of_more_dimensions(x64):
    start = {"kernel": jnp.asarray(RNG.normal(size=(2, 3, 2, 4))), "bias": jnp.ones(4)}
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


@pytest.mark.parametrize("given", quick([None, "numbers", "function"], None, "function"))
def test_callable_equinox_modules_are_trees_and_not_functions(given, x64):
    model = eqx.nn.MLP(2, 3, 4, 0, key=jax.random.key(0))
    params, rest = eqx.partition(model, eqx.is_inexact_array)
    assert callable(params)

    def numbers(p):
        return jax.tree.map(lambda x: NUMBERS if x.ndim == 2 else None, p)

    option = {None: None, "numbers": numbers(params), "function": numbers}[given]
    tx = muonw(rate, STRENGTH, mask=masks.everything, weight_dimension_numbers=option)
    ours = run(tx, params)
    # That of optax sees a list of the same arrays; Equinox's matrices are (outputs, inputs).
    flipped = {} if given else {"muon_weight_dimension_numbers": [MuonDimensionNumbers(1, 0), None]}
    theirs = run(optax_muon(rate, STRENGTH, **flipped), jax.tree.leaves(params))
    assert_equal(jax.tree.leaves(ours), theirs, 1e-12)
    assert eqx.combine(ours, rest)(jnp.ones(2)).shape == (3,)


def test_a_layer_has_the_shape_factor_of_its_inputs_and_outputs_in_every_library(x64):
    g = jax.random.normal(jax.random.key(0), (3, 12))
    direction = muon_direction()

    def singular(tree, gradient):
        found, _ = direction.update(gradient, direction.init(tree), tree)
        return np.linalg.svd(jax.tree.leaves(found)[0])[1]

    layer = eqx.filter(
        eqx.nn.Linear(3, 12, use_bias=False, key=jax.random.key(1)), eqx.is_inexact_array
    )
    flax = singular({"kernel": jnp.zeros((3, 12))}, {"kernel": g})
    equinox = singular(layer, jax.tree.map(lambda _: g.T, layer))
    np.testing.assert_allclose(equinox, flax, rtol=1e-9)
    assert np.all((flax > 2 * 0.6) & (flax < 2 * 1.25))


def test_biases_norms_and_other_leaves_go_to_adam_by_name():
    start = {
        "norm": {"scale": jnp.ones((2, 2))},
        "dense": {"bias": jnp.ones((2, 2)), "kernel": 2 * jnp.eye(2)},
        "steps": jnp.ones((2, 2), jnp.int32),
    }
    g = jax.tree.map(lambda x: jnp.array([[1.0, 2.0], [0.0, 1.0]]).astype(x.dtype), start)
    direction = muon_direction(nesterov=False)
    found, _ = jax.jit(direction.update)(g, direction.init(start), start)
    for leaf in (found["norm"]["scale"], found["dense"]["bias"], found["steps"]):
        np.testing.assert_allclose(leaf, np.sign(g["dense"]["kernel"]), atol=1e-4)
    assert np.abs(found["dense"]["kernel"] - np.sign(g["dense"]["kernel"])).max() > 0.1
    # Descent: as a direction it is subtracted.
    assert np.sum(found["dense"]["kernel"] * g["dense"]["kernel"]) > 0


# --- what it does ---


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
def test_the_direction_has_singular_values_near_one_times_the_shape_factor(shape):
    g = jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)
    factor = np.sqrt(max(1, shape[1] / shape[0]))
    for options, scale in (({}, factor), ({"consistent_rms": 0.2}, 0.2 * np.sqrt(max(shape)))):
        direction = muon_direction(**options)
        d, _ = direction.update(g, direction.init(g), g)
        values = np.linalg.svd(d, compute_uv=False) / scale
        assert values.min() > 0.5
        assert values.max() < 1.3
    # It keeps the singular vectors of the gradient.
    u, _, vt = np.linalg.svd(np.asarray(g), full_matrices=False)
    inner = u.T @ np.asarray(d) @ vt.T
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4)


def test_consistent_rms_gives_steps_of_that_size(x64):
    # Of an orthogonal matrix (n, m) the root mean square is 1 / sqrt(max(n, m)).
    g = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)))
    direction = muon_direction(consistent_rms=0.2, ns_steps=12, ns_coeffs=(1.5, -0.5, 0.0))
    d, _ = direction.update(g, direction.init(g), g)
    assert float(jnp.sqrt(jnp.mean(d**2))) == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "strength"), [((3, 6), 2.0), pytest.param((4, 4), 0.5, marks=pytest.mark.slow)]
)
def test_decay_bounds_the_spectral_norm_by_that_of_the_direction_over_the_strength(
    shape, strength, x64
):
    """A linear loss pushes for ever; without decay the norm would grow without bound."""
    rng = np.random.default_rng(3)
    g = jnp.asarray(rng.normal(size=shape))
    direction = muon_direction()
    d, _ = direction.update(g, direction.init(g), g)
    bound = np.linalg.norm(d, 2) / strength
    starts = jnp.asarray(rng.normal(size=(2, *shape)) * np.array([0.01, 3.0])[:, None, None])

    def path(start, decay):
        tx = muonw(0.02, decay)

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(g, state, w)
            w = w + updates
            return (w, state), jnp.linalg.norm(w, 2)

        (w, _), norms = jax.lax.scan(step, (start, tx.init(start)), length=1500)
        return w, norms

    ends, norms = jax.jit(jax.vmap(path, (0, None)))(starts, strength)
    from_small, from_large = norms
    # What is added to the norm of the momentum makes the first directions a little longer.
    assert (from_small <= bound * (1 + 1e-7)).all()
    assert from_large[0] > bound
    # Every step keeps 1 - lr lambda of what lies outside.
    excess = np.maximum(from_large[0] - bound, 0) * (1 - 0.02 * strength) ** np.arange(1500)
    assert (from_large <= bound + excess + 1e-9).all()
    np.testing.assert_allclose(ends[0], -d / strength, atol=1e-5)
    assert jax.jit(path)(starts[0], 0.0)[1][-1] > 4 * bound


# --- under the transformations of JAX and optax ---


def test_strengths_map_in_one_trace():
    traces = []

    def final(strength):
        traces.append(1)
        return run(muonw(0.05, strength, ns_steps=2), tree(), 4)["dense"]["kernel"]

    lanes = jax.jit(jax.vmap(final))(jnp.array([0.0, 0.5]))
    assert len(traces) == 1
    np.testing.assert_allclose(lanes[1], final(0.5), rtol=1e-4, atol=1e-5)
    assert np.abs(lanes[0] - lanes[1]).max() > 1e-2


def test_numbers_are_injected_where_the_iterations_are_static(x64):
    make = optax.inject_hyperparams(muonw, static_args="ns_steps")
    injected = make(rate, STRENGTH, mask=masks.everything, **OPTIONS["scale"])
    hyperparams = injected.init(tree()).hyperparams
    assert {"learning_rate", "lambda_", "adam_scale", "consistent_rms"} <= set(hyperparams)
    assert_equal(run(injected, tree()), ends(**OPTIONS["scale"]), 1e-12)


def test_bfloat16_is_kept():
    start = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), TREE)
    found = run(muonw(rate, STRENGTH, ns_steps=2), start, 4)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.bfloat16)}
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves(found))


def test_zero_gradients_and_zero_weights_give_no_nan():
    zeros = jax.tree.map(lambda x: jnp.zeros(np.shape(x)), TREE)
    tx = muonw(rate, STRENGTH)
    updates, _ = jax.jit(tx.update)(zeros, tx.init(zeros), zeros)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(updates))


def test_faulty_calls_raise():
    w = jnp.ones((2, 2))
    direction = muon_direction()
    with pytest.raises(ValueError, match="params"):
        direction.update(w, direction.init(w))
    with pytest.raises(ValueError, match="lambda_ must be at least 0"):
        muonw(rate, -0.1)
    wrong = {"kernel": NUMBERS, "other": None}
    with pytest.raises(ValueError, match="structure"):
        muonw(rate, STRENGTH, weight_dimension_numbers=wrong).init({"kernel": w})
    with pytest.raises(ValueError, match="rank >= 2"):
        run(muonw(rate, STRENGTH, weight_dimension_numbers=NUMBERS), jnp.ones(2))
