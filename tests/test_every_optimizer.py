"""What holds of every optimizer: masks, one trace for all strengths, no NaN at zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optimizer_problems import walk

from regjax import L0, L1, L2, Box, ElasticNet, GroupLasso, MaxNorm, NonNegative, UnitNorm, masks
from regjax.transforms import (
    adam_l2,
    adamc,
    adamw,
    lionw,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    sgd_l2,
    sgdw,
)

RATE, STRENGTH = 0.05, 0.3
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
            walk(masked, TREE, 6, push),
            walk(make(strength, mask=masks.everything), TREE["a"], 6, push),
            walk(make(0.0, mask=masks.everything), TREE["b"], 6, push),
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
        return [walk(tx, w, 2, lambda _: g)[-1] for tx in optimizers]

    ends = jax.jit(jax.vmap(two_steps))(starts, slopes)
    assert all(end.dtype == dtype for end in ends)
    return [np.isfinite(end).all(axis=(1, 2)).tolist() for end in ends]


def test_no_optimizer_makes_nan_of_zero_weights_or_zero_gradients():
    optimizers = {
        **{name: make(STRENGTH) for name, make in EVERY.items()},
        "target_norm": adamw(RATE, STRENGTH, target_norm=1.0, cautious=True),
        "lionw, target_norm": lionw(RATE, STRENGTH, target_norm=0.0),
    }
    found = finite_steps(optimizers.values(), np.float32)
    assert dict(zip(optimizers, found, strict=True)) == dict.fromkeys(optimizers, [True] * 4)


# With one step size for all entries, and with one for each.
@pytest.mark.parametrize(
    ("make", "dtype"),
    [(prox_sgd, np.float64), (prox_adam, np.float32)],
    ids=["prox_sgd", "prox_adam"],
    indirect=["dtype"],
)
def test_no_penalty_makes_nan_of_zero_groups_or_zero_gradients(make, dtype):
    names = [name for name in PENALTIES if make is not prox_adam or name != "unit_norm"]
    found = finite_steps([make(RATE, PENALTIES[name]) for name in names], dtype)
    assert dict(zip(names, found, strict=True)) == dict.fromkeys(names, [True] * 4)
