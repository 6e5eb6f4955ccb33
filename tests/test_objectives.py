"""Penalties added to a loss, on parameters and on activations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from problems import assert_close

from regjax import L0, L1, L2, activation_l1, activation_l2, masks, penalized_loss

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3))
Y = RNG.normal(size=(8, 2))


def parameters(dtype):
    return {
        "dense": {
            "kernel": np.random.default_rng(1).normal(size=(3, 2)).astype(dtype),
            "bias": np.array([0.5, -2.0], dtype),
        }
    }


def loss_fn(params, X, y, *, scale=1.0):
    dense = params["dense"]
    return scale * jnp.mean(jnp.square(X @ dense["kernel"] + dense["bias"] - y)) / 2


plain_loss = jax.jit(loss_fn)


def data(dtype):
    return X.astype(dtype), Y.astype(dtype)


def test_objective_is_loss_plus_penalty_of_the_masked_leaves(dtype):
    tol = 32 * float(jnp.finfo(dtype).eps)
    params, (X, y) = parameters(dtype), data(dtype)
    kernel, bias = params["dense"]["kernel"], params["dense"]["bias"]

    @jax.jit
    def found(params, X, y):
        objective = penalized_loss(loss_fn, L2(0.4))
        everywhere = penalized_loss(loss_fn, L2(0.4), masks.everything)(params, X, y)
        with_penalty = jax.value_and_grad(objective)(params, X, y)
        return with_penalty, jax.value_and_grad(loss_fn)(params, X, y), everywhere

    results = found(params, X, y)
    assert results[0][0].dtype == results[0][1]["dense"]["kernel"].dtype == dtype
    (value, gradient), (loss, loss_gradient), everywhere = jax.tree.map(np.asarray, results)
    np.testing.assert_allclose(value, loss + 0.2 * np.sum(np.square(kernel)), rtol=tol)
    expected = {
        "kernel": loss_gradient["dense"]["kernel"] + 0.4 * kernel,
        "bias": loss_gradient["dense"]["bias"],
    }
    assert_close(gradient["dense"], expected, tol)
    np.testing.assert_allclose(everywhere - value, 0.2 * np.sum(np.square(bias)), rtol=8 * tol)


def test_masks_may_be_boolean_trees_and_penalties_sums():
    params, (X, y) = parameters(np.float32), data(np.float32)
    biases = {"dense": {"kernel": False, "bias": True}}
    penalized = jax.jit(penalized_loss(loss_fn, L1(0.1) + L2(0.2), biases))(params, X, y)
    added = float(penalized) - float(plain_loss(params, X, y))
    np.testing.assert_allclose(added, 0.1 * 2.5 + 0.1 * 4.25, rtol=1e-5)


def test_arguments_and_keywords_reach_the_loss():
    params, (X, y) = parameters(np.float32), data(np.float32)
    objective = jax.jit(penalized_loss(loss_fn, L2(0.0)))
    assert float(objective(params, X, y=y, scale=2.0)) == 2 * float(objective(params, X, y))


def test_has_aux_hands_the_second_result_through():
    params, (X, y) = parameters(np.float32), data(np.float32)

    def with_aux(params, X, y):
        return loss_fn(params, X, y), {"n": len(y)}

    objective = penalized_loss(with_aux, L1(0.3), has_aux=True)
    (value, aux), gradient = jax.jit(jax.value_and_grad(objective, has_aux=True))(params, X, y)
    plain = penalized_loss(loss_fn, L1(0.3))
    assert aux == {"n": 8}
    assert_close((value, gradient), jax.jit(jax.value_and_grad(plain))(params, X, y), 0)


def test_strengths_map_and_trace_once():
    params, (X, y) = parameters(np.float32), data(np.float32)
    traces = []

    @jax.jit
    def objective(strength, params):
        traces.append(strength)
        return penalized_loss(loss_fn, L2(strength))(params, X, y)

    values = [float(objective(s, params)) for s in (0.0, 1.0, 2.0)]
    assert len(traces) == 1
    np.testing.assert_allclose(values[2] - values[0], 2 * (values[1] - values[0]), rtol=1e-5)
    of_lane = jax.vmap(lambda s: penalized_loss(loss_fn, L2(s))(params, X, y))
    lanes = jax.jit(of_lane)(np.arange(3, dtype=np.float32))
    np.testing.assert_allclose(lanes, values, rtol=1e-6)


def test_equinox_models_are_penalised_through_filter_grad():
    model = eqx.nn.MLP(3, 2, 4, depth=1, key=jax.random.key(0))
    X, y = data(np.float32)

    def loss(model, X, y):
        return jnp.mean(jnp.square(jax.vmap(model)(X) - y))

    penalized = eqx.filter_jit(eqx.filter_grad(penalized_loss(loss, L2(0.3))))
    gradient, plain = penalized(model, X, y), eqx.filter_jit(eqx.filter_grad(loss))(model, X, y)
    for layer, g, g0 in zip(model.layers, gradient.layers, plain.layers, strict=True):
        weight, w, w0 = map(np.asarray, (layer.weight, g.weight, g0.weight))
        np.testing.assert_allclose(w - w0, 0.3 * weight, atol=1e-6)
        np.testing.assert_array_equal(g.bias, g0.bias)
    assert gradient.activation is plain.activation


def test_nnx_states_are_penalised():
    class Model(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(3, 2, rngs=rngs)
            self.norm = nnx.LayerNorm(2, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.linear(x))

    graph, state = nnx.split(Model(nnx.Rngs(0)))
    X, y = data(np.float32)

    def loss(state, X, y):
        return jnp.mean(jnp.square(nnx.merge(graph, state)(X) - y))

    gradient = jax.jit(jax.grad(penalized_loss(loss, L2(0.3))))(state, X, y)
    plain = jax.jit(jax.grad(loss))(state, X, y)

    def entries(state, layer, name):
        return np.asarray(state[layer][name].get_value())

    kernel = "linear", "kernel"
    difference = entries(gradient, *kernel) - entries(plain, *kernel)
    np.testing.assert_allclose(difference, 0.3 * entries(state, *kernel), atol=1e-6)
    for leaf in (("linear", "bias"), ("norm", "scale"), ("norm", "bias")):
        np.testing.assert_array_equal(entries(gradient, *leaf), entries(plain, *leaf))


def test_a_penalty_without_gradient_raises_only_when_differentiated():
    params, (X, y) = parameters(np.float32), data(np.float32)
    objective = penalized_loss(loss_fn, L0(0.5))
    added = float(jax.jit(objective)(params, X, y)) - float(plain_loss(params, X, y))
    np.testing.assert_allclose(added, 3.0, rtol=1e-5)
    with pytest.raises(TypeError, match="no gradient"):
        jax.grad(objective)(params, X, y)


def test_functions_are_refused_as_masks_when_the_objective_is_called():
    with pytest.raises(TypeError, match="by_predicate"):
        penalized_loss(loss_fn, L2(0.1), lambda params: params)(parameters(np.float32), X, Y)


# --- penalties on activations ------------------------------------------------------------

ACTIVATIONS = {
    "l1": (activation_l1, lambda h: np.abs(h), np.sign),
    "l2": (activation_l2, lambda h: h**2 / 2, lambda h: h),
}
activation = pytest.mark.parametrize(
    ("penalty", "term", "slope"), ACTIVATIONS.values(), ids=ACTIVATIONS
)


@activation
def test_activation_penalty_is_summed_over_units_and_averaged_over_the_batch(
    penalty, term, slope, dtype
):
    tol = 32 * float(jnp.finfo(dtype).eps)
    h = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(dtype)
    h.flat[0] = 0.0
    value, gradient = jax.jit(jax.value_and_grad(penalty))(h, 0.3)
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(value, 0.3 * np.sum(term(h)) / 4, rtol=tol)
    np.testing.assert_allclose(gradient, 0.3 * slope(h) / 4, rtol=tol, atol=tol)
    # Two copies of a batch are penalised as one.
    twice = jax.jit(penalty)(np.concatenate([h, h]), 0.3)
    np.testing.assert_allclose(twice, value, rtol=tol)


@activation
def test_activations_without_a_batch_raise(penalty, term, slope):
    for h in (np.ones(5), np.ones(()), np.ones((0, 5))):
        with pytest.raises(ValueError, match="with a batch"):
            penalty(h, 0.3)


@activation
def test_faulty_strengths_of_activation_penalties_raise(penalty, term, slope):
    h = jnp.ones((2, 3))
    for strength in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="lambda_ must be"):
            penalty(h, strength)
    with pytest.raises(ValueError, match="vmap"):
        penalty(h, jnp.ones(3))


def train_autoencoder(strength):
    """Train a relu autoencoder of 8 hidden units on mixtures of 4 directions."""
    keys = jax.random.split(jax.random.key(1), 4)
    directions = jax.random.normal(keys[0], (4, 6))
    x = jax.random.bernoulli(keys[1], 0.3, (64, 4)).astype(jnp.float32) @ directions
    params = {
        "encoder": jax.random.normal(keys[2], (6, 8)) / 2,
        "decoder": jax.random.normal(keys[3], (8, 6)) / 2,
        "bias": jnp.zeros(8),
    }
    optimizer = optax.adam(1e-2)

    def hidden(params):
        return jax.nn.relu(x @ params["encoder"] + params["bias"])

    def error(params):
        return jnp.mean(jnp.sum(jnp.square(hidden(params) @ params["decoder"] - x), axis=1))

    def objective(params):
        return error(params) + activation_l1(hidden(params), strength)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(objective)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=400)
    return hidden(params), error(params), jnp.mean(jnp.sum(jnp.square(x), axis=1))


def test_activation_l1_makes_the_code_of_an_autoencoder_sparse():
    train = jax.jit(jax.vmap(train_autoencoder))
    hidden, errors, energy = map(np.asarray, train(np.float32([0.0, 0.2])))
    dense, sparse = np.mean(hidden < 1e-3, axis=(1, 2))
    assert sparse > dense + 0.15
    # Sparse, and not because the code was given up.
    assert errors[1] < 0.2 * energy[1]


def test_a_loss_that_is_no_scalar_is_refused():
    w = jnp.ones(3)
    with pytest.raises(ValueError, match="scalar"):
        penalized_loss(lambda p: p, L1(0.1))(w)
    with pytest.raises(ValueError, match="has_aux"):
        penalized_loss(lambda p: (p.sum(), p), L1(0.1))(w)
    with pytest.raises(TypeError, match="penalty object"):
        penalized_loss(lambda p: p.sum(), 0.1)
