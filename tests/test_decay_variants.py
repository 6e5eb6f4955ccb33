"""Decay to a target norm, cautious decay, and a scaling for each leaf with AdamC."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from regjax import masks
from regjax.transforms import (
    adamc,
    adamw,
    decoupled_weight_decay,
    lionw,
    muon_direction,
    muonw,
    sgdw,
)

RATE, STRENGTH = 0.05, 0.4
PARAMS = {
    "body": {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([1.0, -1.0])},
    "head": {"kernel": np.array([[-0.5, 0.0], [2.0, 0.25]])},
}
MAKERS = {"sgdw": sgdw, "adamw": adamw, "lionw": lionw, "muonw": muonw}
VARIANTS = {
    "target_norm": {"target_norm": 0.5},
    "cautious": {"cautious": True},
    "both": {"target_norm": 0.5, "cautious": True},
    "scaled_by": {
        "scaled_by": {"squared_learning_rate": masks.by_path("body/*")},
        "peak_learning_rate": 0.1,
    },
}


def params(dtype=None):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), PARAMS)


def run(tx, start, n_steps=20):
    """Return the parameters after every step along gradients that change sign."""

    def step(carry, k):
        w, state = carry
        g = jax.tree.map(
            lambda x: (0.3 * x + jnp.sin(3 * k + jnp.arange(x.size).reshape(x.shape))).astype(
                x.dtype
            ),
            w,
        )
        updates, state = tx.update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    steps = jnp.arange(n_steps)
    return jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), steps)[1])(start)


def last(path):
    return jax.tree.map(lambda leaf: leaf[-1], path)


def one_step(tx, w, g):
    updates, _ = jax.jit(tx.update)(g, tx.init(w), w)
    return optax.apply_updates(w, updates)


def assert_equal(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def gap(a, b):
    return max(
        jax.tree.leaves(jax.tree.map(lambda x, y: float(np.abs(np.subtract(x, y)).max()), a, b))
    )


# --- a target norm ---


@pytest.mark.parametrize("name", MAKERS)
def test_a_target_of_zero_is_plain_decay_bit_for_bit(name):
    make, n_steps = MAKERS[name], 5
    plain = run(make(RATE, STRENGTH), params(), n_steps)
    assert gap(run(make(RATE, STRENGTH, target_norm=0.0), params(), n_steps), plain) == 0
    assert gap(run(make(RATE, STRENGTH, target_norm=1.0), params(), n_steps), plain) > 1e-3


@pytest.mark.parametrize("target", [0.25, 1.0, 10.0])
def test_without_gradients_a_leaf_keeps_its_direction_and_reaches_the_target(target, x64):
    w, tx = params(), sgdw(0.5, 0.5, target_norm=target)
    zeros = jax.tree.map(jnp.zeros_like, w)

    def step(w, _):
        w = optax.apply_updates(w, tx.update(zeros, tx.init(w), w)[0])
        return w, optax.tree.norm(w["body"]["kernel"])

    end, found = jax.jit(lambda: jax.lax.scan(step, w, length=150))()
    for layer in ("body", "head"):
        unit = PARAMS[layer]["kernel"] / np.linalg.norm(PARAMS[layer]["kernel"])
        np.testing.assert_allclose(end[layer]["kernel"], target * unit, rtol=1e-14)
    np.testing.assert_array_equal(end["body"]["bias"], PARAMS["body"]["bias"])
    # The distance to the target shrinks by 1 - lr lambda each step.
    start = np.linalg.norm(PARAMS["body"]["kernel"])
    expected = target + (start - target) * 0.75 ** np.arange(1, 21)
    np.testing.assert_allclose(found[:20], expected, rtol=1e-12)


def test_targets_may_be_given_for_each_subtree(x64):
    w = params()
    tx = sgdw(RATE, STRENGTH, target_norm={"body": 2.0, "head": 0.0}, mask=masks.everything)
    found = one_step(tx, w, jax.tree.map(jnp.zeros_like, w))

    def expected(x, target):
        return x - RATE * STRENGTH * (1 - target / np.linalg.norm(x)) * x

    targets = {"body": {"kernel": 2.0, "bias": 2.0}, "head": {"kernel": 0.0}}
    assert_equal(found, jax.tree.map(expected, PARAMS, targets), rtol=1e-15)


@pytest.mark.parametrize("scaled_by", ["learning_rate", "schedule", "squared_learning_rate"])
def test_a_target_goes_with_every_scaling(scaled_by, x64):
    decays = {"learning_rate": 0.1 * 0.3, "schedule": 0.5 * 0.3, "squared_learning_rate": 0.015}
    w = jnp.array([3.0, 4.0])
    tx = sgdw(0.1, 0.3, scaled_by=scaled_by, peak_learning_rate=0.2, target_norm=2.0)
    expected = w - decays[scaled_by] * (1 - 2.0 / 5.0) * w
    np.testing.assert_allclose(one_step(tx, w, jnp.zeros(2)), expected, rtol=1e-15)


@pytest.mark.parametrize("name", ["sgdw", "adamw", "lionw"])
def test_a_zero_leaf_stays_at_zero_without_nan(name, dtype):
    w = {"kernel": jnp.zeros((2, 2), dtype), "other": {"kernel": jnp.ones((2, 2), dtype)}}
    tx = MAKERS[name](RATE, STRENGTH, target_norm=1.0)
    found = one_step(tx, w, jax.tree.map(jnp.zeros_like, w))
    np.testing.assert_array_equal(found["kernel"], 0)
    # Its norm is 2, twice the target.
    np.testing.assert_allclose(
        found["other"]["kernel"], 1 - RATE * STRENGTH / 2, rtol=2 * np.finfo(dtype).eps
    )


def test_a_step_towards_a_target_has_a_derivative_at_a_zero_leaf():
    w, tx = jnp.zeros(2), sgdw(0.5, 0.5, target_norm=1.0)
    moved = jax.grad(lambda w: tx.update(jnp.ones(2), tx.init(w), w)[0].sum())
    np.testing.assert_allclose(moved(w), -0.25, rtol=1e-6)


def test_the_norm_of_a_bfloat16_leaf_is_summed_in_float32():
    # In bfloat16 the sum of 10,000 squares of 1 stops at 256.
    w = jnp.ones((100, 100), jnp.bfloat16)
    found = one_step(sgdw(0.5, 0.5, target_norm=100.0), w, jnp.zeros_like(w))
    np.testing.assert_array_equal(np.asarray(found, np.float32), 1)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (-1.0, ValueError, "target_norm must be at least 0"),
        (np.nan, ValueError, "target_norm must be finite"),
        ("one", TypeError, "target_norm must be a number"),
        (jnp.ones(2), ValueError, "target_norm must be one scalar per leaf"),
        ({"body": 1.0}, ValueError, "target_norm must be a scalar or a tree prefix"),
    ],
    ids=["negative", "nan", "string", "array", "other_tree"],
)
def test_targets_that_are_none_raise_at_init(target, error, message):
    with pytest.raises(error, match=message):
        adamw(RATE, STRENGTH, target_norm=target).init(params())


# --- cautious decay ---


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

    w, state, other = jnp.asarray(start), tx.init(start), free.init(jnp.asarray(start))
    seen = set()
    for g in gradients:
        updates, state, alone, other = both(w, state, other, g)
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
    tiny = jnp.asarray(np.sqrt(np.finfo(dtype).tiny) * 1e-6, dtype)
    w, g = jnp.array([tiny, tiny]), jnp.array([-tiny, tiny])
    found = one_step(sgdw(0.5, 0.5, cautious=True), w, g)
    np.testing.assert_allclose(found / tiny, [1.5, 0.25], rtol=1e-6)


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

    return jax.jit(jax.vmap(end))(jnp.asarray(rates))


@pytest.mark.parametrize(
    "make",
    [lambda *a, **k: adamw(*a, b2=0.9, **k), lionw],
    ids=["adamw", "lionw"],
)
def test_cautious_decay_ends_at_the_minimiser_of_the_loss_up_to_the_rate(make, x64):
    plain = ends(lambda rate: make(rate, 1.0), [4e-3, 2e-3])
    # Plain decay of strength 1 keeps every weight within 1.
    np.testing.assert_allclose(plain, 2.0, atol=1e-2)
    whole, half = ends(lambda rate: make(rate, 1.0, cautious=True), [4e-3, 2e-3])
    assert 0 < whole < 0.1
    assert half / whole == pytest.approx(0.5, rel=0.1)


def test_cautious_sgd_ends_at_the_minimiser_and_plain_decay_at_half_of_it(x64):
    found = ends(lambda rate: sgdw(rate, 1.0, cautious=True), [0.01], 4000)
    assert found < 0.05
    np.testing.assert_allclose(ends(lambda rate: sgdw(rate, 1.0), [0.01], 4000), 1.5, rtol=1e-6)


def test_cautious_growth_to_a_target_norm_has_the_stationary_points_of_the_loss(x64):
    # The pull is outwards here: it must not hold a weight where the loss still has a slope.
    w = jnp.array([0.3, 0.4])
    tx = sgdw(0.1, 0.5, target_norm=1.0, cautious=True)
    inwards = one_step(tx, w, jnp.array([1.0, 1.0]))
    np.testing.assert_allclose(inwards, w - 0.1, rtol=1e-14)
    outwards = one_step(tx, w, jnp.array([-1.0, -1.0]))
    np.testing.assert_allclose(outwards, w + 0.1 + 0.05 * w, rtol=1e-14)


# --- a scaling for each leaf, and AdamC ---

SCHEDULE = optax.cosine_decay_schedule(0.1, 20)
BODY, HEAD = masks.by_path("body/*"), masks.by_path("head/*")


@pytest.mark.parametrize("make", [sgdw, adamw])
@pytest.mark.parametrize(
    "mapping",
    [
        {"squared_learning_rate": BODY},
        {"schedule": {"body": False, "head": True}},
        {"squared_learning_rate": BODY, "schedule": HEAD},
        {"learning_rate": HEAD, "schedule": BODY},
        {},
    ],
    ids=["one", "tree", "two", "named", "empty"],
)
def test_a_mapping_of_masks_equals_one_optimizer_for_each_part(make, mapping, x64):
    common = {"peak_learning_rate": 0.1, "mask": masks.everything}
    whole = run(make(SCHEDULE, STRENGTH, scaled_by=mapping, **common), params())
    for part, mask in (("body", BODY), ("head", HEAD)):
        chosen = [
            key for key, m in mapping.items() if m is mask or (isinstance(m, dict) and m[part])
        ]
        scaling = chosen[0] if chosen else "learning_rate"
        alone = run(make(SCHEDULE, STRENGTH, scaled_by=scaling, **common), params()[part])
        assert_equal(whole[part], alone, rtol=1e-12, atol=1e-14)


def test_the_scalings_differ(x64):
    ends_of = [
        last(run(sgdw(SCHEDULE, STRENGTH, scaled_by=s, peak_learning_rate=0.1), params()))
        for s in ("learning_rate", "schedule", "squared_learning_rate")
    ]
    assert gap(ends_of[0], ends_of[1]) > 1e-2
    assert gap(ends_of[0], ends_of[2]) > 1e-2


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


# --- all variants under the transformations of JAX and optax ---


@pytest.mark.parametrize("variant", VARIANTS)
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


def test_targets_map_in_one_trace():
    traces = []

    def final(target):
        traces.append(1)
        w = jnp.array([3.0, 4.0])
        return one_step(sgdw(0.5, 0.5, target_norm=target), w, jnp.zeros(2))

    lanes = jax.jit(jax.vmap(final))(jnp.array([0.0, 5.0, 10.0]))
    assert len(traces) == 1
    np.testing.assert_allclose(lanes, np.outer([0.75, 1.0, 1.25], [3.0, 4.0]), rtol=1e-6)


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


def test_adamc_is_injected_with_its_peak(x64):
    options = {"normalized": BODY, "peak_learning_rate": 0.1}
    injected = optax.inject_hyperparams(adamc)(SCHEDULE, STRENGTH, **options)
    plain = adamc(SCHEDULE, STRENGTH, **options)
    assert_equal(run(injected, params()), run(plain, params()), rtol=1e-12)
    with pytest.raises(ValueError, match="peak_learning_rate"):
        optax.inject_hyperparams(adamc)(SCHEDULE, STRENGTH, normalized=BODY).init(params())


@pytest.mark.parametrize("variant", VARIANTS)
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


@pytest.mark.parametrize("low", [jnp.bfloat16, jnp.float16])
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
