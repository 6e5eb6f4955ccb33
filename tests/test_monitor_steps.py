"""Under the monitor an optimizer takes the same steps, and no state changes its dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from monitor_problems import PARAMS, RATE, STRENGTH, W, columns, tree

from regjax import L1, MaxNorm, masks
from regjax.transforms import (
    adam_l2,
    adamw,
    lionw,
    monitor,
    muonw,
    prox_adam,
    prox_adamw,
    read_metrics,
    sgd_l2,
    sgdw,
    with_master_weights,
)

OPTIMIZERS = {
    "sgd_l2": sgd_l2(RATE, STRENGTH, momentum=0.9),
    "adamw": adamw(RATE, STRENGTH, cautious=True, target_norm=0.5),
    "lionw": lionw(RATE, STRENGTH),
    "muonw": muonw(RATE, STRENGTH, ns_steps=1),
    "prox_adam": prox_adam(RATE, columns(STRENGTH), mask=masks.by_path("kernel")),
    "prox_adamw": prox_adamw(RATE, MaxNorm(1.0, axis=0), mask=masks.by_path("kernel")),
    "adam": optax.adam(RATE),
    "master_weights": with_master_weights(adamw(RATE, STRENGTH)),
}


def walk(tx, start, n_steps=7):
    """Return the parameters and states after every step; traces, so that callers may jit."""

    def step(carry, wave):
        w, state = carry
        updates, state = tx.update(jax.tree.map(lambda x: 0.3 * x + wave, w), state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state)

    waves = np.sin(2.0 * np.arange(n_steps)).astype(jax.tree.leaves(start)[0].dtype)
    return jax.lax.scan(step, (start, tx.init(start)), waves)[1]


@pytest.mark.parametrize("name", ["sgd_l2", "adamw", "prox_adam"])
def test_the_monitored_steps_are_the_same_and_so_is_the_inner_state(name, x64):
    tx = OPTIMIZERS[name]
    expected, (watched, state) = jax.jit(lambda w: [walk(tx, w), walk(monitor(tx, every=3), w)])(
        tree(PARAMS)
    )
    found = watched, state.optimizer
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    # In one program too, a product and a sum may be rounded once or twice.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14), found, expected
    )


@pytest.mark.parametrize("every", [1, 3])
def test_the_first_of_every_so_many_steps_is_measured(every):
    tx = monitor(adamw(RATE, STRENGTH), every)
    path, state = jax.jit(lambda w: walk(tx, w))(tree(PARAMS))
    last_measured = [k - (k - 1) % every for k in range(1, 8)]
    np.testing.assert_array_equal(state.step, np.arange(1, 8))
    np.testing.assert_array_equal(state.metrics.step, last_measured)
    norms = np.linalg.norm(path["kernel"], axis=(1, 2))
    expected = [norms[k - 1] for k in last_measured]
    np.testing.assert_allclose(state.metrics.weight_norm["kernel"], expected, rtol=1e-6)
    for field in ("gradient_norm", "effective_learning_rate", "decay_to_gradient"):
        values = getattr(state.metrics, field)["kernel"]
        changed = np.flatnonzero(np.diff(values) != 0) + 2
        np.testing.assert_array_equal(changed, np.unique(last_measured)[1:])


@pytest.mark.parametrize("every", [0, -1, 1.5, "2", None])
def test_intervals_that_are_none_raise(every):
    with pytest.raises(ValueError, match="every must be a positive integer"):
        monitor(optax.sgd(RATE), every)


def test_its_state_can_be_donated():
    tx = monitor(adamw(RATE, STRENGTH), 10)
    w = tree(PARAMS)
    step = jax.jit(lambda w, s: tx.update(w, s, w)[1], donate_argnums=1)
    state = tx.init(w)
    buffers = jax.tree.leaves(state)
    assert len({x.unsafe_buffer_pointer() for x in buffers}) == len(buffers)
    assert int(step(w, state).step) == 1


# --- dtypes and structures stay ---

STABLE = {
    **OPTIMIZERS,
    **{f"monitor({name})": monitor(OPTIMIZERS[name], 2) for name in ("adamw", "prox_adam")},
    "monitor(master_weights)": monitor(with_master_weights(prox_adam(RATE, L1(STRENGTH)))),
    "master_weights(monitor)": with_master_weights(monitor(adam_l2(RATE, STRENGTH))),
}


@pytest.mark.parametrize("name", STABLE)
def test_states_keep_structure_and_dtype_under_scan_and_cond(name):
    tx = STABLE[name]
    w = {
        "kernel": jnp.asarray(W, jnp.bfloat16),
        "bias": np.ones(2, np.float32),
        "half": {"kernel": np.ones((2, 2), np.float16)},
    }

    # scan and cond raise themselves when a state changes shape or dtype; nothing is run.
    def step(w, state):
        updates, new = tx.update(w, state, w)
        return optax.apply_updates(w, updates), new

    def both(w):
        state = tx.init(w)
        (w, state), _ = jax.lax.scan(lambda c, _: (step(*c), None), (w, state), length=2)
        return jax.lax.cond(w["bias"][0] > 0, lambda: step(w, state), lambda: (w, state))

    after, _ = jax.eval_shape(both, w)
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, w)


def test_metrics_of_short_weights_are_float32():
    w = np.ones((100, 100), jnp.bfloat16)
    tx = monitor(sgdw(RATE, STRENGTH))
    _, state = jax.jit(lambda w: tx.update(w, tx.init(w), w))(w)
    metrics = read_metrics(state)
    assert metrics.zeros.dtype == metrics.step.dtype == jnp.int32
    for value in metrics._replace(step=jnp.float32(0), zeros=jnp.float32(0)):
        assert value.dtype == jnp.float32
    # In bfloat16 the sum of 10,000 squares of 1 stops at 256.
    assert metrics.gradient_norm == 100
    assert metrics.decay_to_gradient == pytest.approx(STRENGTH, rel=1e-2)


@pytest.mark.parametrize("every", [1, 2])
def test_gradients_wider_than_the_weights_do_not_widen_the_metrics(every, x64):
    w, tx = np.ones(2, np.float32), monitor(optax.sgd(RATE), every)

    def metrics(g, w):
        state = tx.init(w)
        return state.metrics, tx.update(g, state, w)[1].metrics

    before, after = jax.eval_shape(metrics, np.ones(2), w)
    assert [x.dtype for x in after] == [x.dtype for x in before]
