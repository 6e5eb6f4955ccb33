"""Averages of proximal iterates have no exact zeros; one more step brings them back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from regjax import L1
from regjax.transforms import prox_sgd


def test_one_proximal_step_from_averaged_weights_brings_the_zeros_back():
    center, penalty = jnp.array([3.0, -0.5, 0.2]), L1(0.7)
    optimizer = prox_sgd(0.1, penalty)

    def gradient(w):
        return w - center

    def last(wrapped, start, at):
        def step(carry, _):
            params, state = carry
            updates, state = wrapped.update(gradient(at(params)), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (start, wrapped.init(start)), length=60)[0]

    @jax.jit
    def run():
        start = jnp.array([1.0, -1.0, 0.5])
        schedule_free = optax.contrib.schedule_free(optimizer, 0.1)
        params, state = last(schedule_free, start, lambda w: w)
        pair = optax.LookaheadParams.init_synced(start)
        pair, _ = last(optax.lookahead(optimizer, 6, 0.5), pair, lambda w: w.fast)
        averages = [optax.contrib.schedule_free_eval_params(state, params), pair.slow]
        plain, _ = last(optimizer, start, lambda w: w)
        after = [
            optax.apply_updates(w, optimizer.update(gradient(w), optimizer.init(w), w)[0])
            for w in averages
        ]
        return plain, averages, after

    plain, averages, after = run()
    np.testing.assert_array_equal(plain == 0, [False, True, True])
    for before, w in zip(averages, after, strict=True):
        assert np.all(before != 0)
        np.testing.assert_array_equal(w == 0, [False, True, True])
