"""Under the monitor an optimizer takes the same steps, and no state changes its dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from monitor_problems import PARAMS, RATE, STRENGTH, W, columns, tree
from quick import quick

from regjax import L1, MaxNorm, masks
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

OPTIMIZERS = {
    "sgd_l2": sgd_l2(RATE, STRENGTH, momentum=0.9),
    "sgdw": sgdw(RATE, STRENGTH, momentum=0.9),
    "adam_l2": adam_l2(RATE, STRENGTH),
    "adamw": adamw(RATE, STRENGTH, cautious=True, target_norm=0.5),
    "adamc": adamc(RATE, STRENGTH, normalized=masks.everything),
    "lionw": lionw(RATE, STRENGTH),
    "muonw": muonw(RATE, STRENGTH, ns_steps=1),
    "prox_sgd": prox_sgd(RATE, L1(STRENGTH)),
    "prox_adam": prox_adam(RATE, columns(STRENGTH), mask=masks.by_path("kernel")),
    "prox_adamw": prox_adamw(RATE, MaxNorm(1.0, axis=0), mask=masks.by_path("kernel")),
    "adam": optax.adam(RATE),
    "master_weights": with_master_weights(adamw(RATE, STRENGTH)),
}


def descend(tx, start, n_steps=7):
    """Return the parameters and states after every step."""

    def step(carry, k):
        w, state = carry
        g = jax.tree.map(lambda x: (0.3 * x + jnp.sin(2.0 * k)).astype(x.dtype), w)
        updates, state = tx.update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), (w, state)

    steps = jnp.arange(n_steps)
    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), steps)[1])(start)


@pytest.mark.parametrize("name", quick(OPTIMIZERS, "adamw", "prox_adamw"))
def test_the_monitored_steps_are_the_same_and_so_is_the_inner_state(name):
    tx = OPTIMIZERS[name]
    w, g = tree(PARAMS), tree(jax.tree.map(np.sin, PARAMS))
    watching = monitor(tx, every=3)
    expected = tx.update(g, tx.init(w), w)
    updates, state = watching.update(g, watching.init(w), w)
    assert jax.tree.structure((updates, state.optimizer)) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, (updates, state.optimizer), expected)
    # Compiled as a whole, two programs may round a product and a sum once or twice.
    plain, inner = descend(tx, w)
    watched, state = descend(watching, w)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        (plain, inner),
        (watched, state.optimizer),
    )


@pytest.mark.parametrize("every", [1, 3])
def test_the_first_of_every_so_many_steps_is_measured(every):
    path, state = descend(monitor(adamw(RATE, STRENGTH), every), tree(PARAMS))
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


@pytest.mark.parametrize("every", [1, 10])
def test_its_state_can_be_donated(every):
    tx = monitor(adamw(RATE, STRENGTH), every)
    w = tree(PARAMS)
    step = jax.jit(lambda w, s: tx.update(w, s, w)[1], donate_argnums=1)
    buffers = jax.tree.leaves(tx.init(w))
    assert len({x.unsafe_buffer_pointer() for x in buffers}) == len(buffers)
    assert int(step(w, tx.init(w)).step) == 1


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
        "bias": jnp.ones(2),
        "half": {"kernel": jnp.ones((2, 2), jnp.float16)},
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
    w = jnp.ones((100, 100), jnp.bfloat16)
    tx = monitor(sgdw(RATE, STRENGTH))
    _, state = tx.update(w, tx.init(w), w)
    metrics = read_metrics(state)
    assert metrics.zeros.dtype == metrics.step.dtype == jnp.int32
    for value in metrics._replace(step=jnp.float32(0), zeros=jnp.float32(0)):
        assert value.dtype == jnp.float32
    # In bfloat16 the sum of 10,000 squares of 1 stops at 256.
    assert metrics.gradient_norm == 100
    assert metrics.decay_to_gradient == pytest.approx(STRENGTH, rel=1e-2)


@pytest.mark.parametrize("every", [1, 2])
def test_gradients_wider_than_the_weights_do_not_widen_the_metrics(every, x64):
    w, tx = jnp.ones(2, jnp.float32), monitor(optax.sgd(RATE), every)
    state = tx.init(w)
    _, after = tx.update(jnp.ones(2, jnp.float64), state, w)
    assert [x.dtype for x in after.metrics] == [x.dtype for x in state.metrics]
