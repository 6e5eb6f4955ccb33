"""Sums of penalties: values add, proximal steps are exact where they are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from problems import (
    WEIGHTS,
    PenaltyCase,
    all_but_the_first,
    as_dtype,
    as_float64,
    assert_close,
    rest,
)

from regjax import L0, L1, L2, ElasticNet, GroupLasso, NonNegative, UnitNorm, mask_penalty


def magnitude(leaves):
    return sum(np.sum(np.abs(x)) for x in leaves)


def energy(leaves):
    return sum(np.sum(x**2) for x in leaves) / 2


def below_zero(leaves):
    return np.inf if any(np.any(x < 0) for x in leaves) else 0.0


def count(leaves):
    return sum(np.count_nonzero(x) for x in leaves)


# Separable sums; strengths differ so that no two terms can be mistaken for one another.
SUMS = [
    PenaltyCase(
        "l1_l2",
        lambda s, w: L1(s) + L2(2 * s),
        lambda x, s: s * magnitude(x) + 2 * s * energy(x),
    ),
    PenaltyCase(
        "l2_l1",
        lambda s, w: L2(2 * s) + L1(s),
        lambda x, s: s * magnitude(x) + 2 * s * energy(x),
    ),
    PenaltyCase(
        "l1_l2_l1_l2",
        lambda s, w: L1(s) + L2(2 * s) + L1(s / 2) + L2(s / 4),
        lambda x, s: 1.5 * s * magnitude(x) + 2.25 * s * energy(x),
    ),
    PenaltyCase(
        "elastic_net_l2",
        lambda s, w: ElasticNet(s, 0.25) + L2(s),
        lambda x, s: 0.25 * s * magnitude(x) + 1.75 * s * energy(x),
    ),
    PenaltyCase(
        "l1_non_negative",
        lambda s, w: L1(s) + NonNegative(),
        lambda x, s: s * magnitude(x) + below_zero(x),
        has_gradient=False,
    ),
    PenaltyCase(
        "non_negative_l2_l1",
        lambda s, w: NonNegative() + (L2(2 * s) + L1(s)),
        lambda x, s: s * magnitude(x) + 2 * s * energy(x) + below_zero(x),
        has_gradient=False,
    ),
    PenaltyCase(
        "elastic_net_non_negative",
        lambda s, w: ElasticNet(s, 0.25) + NonNegative(),
        lambda x, s: 0.25 * s * magnitude(x) + 0.75 * s * energy(x) + below_zero(x),
        has_gradient=False,
    ),
    PenaltyCase(
        "l2_l0",
        lambda s, w: L2(2 * s) + L0(s),
        lambda x, s: 2 * s * energy(x) + s * count(x),
        has_gradient=False,
        convex=False,
    ),
    PenaltyCase(
        "masked_sum",
        lambda s, w: mask_penalty(L1(s) + L2(2 * s), all_but_the_first(w)),
        lambda x, s: s * magnitude(rest(x)) + 2 * s * energy(rest(x)),
    ),
]


def sums(keep=lambda case: True):
    kept = [case for case in SUMS if keep(case)]
    return pytest.mark.parametrize("case", kept, ids=[case.name for case in kept])


# Programs of a sum whose terms are known: only the numbers in it are traced.
prox_of = jax.jit(lambda penalty, *arguments: penalty.prox(*arguments))


@sums()
def test_values_and_gradients_add_up(case, dtype):
    tol = 32 * float(jnp.finfo(dtype).eps)
    w = as_dtype(WEIGHTS["nested"], dtype)

    @jax.jit
    def found(w):
        penalty = case.bind(0.3, w)
        if not case.has_gradient:
            return penalty.value(w), None, None
        value, slope = jax.value_and_grad(penalty.value)(w)
        return value, penalty.gradient(w), slope

    value, hand, automatic = found(w)
    expected = case.closed_form(as_float64(WEIGHTS["nested"]), 0.3)
    np.testing.assert_allclose(value, expected, rtol=tol)
    assert_close(hand, automatic, tol)


@sums()
@pytest.mark.parametrize("step_size", [0.25, 1.0, 3.0])
def test_prox_of_a_sum_is_the_minimiser_on_a_grid(case, step_size, x64):
    strength = 0.7
    grid = np.linspace(-3, 5, 3201)
    penalties = np.array([case.closed_form([np.array([w])], strength) for w in grid])
    for v in (-2.5, -1.3, -0.4, 0.15, 0.9, 2.0, 4.0):
        p = float(prox_of(case.bind(strength, np.zeros(1)), np.array([v]), step_size)[0])

        def objective(w, v=v):
            return (w - v) ** 2 / (2 * step_size) + case.closed_form([np.array([w])], strength)

        heights = (grid - v) ** 2 / (2 * step_size) + penalties
        assert objective(p) <= heights.min() + 1e-14
        if case.convex:
            assert abs(p - grid[heights.argmin()]) <= grid[1] - grid[0]


@sums()
def test_prox_of_a_sum_takes_one_step_per_coordinate(case, dtype):
    v = as_dtype(np.array([1.5, -0.4, 2.0, 0.25, 3.0]), dtype)
    steps = as_dtype(np.array([0.1, 0.5, 1.0, 2.0, 4.0]), dtype)
    penalty = case.bind(0.3, v)
    one_by_one = [np.asarray(prox_of(penalty, v, step))[i] for i, step in enumerate(steps.tolist())]
    tol = 32 * float(jnp.finfo(dtype).eps)
    assert_close(prox_of(penalty, v, steps), np.stack(one_by_one), tol)


@sums()
def test_prox_of_a_sum_takes_steps_by_subtree(case, x64):
    v = as_dtype(WEIGHTS["nested"], np.float64)
    steps = {"head": 0.5, "layers": [{"w": 0.1, "b": 1.0}]}
    penalty = case.bind(0.3, v)
    by_subtree = jax.tree.leaves(prox_of(penalty, v, steps))
    for i, step in enumerate(jax.tree.leaves(jax.tree.broadcast(steps, v))):
        assert_close(by_subtree[i], jax.tree.leaves(prox_of(penalty, v, step))[i], 1e-15)


@pytest.mark.parametrize(
    "penalty",
    [
        lambda s: L1(s) + L2(0.5),
        lambda s: L1(0.5) + L2(s),
        lambda s: L2(s) + L0(0.5),
        lambda s: ElasticNet(s, 0.5) + L2(0.1),
    ],
    ids=["l1", "l2", "l2_beside_l0", "elastic_net"],
)
def test_strengths_by_subtree_reach_the_terms_of_a_sum(penalty, x64):
    v = as_dtype(WEIGHTS["nested"], np.float64)
    strengths = {"head": 0.3, "layers": [{"w": 2.0, "b": 0.0}]}
    steps = {"head": 0.5, "layers": [{"w": 0.1, "b": 1.0}]}
    for step_size in (0.7, steps):
        whole = jax.tree.leaves(prox_of(penalty(strengths), v, step_size))
        for i, strength in enumerate(jax.tree.leaves(jax.tree.broadcast(strengths, v))):
            alone = jax.tree.leaves(prox_of(penalty(strength), v, step_size))[i]
            assert_close(whole[i], alone, 1e-15)


def test_l1_plus_l2_is_the_elastic_net(dtype):
    tol = 32 * float(jnp.finfo(dtype).eps)
    w = as_dtype(WEIGHTS["nested"], dtype)
    summed, mixed = L1(0.3) + L2(0.9), ElasticNet(1.2, 0.25)
    of = jax.jit(
        lambda penalty, step: (penalty.value(w), penalty.gradient(w), penalty.prox(w, step))
    )
    for step_size in (0.1, 1.0, 5.0):
        assert_close(of(summed, step_size), of(mixed, step_size), tol)


def test_strengths_of_a_sum_are_leaves_and_map(x64):
    v, strengths = WEIGHTS["vector"], np.array([0.1, 0.5, 2.0])
    lanes = jax.jit(jax.vmap(lambda s: (L1(s) + L2(0.4)).prox(v, 0.5)))(strengths)
    loop = [prox_of(L1(s) + L2(0.4), v, 0.5) for s in strengths.tolist()]
    assert_close(lanes, np.stack(loop), 1e-15)


# --- with the group lasso ----------------------------------------------------------------


GROUPS = np.array([0, 0, 1])
GROUP_WEIGHTS = np.array([1.5, 0.5])
# Strengths of L1, L2 and the group lasso.
GROUP_SUMS = {
    "sparse_group_lasso": (0.4, 0.0, 0.5),
    "ridge_group_lasso": (0.0, 0.8, 0.5),
    "all_three": (0.2, 0.8, 0.5),
}


@pytest.mark.parametrize(("l1", "l2", "group"), GROUP_SUMS.values(), ids=GROUP_SUMS)
@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_prox_with_the_group_lasso_is_the_numerical_minimiser(l1, l2, group, step_size, x64):
    penalty = GroupLasso(group, GROUPS, 2, GROUP_WEIGHTS)
    if l1:
        penalty = penalty + L1(l1)
    if l2:
        penalty = penalty + L2(l2)

    for v in ([2.0, -0.5, 1.0], [2.0, 0.1, -0.05], [0.5, -0.6, 3.0], [0.1, 0.2, 0.3]):
        v = np.array(v)

        def objective(w, v=v):
            norms = np.sqrt([w[0] ** 2 + w[1] ** 2, w[2] ** 2])
            extra = l1 * magnitude([w]) + l2 * energy([w]) + group * GROUP_WEIGHTS @ norms
            return np.sum((w - v) ** 2) / (2 * step_size) + extra

        p = np.asarray(prox_of(penalty, v, step_size))
        options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000}
        found = scipy.optimize.minimize(objective, v / 2, method="Nelder-Mead", options=options)
        assert objective(p) <= found.fun + 1e-13
        np.testing.assert_allclose(p, found.x, atol=1e-6)


def test_sparse_group_lasso_zeroes_entries_within_a_kept_group():
    penalty = L1(0.5) + GroupLasso(0.5, np.array([0, 0, 1, 1]), 2, np.ones(2))
    p = np.asarray(prox_of(penalty, np.float32([3.0, 0.4, 0.8, -0.7])))
    np.testing.assert_allclose(p, [2.0, 0.0, 0.0, 0.0], rtol=1e-6)


def test_group_lasso_with_a_ridge_by_subtree_takes_the_steps_left_by_subtree(x64):
    v = {"a": np.array([3.0, 1.0]), "b": np.array([-2.0, 0.1])}
    groups = {"a": np.array([0, 1]), "b": np.array([0, 1])}
    ridge, group = L2({"a": 0.1, "b": 0.9}), GroupLasso(1.0, groups, 2, np.array([0.5, 5.0]))
    p = jax.tree.map(np.asarray, prox_of(ridge + group, v))
    kept, entries = (np.array([x["a"][0], x["b"][0]]) for x in (p, v))
    slope = kept - entries + np.array([0.1, 0.9]) * kept + 0.5 * kept / np.linalg.norm(kept)
    np.testing.assert_allclose(slope, 0, atol=1e-14)
    assert p["a"][1] == p["b"][1] == 0


def test_a_sum_takes_a_step_per_coordinate_only_if_all_its_terms_do():
    sphere = UnitNorm(axis=None)
    assert (L1(1.0) + L2(1.0)).diagonal_prox
    assert not (L2(1.0) + sphere).diagonal_prox
    assert not mask_penalty(L2(1.0) + sphere, True).diagonal_prox


# --- what has no closed form -------------------------------------------------------------


@pytest.mark.parametrize(
    "penalty",
    [
        L1(1.0) + L0(1.0),
        ElasticNet(1.0, 0.5) + L0(1.0),
        L0(1.0) + NonNegative(),
        GroupLasso(1.0, GROUPS, 2) + NonNegative(),
        GroupLasso(1.0, GROUPS, 2) + GroupLasso(1.0, GROUPS, 2),
        L0(1.0) + L0(1.0),
        mask_penalty(L1(1.0), True) + L2(1.0),
        mask_penalty(L2(1.0), True) + L1(1.0),
    ],
    ids=lambda penalty: "_".join(type(term).__name__ for term in penalty.terms),
)
def test_unknown_pairs_raise_and_name_the_alternatives(penalty):
    with pytest.raises(ValueError, match=r"not known in closed form.*Known sums.*penalized_loss"):
        penalty.prox(jnp.ones(3))


def test_unknown_pairs_still_have_a_value():
    assert float(jax.jit((L1(1.0) + L0(0.5)).value)(np.float32([3.0, 0.0]))) == 3.5


def test_a_sum_has_no_single_lambda_max():
    with pytest.raises(TypeError, match="ask the terms"):
        (L1(1.0) + L2(1.0)).lambda_max(jnp.ones(2))


def test_adding_what_is_no_penalty_raises():
    with pytest.raises(TypeError, match="unsupported operand"):
        L1(1.0) + 1.0
