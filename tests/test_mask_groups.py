"""Optimizers on a part of a tree, as optax hands it over, and trees without a weight."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from model_trees import shapes
from optimizer_problems import assert_trees_close, first_update

from regjax import L1, L2, Box, ElasticNet, masks, penalized_loss
from regjax.transforms import (
    adam_l2,
    adamc,
    adamw,
    lionw,
    monitor,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    read_metrics,
    sgd_l2,
    sgdw,
    with_master_weights,
)

PARAMS = shapes(**{"decoder/kernel": (3, 3), "decoder/bias": (3,), "norm/scale": (3,)})
PARAMS = jax.tree.map(lambda leaf: leaf + np.arange(1.0, 4.0, dtype=np.float32), PARAMS)
BIASES = {"bias": np.ones(3, np.float32)}

WITH_STRENGTH = {
    "sgd_l2": lambda s: sgd_l2(0.1, s),
    "sgdw": lambda s: sgdw(0.1, s),
    "adam_l2": lambda s: adam_l2(0.1, s),
    "adamw": lambda s: adamw(0.1, s),
    "adamc": lambda s: adamc(0.1, s, normalized=masks.by_ndim(2)),
    "lionw": lambda s: lionw(0.1, s),
    "muonw": lambda s: muonw(0.1, s),
    "prox_sgd": lambda s: prox_sgd(0.1, L1(s)),
    "prox_sgd, tree": lambda s: prox_sgd(0.1, L1({"bias": s}) + L2(s)),
    "prox_adam": lambda s: prox_adam(0.1, ElasticNet(s, 0.5)),
    "prox_adamw": lambda s: prox_adamw(0.1, L1(s)),
    "monitor": lambda s: monitor(adamw(0.1, s)),
    "with_master_weights": lambda s: with_master_weights(adamw(0.1, s)),
    "mask that matches nothing": lambda s: adamw(0.1, s, mask=masks.by_ndim(2)),
}


def runs(optimizer, params):
    """Whether init and a step work; nothing is compiled."""
    state = optimizer.init(params)
    updates, _ = jax.eval_shape(optimizer.update, params, state, params)
    return jax.tree.structure(updates) == jax.tree.structure(params)


@pytest.mark.parametrize("name", WITH_STRENGTH)
def test_a_group_without_a_weight_passes_inside_optax_and_at_strength_zero(name):
    make = WITH_STRENGTH[name]
    assert runs(make(0.0), BIASES)
    with pytest.raises(ValueError, match=r"(?s)leaves nothing to penalize.*bias.*strength of 0"):
        make(0.1).init(BIASES)
    if "tree" not in name:
        labels = {"decoder": {"kernel": "rest", "bias": "mine"}, "norm": "rest"}
        assert runs(
            optax.multi_transform({"mine": make(0.1), "rest": optax.sgd(0.1)}, labels), PARAMS
        )


def by_ndim(params):
    return jax.tree.map(lambda leaf: "matrix" if jnp.ndim(leaf) > 1 else "vector", params)


IN_PARTS = {
    "partition by ndim": optax.partition(
        {"matrix": adamw(0.1, 0.05), "vector": adamw(0.1, 0.05)}, by_ndim
    ),
    "decay and none": optax.multi_transform(
        {"matrix": adamw(0.1, 0.05), "vector": adamw(0.1, 0.0)}, by_ndim
    ),
    "rules that name the other part": optax.partition(
        {
            "matrix": adamw(0.1, 0.05, mask=~masks.by_path("norm/*")),
            "vector": adamw(0.1, 0.05, mask=masks.weights & ~masks.output_head),
        },
        by_ndim,
    ),
    "masked": optax.chain(
        optax.masked(adamw(0.1, 0.05), {"decoder": True, "norm": False}),
        optax.masked(adamw(0.1, 0.05), {"decoder": False, "norm": True}),
    ),
}


def test_parts_equal_the_whole():
    whole, *parts = jax.jit(
        lambda: [first_update(tx, PARAMS, PARAMS) for tx in (adamw(0.1, 0.05), *IN_PARTS.values())]
    )()
    for updates in parts:
        assert_trees_close(updates, whole, rtol=1e-6)


def test_bitfit_trains_biases_alone():
    labels = {"decoder": {"kernel": "frozen", "bias": "trained"}, "norm": "trained"}
    tx = optax.multi_transform({"trained": adamw(0.1, 0.05), "frozen": optax.set_to_zero()}, labels)
    updates = jax.jit(lambda: first_update(tx, PARAMS, PARAMS))()
    np.testing.assert_array_equal(updates["decoder"]["kernel"], 0)
    np.testing.assert_allclose(updates["decoder"]["bias"], -0.1, rtol=1e-5)


def test_strengths_that_are_not_known_to_be_zero_still_need_a_weight():
    for tx in (
        adamw(0.1, optax.constant_schedule(0.0)),
        prox_sgd(0.1, lambda step: L1(0.0 * step)),
        prox_sgd(0.1, Box(-1.0, 1.0)),
        prox_sgd(0.1, L1(0.0) + L2(0.1)),
    ):
        with pytest.raises(ValueError, match="leaves nothing"):
            tx.init(BIASES)
    with pytest.raises(ValueError, match="leaves nothing"):
        jax.jit(lambda s: adamw(0.1, s).init(BIASES))(0.0)
    # Known at init, traced afterwards.
    assert runs(optax.inject_hyperparams(adamw)(0.1, 0.0), BIASES)
    assert penalized_loss(lambda w: 2.0, L2(0.0))(BIASES) == 2
    with pytest.raises(ValueError, match="leaves nothing"):
        penalized_loss(lambda w: 2.0, L2(0.1))(BIASES)


def test_the_monitor_measures_parts_under_their_own_names():
    decay = {"matrix": sgdw(1.0, 0.5), "vector": sgdw(1.0, 0.25, mask=masks.everything)}
    ones = jax.tree.map(np.ones_like, PARAMS)
    # One label for a whole subtree hides it behind one node.
    layers = {"decoder": "matrix", "norm": "vector"}
    inside = {**decay, "vector": monitor(decay["vector"])}

    @jax.jit
    def measured():
        optimizers = (
            monitor(optax.partition(decay, by_ndim)),
            monitor(optax.partition(decay, layers)),
            optax.partition(inside, by_ndim),
        )
        return [read_metrics(tx.update(ones, tx.init(ones), ones)[1]) for tx in optimizers]

    ratios = {"decoder": {"kernel": 0.5, "bias": 0.25}, "norm": {"scale": 0.25}}
    by_leaf, by_layer, metrics = measured()
    assert_trees_close(by_leaf.decay_to_gradient, ratios, rtol=1e-6)
    ratios["decoder"]["bias"] = 0.0
    assert_trees_close(by_layer.decay_to_gradient, ratios, rtol=1e-6)
    np.testing.assert_allclose(metrics.decay_to_gradient["norm"]["scale"], 0.25, rtol=1e-6)
    np.testing.assert_allclose(metrics.gradient_norm["decoder"]["bias"], np.sqrt(3), rtol=1e-6)
