"""All variants of decay under the transformations of JAX and optax, in every dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay_problems import (
    BODY,
    MAKERS,
    RATE,
    SCHEDULE,
    STRENGTH,
    assert_equal,
    gap,
    last,
    params,
    run,
    walk,
)
from decay_problems import VARIANTS as ALL

from regjax import masks
from regjax.transforms import adamc, adamw, decoupled_weight_decay, lionw, muon_direction, sgdw

# Cautious decay to a target alone are in files of their own.
VARIANTS = {name: ALL[name] for name in ("both", "scaled_by")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_map_over_strengths_in_one_trace(variant):
    traces = []

    def final(strength):
        traces.append(1)
        return last(walk(adamw(RATE, strength, **VARIANTS[variant]), params(), 5))

    grid = np.array([0.0, 0.1, 0.5])
    lanes = jax.jit(jax.vmap(final))(grid)
    assert len(traces) == 1
    single = jax.jit(final)
    alone = [single(strength) for strength in grid]
    assert len(traces) == 2
    for i, one in enumerate(alone):
        lane = jax.tree.map(lambda leaf, i=i: leaf[i], jax.tree.map(np.asarray, lanes))
        assert_equal(lane, one, rtol=1e-5, atol=1e-6)
    assert gap(alone[0], alone[2]) > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_injected(variant):
    options = VARIANTS[variant]
    injected = optax.inject_hyperparams(adamw)(RATE, STRENGTH, mask=masks.everything, **options)
    plain = adamw(RATE, STRENGTH, mask=masks.everything, **options)
    state = jax.eval_shape(injected.init, params())
    assert {"learning_rate", "lambda_"} <= set(state.hyperparams)
    assert ("target_norm" in state.hyperparams) == ("target_norm" in options)
    # Injected numbers are float32 arrays where Python's were exact.
    assert_equal(run(injected, params()), run(plain, params()), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_schedules_of_rate_and_strength_reach_the_variants(variant, x64):
    def strength(k):
        return 0.8 * 0.9**k

    options = VARIANTS[variant]
    found = jax.tree.map(np.asarray, run(sgdw(SCHEDULE, strength, **options), params(), 6))
    frozen = {"peak_learning_rate": 0.1, **options}

    @jax.jit
    def step(w, g, rate, strength):
        tx = sgdw(rate, strength, **frozen)
        return optax.apply_updates(w, tx.update(g, tx.init(w), w)[0])

    w = params()
    for k in range(6):
        gradient = jax.tree.map(
            lambda x, k=k: 0.3 * x + np.sin(3 * k + np.arange(x.size).reshape(x.shape)), w
        )
        w = jax.tree.map(np.asarray, step(w, gradient, float(SCHEDULE(k)), strength(k)))
        at_k = jax.tree.map(lambda leaf, k=k: leaf[k], found)
        assert_equal(at_k, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("variant", "low"), [("both", jnp.bfloat16), ("scaled_by", jnp.float16)])
def test_variants_keep_short_dtypes(variant, low):
    tx = adamw(optax.linear_schedule(0.1, 0.01, 5), STRENGTH, **VARIANTS[variant])
    start = jax.tree.map(lambda x: np.asarray(x, low), params())
    updates, _ = jax.eval_shape(lambda w: tx.update(w, tx.init(w), w), start)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(low)}
    found = run(tx, start, 5)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(low)}
    wide = run(tx, jax.tree.map(lambda x: x.astype(np.float32), start), 5)
    assert gap(jax.tree.map(lambda x: np.asarray(x, np.float32), found), wide) < 0.1


def test_variants_leave_masked_leaves_alone(x64):
    variants = [{}, *VARIANTS.values()]

    def ends(strength):
        return [last(walk(adamw(RATE, strength, **options), params(), 5)) for options in variants]

    found = jax.jit(jax.vmap(ends))(np.array([0.0, STRENGTH]))
    free = found[0]["body"]
    for end in found:
        np.testing.assert_allclose(end["body"]["bias"][1], free["bias"][0], rtol=1e-15)
        assert np.abs(end["body"]["kernel"][1] - free["kernel"][0]).max() > 1e-3


LINKS = {
    "sgdw": optax.identity(),
    "adamw": optax.scale_by_adam(),
    "lionw": optax.scale_by_lion(),
    "muonw": muon_direction(),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_ready_made_hand_every_option_to_the_link(name):
    mask = masks.by_path("body/*")
    options = {**ALL["both"], **ALL["scaled_by"], "mask": mask}
    link = decoupled_weight_decay(LINKS[name], RATE, STRENGTH, **options)
    ready = MAKERS[name](RATE, STRENGTH, **options)
    found, expected = jax.jit(lambda w: [walk(tx, w, 3) for tx in (ready, link)])(params())
    assert gap(found, expected) < 1e-6


def test_moments_may_be_short():
    tx = adamc(RATE, STRENGTH, normalized=BODY, mu_dtype=jnp.bfloat16)
    for made in (tx, lionw(RATE, STRENGTH, mu_dtype=jnp.bfloat16)):
        moments = jax.eval_shape(made.init, params()).direction.mu
        assert {leaf.dtype for leaf in jax.tree.leaves(moments)} == {jnp.dtype(jnp.bfloat16)}
