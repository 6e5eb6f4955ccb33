"""Cautious decay: what it leaves alone, and where it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from decay_problems import MAKERS, RATE, STRENGTH, one_step

from regjax.transforms import adamw, lionw, sgdw


@pytest.mark.parametrize("name", ["sgdw", "adamw", "lionw"])
def test_only_entries_that_the_direction_shrinks_or_leaves_alone_decay(name, x64):
    start = np.array([1.0, -1.0, 0.5, -2.0, 0.0, 3.0])
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(25, 6))
    gradients[:, 5] = 0.0
    free = MAKERS[name](RATE, 0.0)
    tx = MAKERS[name](RATE, STRENGTH, cautious=True)

    @jax.jit
    def both(w, state, other, g):
        updates, state = tx.update(g, state, w)
        # Without decay the update is minus the rate times the direction.
        alone, other = free.update(g, other, w)
        return updates, state, alone, other

    w, (state, other) = start, jax.jit(lambda w: (tx.init(w), free.init(w)))(start)
    seen = set()
    for g in gradients:
        updates, state, alone, other = both(w, state, other, g)
        updates = np.asarray(updates)
        direction = -np.asarray(alone) / RATE
        for i in range(6):
            decayed = direction[i] * w[i] >= 0
            seen.add(bool(decayed))
            expected = -RATE * direction[i] - (RATE * STRENGTH * w[i] if decayed else 0)
            np.testing.assert_allclose(updates[i], expected, rtol=1e-12, atol=1e-16)
        w = w + updates
    assert seen == {True, False}
    # An entry without gradients is one that the direction leaves alone.
    np.testing.assert_allclose(w[5], 3 * (1 - RATE * STRENGTH) ** 25, rtol=1e-12)


def test_entries_whose_product_underflows_are_judged_by_their_signs(dtype):
    tiny = np.asarray(np.sqrt(np.finfo(dtype).tiny) * 1e-6, dtype)
    w, g = np.array([tiny, tiny]), np.array([-tiny, tiny])
    found = one_step(sgdw(0.5, 0.5, cautious=True), w, g)
    np.testing.assert_allclose(np.asarray(found) / tiny, [1.5, 0.25], rtol=1e-6)


CENTRE = np.array([3.0, 0.5, -2.0, 0.2])


def ends(make, rates, n_steps=20_000):
    """Return where constant rates end on `||w - CENTRE||^2 / 2`, farthest over the last steps."""

    def end(rate):
        tx = make(rate)

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(w - CENTRE, state, w)
            w = optax.apply_updates(w, updates)
            return (w, state), jnp.abs(w - CENTRE).max()

        start = jnp.zeros(4)
        _, distance = jax.lax.scan(step, (start, tx.init(start)), length=n_steps)
        return distance[-200:].max()

    return jax.jit(jax.vmap(end))(np.asarray(rates))


@pytest.mark.parametrize(
    "make",
    [lambda *a, **k: adamw(*a, b2=0.9, **k), lionw],
    ids=["adamw", "lionw"],
)
def test_cautious_decay_ends_at_the_minimiser_of_the_loss_up_to_the_rate(make, x64):
    plain = ends(lambda rate: make(rate, 1.0), [4e-3, 2e-3])
    # Plain decay of strength 1 keeps every weight within 1.
    np.testing.assert_allclose(plain, 2.0, atol=1e-2)
    whole, half = np.asarray(ends(lambda rate: make(rate, 1.0, cautious=True), [4e-3, 2e-3]))
    assert 0 < whole < 0.1
    assert half / whole == pytest.approx(0.5, rel=0.1)


def test_cautious_sgd_ends_at_the_minimiser_and_plain_decay_at_half_of_it(x64):
    found = ends(lambda rate: sgdw(rate, 1.0, cautious=True), [0.01], 4000)
    assert found < 0.05
    np.testing.assert_allclose(ends(lambda rate: sgdw(rate, 1.0), [0.01], 4000), 1.5, rtol=1e-6)


def test_cautious_growth_to_a_target_norm_has_the_stationary_points_of_the_loss(x64):
    # The pull is outwards here: it must not hold a weight where the loss still has a slope.
    w = np.array([0.3, 0.4])
    tx = sgdw(0.1, 0.5, target_norm=1.0, cautious=True)
    inwards = one_step(tx, w, np.array([1.0, 1.0]))
    np.testing.assert_allclose(inwards, w - 0.1, rtol=1e-14)
    outwards = one_step(tx, w, np.array([-1.0, -1.0]))
    np.testing.assert_allclose(outwards, w + 0.1 + 0.05 * w, rtol=1e-14)
