"""The state of every optimizer: mapped by optax, written by Flax, pickled."""

import pickle

import flax.serialization
import jax
import numpy as np
import optax
import pytest
from model_trees import shapes

from regjax import L1, L2, masks
from regjax.transforms import (
    adam_direction,
    adam_l2,
    adamc,
    adamw,
    coupled_l1,
    coupled_l2,
    decoupled_weight_decay,
    lionw,
    monitor,
    muon_direction,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    proximal,
    sgd_l2,
    sgdw,
    with_master_weights,
)

PARAMS = shapes(**{"decoder/kernel": (3, 2), "decoder/bias": (2,), "norm/scale": (2,)})
NAMES = jax.tree.map(lambda leaf: f"the place of {leaf.shape}", PARAMS)
DECODER = masks.by_path("decoder/*")
TREE = {"decoder": True, "norm": False}
STRENGTHS = {"decoder": 0.1, "norm": 0.2}

# How many trees like the parameters each state holds; Muon has Adam's two beside its own.
EVERY = {
    "adam_direction": (adam_direction(), 2),
    "coupled_l1": (coupled_l1(0.1, TREE), 0),
    "coupled_l2": (coupled_l2(0.1, DECODER), 0),
    "muon_direction": (muon_direction(), 3),
    "decoupled": (decoupled_weight_decay(optax.trace(0.9), 0.1, 0.1, mask=TREE), 1),
    "proximal": (proximal(optax.trace(0.9), 0.1, L1(STRENGTHS), mask=TREE), 1),
    "sgd_l2": (sgd_l2(0.1, 0.1, momentum=0.9), 1),
    "sgdw": (sgdw(0.1, 0.1, mask=DECODER, target_norm=STRENGTHS), 0),
    "adam_l2": (adam_l2(0.1, 0.1, mask=DECODER), 2),
    "adamw": (adamw(0.1, 0.1, mask=TREE), 2),
    "adamc": (adamc(0.1, 0.1, normalized=~masks.by_path("norm/*")), 2),
    "lionw": (lionw(0.1, 0.1), 1),
    "muonw": (muonw(0.1, 0.1, mask=DECODER), 3),
    "muonw, tree": (muonw(0.1, 0.1, weight_dimension_numbers={"decoder": None, "norm": None}), 3),
    "prox_sgd": (prox_sgd(0.1, L1(0.1), mask=DECODER), 0),
    "prox_adam": (prox_adam(0.1, L1(STRENGTHS) + L2(0.1)), 2),
    "prox_adamw": (prox_adamw(0.1, L1(0.1)), 2),
    "monitor": (monitor(adamw(0.1, 0.1, mask=DECODER)), 2),
    "monitor, now and then": (monitor(muonw(0.1, 0.1), every=3), 3),
    "with_master_weights": (with_master_weights(monitor(sgdw(0.1, 0.1))), 1),
    "injected": (optax.inject_hyperparams(adamw)(0.1, 0.1), 2),
}


def is_empty(node):
    return node is None or isinstance(node, optax.MaskedNode)


@pytest.mark.parametrize("name", EVERY)
def test_states_are_mapped_written_and_pickled(name):
    optimizer, n_trees = EVERY[name]
    state = optimizer.init(PARAMS)
    mapped = optax.tree.map_params(
        optimizer,
        lambda _, place: place,
        state,
        NAMES,
        transform_non_params=lambda _: None,
        is_leaf=is_empty,
    )
    assert sorted(jax.tree.leaves(mapped)) == sorted(n_trees * jax.tree.leaves(NAMES))
    written = flax.serialization.from_bytes(state, flax.serialization.to_bytes(state))
    for copy in (written, pickle.loads(pickle.dumps(state))):
        assert jax.tree.structure(copy) == jax.tree.structure(state)
        jax.tree.map(np.testing.assert_array_equal, copy, state)


def test_states_that_hide_nothing_are_mapped_without_more():
    optimizer = monitor(prox_adam(0.1, L1(0.1)))
    mapped = optax.tree.map_params(optimizer, lambda _, s: s, optimizer.init(PARAMS), NAMES)
    assert mapped.optimizer.direction.adam.mu == NAMES
    assert jax.tree.structure(mapped.metrics.zeros) == jax.tree.structure(PARAMS)
