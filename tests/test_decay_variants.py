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
    VARIANTS,
    assert_equal,
    gap,
    last,
    one_step,
    params,
    run,
)
from quick import every_second, quick

from regjax import masks
from regjax.transforms import adamc, adamw, decoupled_weight_decay, lionw, muon_direction, sgdw


@pytest.mark.parametrize("variant", every_second(VARIANTS))
def test_variants_map_over_strengths_in_one_trace(variant):
    traces = []

    def final(strength):
        traces.append(1)
        return last(run(adamw(RATE, strength, **VARIANTS[variant]), params(), 5))

    grid = jnp.array([0.0, 0.1, 0.5])
    lanes = jax.jit(jax.vmap(final))(grid)
    assert len(traces) == 1
    single = jax.jit(final)
    for i, strength in enumerate(grid):
        lane = jax.tree.map(lambda leaf, i=i: leaf[i], lanes)
        assert_equal(lane, single(strength), rtol=1e-5, atol=1e-6)
    assert len(traces) == 2
    assert gap(single(grid[0]), single(grid[2])) > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_injected(variant):
    options = VARIANTS[variant]
    injected = optax.inject_hyperparams(adamw)(RATE, STRENGTH, mask=masks.everything, **options)
    plain = adamw(RATE, STRENGTH, mask=masks.everything, **options)
    state = injected.init(params())
    assert {"learning_rate", "lambda_"} <= set(state.hyperparams)
    assert ("target_norm" in state.hyperparams) == ("target_norm" in options)
    # Injected numbers are float32 arrays where Python's were exact.
    assert_equal(run(injected, params()), run(plain, params()), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("variant", every_second(VARIANTS))
def test_schedules_of_rate_and_strength_reach_the_variants(variant, x64):
    def strength(k):
        return 0.8 * 0.9**k

    options = VARIANTS[variant]
    found = run(sgdw(SCHEDULE, strength, **options), params(), 6)
    w = params()
    for k in range(6):
        gradient = jax.tree.map(
            lambda x, k=k: 0.3 * x + np.sin(3 * k + np.arange(x.size).reshape(x.shape)), w
        )
        frozen = {"peak_learning_rate": 0.1, **options}
        w = one_step(sgdw(float(SCHEDULE(k)), strength(k), **frozen), w, gradient)
        at_k = jax.tree.map(lambda leaf, k=k: leaf[k], found)
        assert_equal(at_k, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("low", quick([jnp.bfloat16, jnp.float16], jnp.bfloat16))
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_short_dtypes(variant, low):
    tx = adamw(optax.linear_schedule(0.1, 0.01, 5), STRENGTH, **VARIANTS[variant])
    start = params(low)
    updates, _ = jax.eval_shape(tx.update, start, tx.init(start), start)
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(low)}
    found = last(run(tx, start, 5))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(low)}
    wide = last(run(tx, jax.tree.map(lambda x: x.astype(jnp.float32), start), 5))
    assert gap(jax.tree.map(lambda x: x.astype(jnp.float32), found), wide) < 0.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_leave_masked_leaves_alone(variant):
    free = run(adamw(RATE, 0.0), params())
    found = run(adamw(RATE, STRENGTH, **VARIANTS[variant]), params())
    assert gap(found["body"]["bias"], free["body"]["bias"]) == 0
    assert gap(found["body"]["kernel"], free["body"]["kernel"]) > 1e-3


LINKS = {
    "sgdw": optax.identity(),
    "adamw": optax.scale_by_adam(),
    "lionw": optax.scale_by_lion(),
    "muonw": muon_direction(),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_ready_made_hand_every_option_to_the_link(name):
    mask = masks.by_path("body/*")
    options = {**VARIANTS["both"], **VARIANTS["scaled_by"], "mask": mask}
    link = decoupled_weight_decay(LINKS[name], RATE, STRENGTH, **options)
    ready = run(MAKERS[name](RATE, STRENGTH, **options), params(), 3)
    assert gap(run(link, params(), 3), ready) < 1e-6


def test_moments_may_be_short():
    tx = adamc(RATE, STRENGTH, normalized=BODY, mu_dtype=jnp.bfloat16)
    for made in (tx, lionw(RATE, STRENGTH, mu_dtype=jnp.bfloat16)):
        moments = made.init(params()).direction.mu
        assert {leaf.dtype for leaf in jax.tree.leaves(moments)} == {jnp.dtype(jnp.bfloat16)}
