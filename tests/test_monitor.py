"""The monitor: its numbers by hand, the optimizer's steps untouched, where it may stand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from regjax import L1, L2, GroupLasso, MaxNorm, masks
from regjax.transforms import (
    Metrics,
    adam_direction,
    adam_l2,
    adamc,
    adamw,
    coupled_l1,
    coupled_l2,
    lionw,
    monitor,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    proximal,
    read_metrics,
    sgd_l2,
    sgdw,
    with_master_weights,
)

RATE, STRENGTH = 0.1, 0.5
W = np.array([[3.0, -4.0], [0.25, 0.0]])
G = np.array([[1.0, 2.0], [-2.0, 4.0]])
PARAMS = {"kernel": W, "bias": np.array([2.0, 0.0])}
GRADIENTS = {"kernel": G, "bias": np.array([3.0, 4.0])}
# Adam's first direction, its eps set to 0, is the sign of the gradient and its metric |g|.
SIGN = np.sign(G)


def soft(v, threshold):
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


def columns(strength):
    return GroupLasso(strength, jnp.array([[0, 1]]), 2, jnp.ones(2))


def shrink_columns(v, threshold):
    norms = np.linalg.norm(v, axis=0)
    return v * np.maximum(1 - threshold / norms, 0)


def decayed(d, pull):
    """The parts of a step `-RATE (d + pull)`."""
    return RATE * d, RATE * pull


def moved(v, after):
    """The parts of a step first to `v` and then to `after`."""
    return W - v, v - after


# Name: (optimizer, what the loss and what the penalty contribute to the kernel, and its step).
CASES = {
    "sgd_l2": (sgd_l2(RATE, STRENGTH), (G, STRENGTH * W), -RATE * (G + STRENGTH * W)),
    "coupled_l1": (
        optax.chain(coupled_l1(STRENGTH), optax.sgd(RATE)),
        (G, STRENGTH * np.sign(W)),
        -RATE * (G + STRENGTH * np.sign(W)),
    ),
    "adam_l2": (
        adam_l2(RATE, STRENGTH, eps=1e-30),
        (G, STRENGTH * W),
        -RATE * np.sign(G + STRENGTH * W),
    ),
    "sgdw": (sgdw(RATE, STRENGTH), decayed(G, STRENGTH * W), -RATE * (G + STRENGTH * W)),
    "sgdw, by the schedule": (
        sgdw(RATE, STRENGTH, scaled_by="schedule", peak_learning_rate=0.4),
        decayed(G, STRENGTH / 0.4 * W),
        -RATE * G - RATE / 0.4 * STRENGTH * W,
    ),
    "adamw": (
        adamw(RATE, STRENGTH, eps=0.0),
        decayed(SIGN, STRENGTH * W),
        -RATE * (SIGN + STRENGTH * W),
    ),
    "adamw, to a target norm": (
        adamw(RATE, STRENGTH, eps=0.0, target_norm=2.0),
        decayed(SIGN, STRENGTH * (1 - 2 / np.linalg.norm(W)) * W),
        -RATE * (SIGN + STRENGTH * (1 - 2 / np.linalg.norm(W)) * W),
    ),
    "adamw, cautious": (
        adamw(RATE, STRENGTH, eps=0.0, cautious=True),
        decayed(SIGN, STRENGTH * np.where(SIGN * W >= 0, W, 0)),
        -RATE * (SIGN + STRENGTH * np.where(SIGN * W >= 0, W, 0)),
    ),
    "adamc": (
        adamc(RATE, STRENGTH, eps=0.0, normalized=masks.everything, peak_learning_rate=0.2),
        decayed(SIGN, RATE / 0.2 * STRENGTH * W),
        -RATE * (SIGN + RATE / 0.2 * STRENGTH * W),
    ),
    "lionw": (lionw(RATE, STRENGTH), decayed(SIGN, STRENGTH * W), -RATE * (SIGN + STRENGTH * W)),
    "prox_sgd": (
        prox_sgd(RATE, L1(STRENGTH)),
        moved(W - RATE * G, soft(W - RATE * G, RATE * STRENGTH)),
        soft(W - RATE * G, RATE * STRENGTH) - W,
    ),
    "prox_adam": (
        proximal(adam_direction(eps=0.0), RATE, L1(STRENGTH), metric="adaptive"),
        moved(W - RATE * SIGN, soft(W - RATE * SIGN, RATE * STRENGTH / np.abs(G))),
        soft(W - RATE * SIGN, RATE * STRENGTH / np.abs(G)) - W,
    ),
    "prox_adamw": (
        prox_adamw(RATE, L2(STRENGTH), eps=0.0),
        moved(W - RATE * SIGN, (W - RATE * SIGN) / (1 + RATE * STRENGTH)),
        (W - RATE * SIGN) / (1 + RATE * STRENGTH) - W,
    ),
    "prox_sgd, groups": (
        prox_sgd(RATE, columns(5.0), mask=masks.by_path("kernel")),
        moved(W - RATE * G, shrink_columns(W - RATE * G, RATE * 5.0)),
        shrink_columns(W - RATE * G, RATE * 5.0) - W,
    ),
    "two penalties in a chain": (
        optax.chain(coupled_l2(0.2), sgdw(RATE, STRENGTH)),
        (G, 0.2 * W, RATE * (G + 0.2 * W), RATE * STRENGTH * W),
        -RATE * (G + 0.2 * W + STRENGTH * W),
    ),
    "no penalty": (optax.sgd(RATE), (G, 0 * G), -RATE * G),
    "no strength": (sgdw(RATE, 0.0), (G, 0 * G), -RATE * G),
}


def tree(values, dtype=None):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), values)


def measured(tx):
    """Return updates and metrics of the first step."""
    w = tree(PARAMS)
    updates, state = jax.jit(tx.update)(tree(GRADIENTS), tx.init(w), w)
    return updates, read_metrics(state)


@pytest.mark.parametrize("name", CASES)
def test_every_field_is_what_one_finds_by_hand(name, x64):
    tx, parts, step = CASES[name]
    updates, metrics = measured(monitor(tx))
    np.testing.assert_allclose(updates["kernel"], step, rtol=1e-12, atol=1e-14)
    after = W + step
    assert metrics.step == 1
    norms = {name: np.linalg.norm(x) for name, x in (("w", W), ("after", after), ("g", G))}
    expected = {
        "weight_norm": norms["after"],
        "zeros": np.sum(np.abs(after) < 1e-15),
        "gradient_norm": norms["g"],
        "effective_learning_rate": np.linalg.norm(step) / norms["w"],
        "decay_to_gradient": sum(
            np.linalg.norm(penalty) / np.linalg.norm(loss)
            for loss, penalty in zip(parts[::2], parts[1::2], strict=True)
        ),
    }
    for field, value in expected.items():
        found = getattr(metrics, field)["kernel"]
        np.testing.assert_allclose(found, value, rtol=1e-12, err_msg=field)
    # The bias is measured and not penalised.
    assert metrics.decay_to_gradient["bias"] == 0
    assert metrics.gradient_norm["bias"] == 5
    np.testing.assert_allclose(
        metrics.effective_learning_rate["bias"], np.linalg.norm(updates["bias"]) / 2, rtol=1e-12
    )


def test_groups_in_the_metric_of_adam_are_measured_by_their_two_parts(x64):
    tx = prox_adam(RATE, columns(8.0), mask=masks.by_path("kernel"), eps=0.0)
    updates, metrics = measured(monitor(tx))
    loss, penalty = moved(W - RATE * SIGN, W + np.asarray(updates["kernel"]))
    assert np.linalg.norm(penalty) > 0.1
    np.testing.assert_allclose(
        metrics.decay_to_gradient["kernel"],
        np.linalg.norm(penalty) / np.linalg.norm(loss),
        rtol=1e-12,
    )


def test_zeros_are_those_after_the_step():
    w = jnp.array([0.05, 0.0, 0.0, 3.0])
    tx = monitor(prox_sgd(0.1, L1(1.0)))
    state = tx.init(w)
    assert read_metrics(state).zeros == 2
    _, state = tx.update(jnp.array([0.0, 0.0, 10.0, 0.0]), state, w)
    # The first falls to zero and the third leaves it.
    assert read_metrics(state).zeros == 2
    _, state = tx.update(jnp.zeros(4), state, w)
    assert read_metrics(state).zeros == 3


def test_before_the_first_step_the_weights_alone_are_known():
    metrics = read_metrics(monitor(adamw(RATE, STRENGTH)).init(tree(PARAMS)))
    assert metrics.step == 0
    np.testing.assert_allclose(metrics.weight_norm["kernel"], np.linalg.norm(W), rtol=1e-6)
    assert metrics.zeros == {"kernel": 1, "bias": 1}
    for field in ("gradient_norm", "effective_learning_rate", "decay_to_gradient"):
        assert getattr(metrics, field) == {"kernel": 0, "bias": 0}


def test_zero_weights_and_zero_gradients_give_no_nan():
    w = tree(jax.tree.map(np.zeros_like, PARAMS))
    for tx in (sgd_l2(RATE, STRENGTH), adamw(RATE, STRENGTH), prox_adam(RATE, L1(STRENGTH))):
        wrapped = monitor(tx)
        _, state = wrapped.update(w, wrapped.init(w), w)
        for leaf in jax.tree.leaves(read_metrics(state)._replace(step=0, zeros=0)):
            assert leaf == 0


def test_a_step_away_from_zero_weights_is_infinitely_large():
    w, tx = jnp.zeros(2), monitor(sgdw(RATE, STRENGTH))
    _, state = tx.update(jnp.ones(2), tx.init(w), w)
    assert read_metrics(state).effective_learning_rate == np.inf
    assert read_metrics(state).decay_to_gradient == 0


# --- the steps are the same ---

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


@pytest.mark.parametrize("name", OPTIMIZERS)
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


# --- where it may stand ---


def test_inside_a_chain_it_sees_what_reaches_it(x64):
    # The gradient's norm is sqrt(25 + 25): clipped to half of it.
    norm = float(np.sqrt(np.sum(G**2) + 25))
    tx = optax.chain(optax.clip_by_global_norm(norm / 2), monitor(sgdw(RATE, STRENGTH)))
    _, metrics = measured(tx)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G) / 2, rtol=1e-12)
    ratio = STRENGTH * np.linalg.norm(W) / (np.linalg.norm(G) / 2)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)
    _, around = measured(
        monitor(optax.chain(optax.clip_by_global_norm(norm / 2), sgdw(RATE, STRENGTH)))
    )
    np.testing.assert_allclose(around.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)
    np.testing.assert_allclose(around.decay_to_gradient["kernel"], ratio, rtol=1e-12)


WRAPPED = {
    "around inject_hyperparams": lambda: monitor(
        optax.inject_hyperparams(sgdw)(RATE, STRENGTH, mask=masks.weights)
    ),
    "inside inject_hyperparams": lambda: optax.inject_hyperparams(
        lambda learning_rate, lambda_: monitor(sgdw(learning_rate, lambda_))
    )(RATE, STRENGTH),
    "around master weights": lambda: monitor(with_master_weights(sgdw(RATE, STRENGTH))),
    "inside master weights": lambda: with_master_weights(monitor(sgdw(RATE, STRENGTH))),
    "around a chain": lambda: monitor(optax.chain(optax.identity(), sgdw(RATE, STRENGTH))),
    "around a masked": lambda: monitor(
        optax.masked(sgdw(RATE, STRENGTH), {"kernel": True, "bias": True})
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_ratio_is_known_through_other_transformations(name, x64):
    _, metrics = measured(WRAPPED[name]())
    ratio = STRENGTH * np.linalg.norm(W) / np.linalg.norm(G)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)


def test_inside_multi_steps_it_measures_the_accumulated_step(x64):
    w = tree(PARAMS)
    tx = optax.MultiSteps(monitor(sgdw(RATE, STRENGTH)), 2)
    update, state = jax.jit(tx.update), tx.init(w)
    # The mean of 0 and twice the gradient is the gradient.
    updates, state = update(jax.tree.map(jnp.zeros_like, w), state, w)
    assert read_metrics(state).step == 0
    np.testing.assert_array_equal(updates["kernel"], 0)
    updates, state = update(jax.tree.map(lambda g: 2.0 * jnp.asarray(g), GRADIENTS), state, w)
    metrics = read_metrics(state)
    assert metrics.step == 1
    np.testing.assert_allclose(updates["kernel"], CASES["sgdw"][2], rtol=1e-12)
    np.testing.assert_allclose(metrics.gradient_norm["kernel"], np.linalg.norm(G), rtol=1e-12)
    ratio = STRENGTH * np.linalg.norm(W) / np.linalg.norm(G)
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-12)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
        lambda tx: with_master_weights(optax.MultiSteps(tx, 2)),
    ],
    ids=["MultiSteps", "gradient_transformation", "nested"],
)
def test_around_multi_steps_it_raises_and_says_what_to_do(wrap):
    tx = monitor(wrap(adamw(RATE, STRENGTH)))
    with pytest.raises(ValueError, match="Put the monitor inside: optax.MultiSteps"):
        tx.init(tree(PARAMS))


def test_around_another_conditional_it_raises_at_the_first_update():
    w, tx = tree(PARAMS), monitor(optax.apply_if_finite(adamw(RATE, STRENGTH), 3))
    state = tx.init(w)
    with pytest.raises(ValueError, match="Put the monitor inside"):
        tx.update(tree(GRADIENTS), state, w)
    with pytest.raises(jax.errors.UnexpectedTracerError):
        jax.jit(tx.update)(tree(GRADIENTS), state, w)
    inside = optax.apply_if_finite(monitor(adamw(RATE, STRENGTH)), 3)
    _, metrics = measured(inside)
    ratio = STRENGTH * np.linalg.norm(W) / 2
    np.testing.assert_allclose(metrics.decay_to_gradient["kernel"], ratio, rtol=1e-4)


def test_around_an_optimizer_of_optax_that_takes_no_extra_arguments_the_ratio_is_zero():
    _, metrics = measured(monitor(optax.adamw(RATE, weight_decay=STRENGTH)))
    assert metrics.decay_to_gradient == {"kernel": 0, "bias": 0}
    assert metrics.gradient_norm["bias"] == 5


def test_extra_arguments_reach_the_optimizer_beside_the_watch():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda g: g * value, updates), state

    direction = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx, w = monitor(proximal(direction, RATE, L1(0.0))), jnp.ones(3)
    updates, _ = tx.update(w, tx.init(w), w, value=3.0)
    np.testing.assert_allclose(updates, -0.3 * w, rtol=1e-6)


def test_strengths_map_in_one_trace_with_their_metrics(x64):
    traces = []

    def ratio(strength):
        traces.append(1)
        tx, w = monitor(adamw(RATE, strength, eps=0.0), every=2), tree(PARAMS)
        _, state = tx.update(tree(GRADIENTS), tx.init(w), w)
        return state.metrics.decay_to_gradient["kernel"]

    grid = jnp.array([0.0, 0.1, 0.5])
    lanes = jax.jit(jax.vmap(ratio))(grid)
    assert len(traces) == 1
    np.testing.assert_allclose(lanes, grid * np.linalg.norm(W) / 2, rtol=1e-12)


def test_lanes_may_have_step_counts_of_their_own():
    tx, w = monitor(sgdw(RATE, STRENGTH), every=2), jnp.array([3.0, 4.0])
    _, once = tx.update(jnp.ones(2), tx.init(w), w)
    states = jax.tree.map(lambda a, b: jnp.stack([a, b]), tx.init(w), once)
    _, states = jax.jit(jax.vmap(lambda s: tx.update(jnp.zeros(2), s, w)))(states)
    np.testing.assert_array_equal(states.step, [1, 2])
    np.testing.assert_array_equal(states.metrics.step, [1, 1])
    np.testing.assert_allclose(states.metrics.gradient_norm, [0, np.sqrt(2)], rtol=1e-6)


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


# --- reading ---


def test_metrics_are_found_in_any_state_and_are_a_tree_like_the_parameters():
    tx = optax.chain(optax.clip(1.0), optax.chain(monitor(adamw(RATE, STRENGTH)), optax.identity()))
    metrics = read_metrics(tx.init(tree(PARAMS)))
    assert isinstance(metrics, Metrics)
    for field in Metrics._fields[1:]:
        assert set(getattr(metrics, field)) == {"kernel", "bias"}


@pytest.mark.parametrize(
    ("tx", "found"),
    [
        (adamw(RATE, STRENGTH), 0),
        (optax.chain(monitor(sgdw(RATE, STRENGTH)), monitor(optax.identity())), 2),
    ],
    ids=["none", "two"],
)
def test_no_monitor_or_several_raise(tx, found):
    with pytest.raises(ValueError, match=f"Expected one monitor .* found {found}"):
        read_metrics(tx.init(tree(PARAMS)))


def test_missing_params_raise():
    tx, w = monitor(optax.sgd(RATE)), jnp.ones(2)
    with pytest.raises(ValueError, match="params"):
        tx.update(w, tx.init(w))


@pytest.mark.parametrize("every", [1, 10])
def test_its_state_can_be_donated(every):
    tx = monitor(adamw(RATE, STRENGTH), every)
    w = tree(PARAMS)
    step = jax.jit(lambda w, s: tx.update(w, s, w)[1], donate_argnums=1)
    buffers = jax.tree.leaves(tx.init(w))
    assert len({x.unsafe_buffer_pointer() for x in buffers}) == len(buffers)
    assert int(step(w, tx.init(w)).step) == 1


def test_parts_that_see_some_leaves_alone_are_added_where_they_belong(x64):
    w = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([[1.0], [2.0]]), "c": jnp.ones(1)}
    g = jax.tree.map(jnp.ones_like, w)
    parts = {"x": sgdw(RATE, 0.5, mask=masks.everything), "y": optax.sgd(RATE)}
    tx = monitor(optax.partition(parts, {"a": "y", "b": "x", "c": "x"}))
    _, state = tx.update(g, tx.init(w), w)
    found = read_metrics(state).decay_to_gradient
    assert found["a"] == 0
    np.testing.assert_allclose(found["b"], 0.5 * np.sqrt(5) / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(found["c"], 0.5, rtol=1e-12)
