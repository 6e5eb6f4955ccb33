"""The monitor: its numbers by hand, and how they are read."""

import jax
import numpy as np
import optax
import pytest
from monitor_problems import PARAMS, RATE, SIGN, STRENGTH, G, W, columns, measured, tree

from regjax import L1, L2, masks
from regjax.transforms import (
    Metrics,
    adam_direction,
    adam_l2,
    adamw,
    coupled_l1,
    coupled_l2,
    monitor,
    prox_adam,
    prox_adamw,
    prox_sgd,
    proximal,
    read_metrics,
    sgd_l2,
    sgdw,
)


def soft(v, threshold):
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0)


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
    "sgdw, by the schedule": (
        sgdw(RATE, STRENGTH, scaled_by="schedule", peak_learning_rate=0.4),
        decayed(G, STRENGTH / 0.4 * W),
        -RATE * G - RATE / 0.4 * STRENGTH * W,
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
    "no strength": (sgdw(RATE, 0.0), (G, 0 * G), -RATE * G),
}


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
    w = np.array([0.05, 0.0, 0.0, 3.0])
    tx = monitor(prox_sgd(0.1, L1(1.0)))

    @jax.jit
    def steps(w, *gradients):
        state, zeros = tx.init(w), []
        for g in gradients:
            zeros.append(read_metrics(state).zeros)
            _, state = tx.update(g, state, w)
        return *zeros, read_metrics(state).zeros

    # In the first step the first falls to zero and the third leaves it.
    assert steps(w, np.array([0.0, 0.0, 10.0, 0.0]), np.zeros(4)) == (2, 2, 3)


def test_before_the_first_step_the_weights_alone_are_known():
    metrics = read_metrics(jax.jit(monitor(adamw(RATE, STRENGTH)).init)(tree(PARAMS)))
    assert metrics.step == 0
    np.testing.assert_allclose(metrics.weight_norm["kernel"], np.linalg.norm(W), rtol=1e-6)
    assert metrics.zeros == {"kernel": 1, "bias": 1}
    for field in ("gradient_norm", "effective_learning_rate", "decay_to_gradient"):
        assert getattr(metrics, field) == {"kernel": 0, "bias": 0}


def test_zero_weights_and_zero_gradients_give_no_nan():
    optimizers = sgd_l2(RATE, STRENGTH), adamw(RATE, STRENGTH), prox_adam(RATE, L1(STRENGTH))

    @jax.jit
    def states(w):
        watching = [monitor(tx) for tx in optimizers]
        return [tx.update(w, tx.init(w), w)[1] for tx in watching]

    for state in states(jax.tree.map(np.zeros_like, PARAMS)):
        for leaf in jax.tree.leaves(read_metrics(state)._replace(step=0, zeros=0)):
            assert leaf == 0


def test_a_step_away_from_zero_weights_is_infinitely_large():
    w, tx = np.zeros(2), monitor(sgdw(RATE, STRENGTH))
    _, state = jax.jit(lambda g, w: tx.update(g, tx.init(w), w))(np.ones(2), w)
    assert read_metrics(state).effective_learning_rate == np.inf
    assert read_metrics(state).decay_to_gradient == 0


# --- reading ---


def test_metrics_are_found_in_any_state_and_are_a_tree_like_the_parameters():
    tx = optax.chain(optax.clip(1.0), optax.chain(monitor(adamw(RATE, STRENGTH)), optax.identity()))
    metrics = jax.eval_shape(lambda w: read_metrics(tx.init(w)), PARAMS)
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
        jax.eval_shape(lambda w: read_metrics(tx.init(w)), PARAMS)


def test_missing_params_raise():
    tx, w = monitor(optax.sgd(RATE)), np.ones(2)
    with pytest.raises(ValueError, match="params"):
        jax.eval_shape(lambda w: tx.update(w, tx.init(w)), w)
