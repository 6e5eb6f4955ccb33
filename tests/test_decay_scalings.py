"""A scaling of the decay for each leaf, and AdamC."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay_problems import (
    BODY,
    HEAD,
    RATE,
    SCHEDULE,
    STRENGTH,
    assert_equal,
    gap,
    last,
    one_step,
    params,
    run,
    walk,
)

from regjax import masks
from regjax.transforms import adamc, adamw, sgdw

SCALINGS = ("learning_rate", "schedule", "squared_learning_rate")
# Masks, and the scaling of each part that they say.
MAPPINGS = {
    "one": ({"squared_learning_rate": BODY}, SCALINGS[2], SCALINGS[0]),
    "tree": ({"schedule": {"body": False, "head": True}}, SCALINGS[0], SCALINGS[1]),
    "two": ({"squared_learning_rate": BODY, "schedule": HEAD}, SCALINGS[2], SCALINGS[1]),
    "named": ({"learning_rate": HEAD, "schedule": BODY}, SCALINGS[1], SCALINGS[0]),
    "empty": ({}, SCALINGS[0], SCALINGS[0]),
}


def test_a_mapping_of_masks_equals_one_optimizer_for_each_part(x64):
    common = {"peak_learning_rate": 0.1, "mask": masks.everything}

    def walks(start, each):
        return {
            name: walk(sgdw(SCHEDULE, STRENGTH, scaled_by=scaled_by, **common), start)
            for name, scaled_by in each.items()
        }

    mappings = {name: mapping for name, (mapping, *_) in MAPPINGS.items()}
    whole = jax.jit(lambda w: walks(w, mappings))(params())
    alone = jax.jit(lambda w: walks(w, {scaling: scaling for scaling in SCALINGS}))(params())
    for name, (_, body, head) in MAPPINGS.items():
        for part, scaling in (("body", body), ("head", head)):
            assert_equal(whole[name][part], alone[scaling][part], rtol=1e-12, atol=1e-14)
    ends_of = [last(jax.tree.map(np.asarray, alone[scaling])) for scaling in SCALINGS]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for part in ("body", "head"):
            assert gap(ends_of[i][part], ends_of[j][part]) > 1e-2


def test_adamc_is_adamw_by_the_squared_rate_on_normalised_layers_alone(x64):
    settings = {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "eps_root": 1e-4, "nesterov": True}
    tx = adamc(
        SCHEDULE,
        STRENGTH,
        normalized=~masks.output_head,
        peak_learning_rate=0.1,
        mu_dtype=jnp.float32,
        **settings,
    )
    found = run(tx, params())
    settings["mu_dtype"] = jnp.float32
    squared = {"scaled_by": "squared_learning_rate", "peak_learning_rate": 0.1}
    for part, scaling in (("body", squared), ("head", {})):
        alone = run(adamw(SCHEDULE, STRENGTH, **scaling, **settings), params()[part])
        assert_equal(found[part], alone, rtol=1e-6)


def test_adamc_leaves_out_what_its_mask_does():
    tx = adamc(RATE, STRENGTH, normalized=BODY, mask=HEAD)
    w = params()
    found = one_step(tx, w, jax.tree.map(jnp.zeros_like, w))
    assert gap(found["body"], w["body"]) == 0
    np.testing.assert_allclose(
        found["head"]["kernel"], (1 - RATE * STRENGTH) * w["head"]["kernel"], rtol=1e-6
    )


@pytest.mark.parametrize(
    "mapping",
    [
        {"schedule": BODY, "squared_learning_rate": masks.everything},
        {"learning_rate": True, "schedule": {"body": True, "head": False}},
    ],
    ids=["masks", "trees"],
)
def test_a_leaf_with_two_scalings_raises_at_init(mapping):
    tx = adamw(RATE, STRENGTH, scaled_by=mapping)
    with pytest.raises(ValueError, match="overlap"):
        tx.init(params())


@pytest.mark.parametrize("rate", [SCHEDULE, np.array(0.1), jnp.array(0.1)])
def test_a_missing_peak_raises_for_mappings_and_adamc(rate):
    for make in (
        lambda: adamw(rate, STRENGTH, scaled_by={"schedule": BODY}),
        lambda: adamw(rate, STRENGTH, scaled_by={"learning_rate": HEAD, "schedule": BODY}),
        lambda: adamw(rate, STRENGTH, scaled_by={"schedule": BODY, "learning_rate": HEAD}),
        lambda: adamc(rate, STRENGTH, normalized=BODY),
    ):
        with pytest.raises(ValueError, match="pass peak_learning_rate"):
            make()
    adamw(rate, STRENGTH, scaled_by={"learning_rate": BODY}).init(params())


def test_faulty_mappings_raise():
    with pytest.raises(ValueError, match="got 'peak'"):
        adamw(RATE, STRENGTH, scaled_by={"peak": BODY})
    with pytest.raises(ValueError, match="matches none of these paths"):
        adamw(RATE, STRENGTH, scaled_by={"schedule": masks.by_path("tail/*")}).init(params())
    with pytest.raises(ValueError, match="peak_learning_rate must be positive"):
        adamc(SCHEDULE, STRENGTH, normalized=BODY, peak_learning_rate=0.0)


@pytest.mark.slow
def test_adamc_keeps_the_ratio_of_gradient_to_weight_level_and_adamw_does_not(x64):
    """Random gradients, orthogonal to `w` and over its norm: a scale-invariant loss's."""
    dimension, n_steps, peak, strength = 64, 3000, 0.1, 0.1
    schedule = optax.schedules.join_schedules(
        [optax.constant_schedule(peak), optax.linear_schedule(peak, 0.0, n_steps // 2)],
        [n_steps // 2],
    )
    settings = {"b1": 0.9, "b2": 0.95, "peak_learning_rate": peak}

    def ratios(tx):
        def step(carry, key):
            w, state = carry
            g = jax.random.normal(key, w.shape)
            norm = jnp.sqrt(jnp.sum(w**2))
            g = (g - w * (w @ g) / norm**2) / norm
            updates, state = tx.update(g, state, w)
            return (w + updates, state), jnp.sqrt(jnp.sum(g**2)) / norm

        def lane(key):
            w = jax.random.normal(key, (dimension,))
            keys = jax.random.split(key, n_steps)
            return jax.lax.scan(step, (w, tx.init(w)), keys)[1]

        return jax.vmap(lane)(jax.random.split(jax.random.key(0), 8)).mean(axis=0)

    corrected = adamc(schedule, strength, normalized=masks.everything, **settings)
    plain = adamw(schedule, strength, **settings)
    of_adamc, of_adamw = jax.jit(lambda: (ratios(corrected), ratios(plain)))()
    level = float(np.mean(of_adamc[n_steps // 4 : n_steps // 2]))
    # The same until the rate falls.
    np.testing.assert_allclose(of_adamc[: n_steps // 2], of_adamw[: n_steps // 2], rtol=1e-6)
    near_end = slice(-300, -100)
    assert np.mean(of_adamc[near_end]) == pytest.approx(level, rel=0.1)
    assert np.mean(of_adamw[near_end]) > 1.5 * level


def test_adamc_is_injected_with_its_peak(x64):
    options = {"normalized": BODY, "peak_learning_rate": 0.1}
    injected = optax.inject_hyperparams(adamc)(SCHEDULE, STRENGTH, **options)
    plain = adamc(SCHEDULE, STRENGTH, **options)
    assert_equal(run(injected, params()), run(plain, params()), rtol=1e-12)
    with pytest.raises(ValueError, match="peak_learning_rate"):
        optax.inject_hyperparams(adamc)(SCHEDULE, STRENGTH, normalized=BODY).init(params())
