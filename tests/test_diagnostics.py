"""Statistics, pruning, sparse export, condition numbers and verdicts against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regjax import masks
from regjax.diagnostics import (
    fit_verdicts,
    magnitude_prune,
    ridge_condition_number,
    sparsity,
    to_sparse,
    weight_statistics,
)

PARAMS = {
    "dense": {
        "kernel": np.array([[3.0, 0.0, -4.0], [0.0, 0.0, 0.0]], np.float32),
        "bias": np.array([1.0, -1.0, 0.0], np.float32),
    },
    "norm": {"scale": np.array([2.0], np.float32)},
    "step": np.array(7),
}


# --- statistics ---


def test_statistics_are_those_of_each_leaf_in_order():
    rows = weight_statistics(jax.tree.map(jnp.asarray, PARAMS))
    assert [(row.path, row.shape) for row in rows] == [
        ("dense/bias", (3,)),
        ("dense/kernel", (2, 3)),
        ("norm/scale", (1,)),
    ]
    bias, kernel, scale = rows
    assert (kernel.max_abs, kernel.norm) == (4.0, 5.0)
    assert kernel.mean_abs == pytest.approx(7 / 6)
    assert kernel.zero_share == pytest.approx(4 / 6)
    assert (bias.max_abs, bias.mean_abs) == (1.0, pytest.approx(2 / 3))
    assert bias.norm == pytest.approx(np.sqrt(2))
    assert bias.zero_share == pytest.approx(1 / 3)
    assert (scale.mean_abs, scale.norm, scale.zero_share) == (2.0, 2.0, 0.0)
    assert all(type(value) is float for value in (bias.mean_abs, bias.norm, bias.zero_share))


def test_statistics_respect_the_mask():
    for mask in (masks.weights, masks.by_path("dense/kernel")):
        assert [row.path for row in weight_statistics(PARAMS, mask)] == ["dense/kernel"]
    tree = {"dense": {"kernel": False, "bias": True}, "norm": False, "step": False}
    assert [row.path for row in weight_statistics(PARAMS, tree)] == ["dense/bias"]


def test_statistics_of_small_dtypes_neither_overflow_nor_round():
    w = jnp.full(1000, 3e4, jnp.float16)
    [row] = weight_statistics(w)
    assert row.norm == pytest.approx(float(w[0]) * np.sqrt(1000))
    [row] = weight_statistics(jnp.full(1000, 0.1, jnp.bfloat16))
    assert row.mean_abs == float(jnp.bfloat16(0.1))


def test_an_empty_leaf_has_statistics_of_zero():
    [row] = weight_statistics({"kernel": jnp.zeros((0, 3))})
    assert (row.shape, row.mean_abs, row.max_abs) == ((0, 3), 0.0, 0.0)
    assert (row.norm, row.zero_share) == (0.0, 0.0)


def test_sparsity_is_the_share_of_zeros_among_all_selected_weights():
    assert sparsity(PARAMS) == pytest.approx(4 / 6)
    assert sparsity(PARAMS, masks.everything) == pytest.approx(5 / 10)
    assert sparsity(jnp.zeros(3)) == 1.0
    assert sparsity(jnp.array([1e-30, -1e-30])) == 0.0
    assert sparsity({"a": {"w": jnp.zeros(1)}, "b": {"w": jnp.ones(3)}}) == 0.25


def test_sparsity_of_no_weights_raises():
    with pytest.raises(ValueError, match="no weights"):
        sparsity({"kernel": jnp.zeros((0, 3))})


# --- pruning ---


@pytest.mark.parametrize("keep", [0, 0.0, 0.01, 0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 1])
@pytest.mark.parametrize(
    ("ties", "dtype"),
    [(False, np.float32), (True, np.float64)],
    ids=["float32", "ties, float64"],
    indirect=["dtype"],
)
def test_pruning_keeps_exactly_the_largest_share_over_all_leaves(keep, ties, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 5)), 10 * rng.normal(size=(7,))
    if ties:
        a, b = np.sign(a), np.sign(b)
    params = {"a": {"kernel": a.astype(dtype)}, "b": {"kernel": b.astype(dtype)}}
    pruned = magnitude_prune(params, keep)
    before = np.concatenate([params[name]["kernel"].ravel() for name in "ab"])
    after = np.concatenate([np.ravel(pruned[name]["kernel"]) for name in "ab"])
    count = round(keep * 27)
    assert np.count_nonzero(after) == count
    kept = after != 0
    np.testing.assert_array_equal(after[kept], before[kept])
    if 0 < count < 27:
        assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()
    if ties:
        # Ties go to the earlier entries.
        np.testing.assert_array_equal(np.flatnonzero(kept), np.arange(count))
    assert pruned["a"]["kernel"].shape == (4, 5)
    assert pruned["a"]["kernel"].dtype == dtype


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1,), (3,), (2, 3)]),
    keep=st.floats(0, 1),
    values=st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 3.0]), min_size=6, max_size=6),
)
def test_pruning_any_array_keeps_round_of_the_share(shape, keep, values):
    w = np.resize(values, shape)
    pruned = np.asarray(magnitude_prune(jnp.asarray(w, jnp.float32), keep))
    assert np.count_nonzero(pruned) == round(keep * w.size)
    assert ((pruned == w) | (pruned == 0)).all()
    np.testing.assert_array_equal(magnitude_prune(pruned, keep), pruned)


def test_pruning_leaves_what_the_mask_leaves_out():
    params = jax.tree.map(jnp.asarray, PARAMS)
    pruned = magnitude_prune(params, 0)
    np.testing.assert_array_equal(pruned["dense"]["kernel"], 0)
    np.testing.assert_array_equal(pruned["dense"]["bias"], PARAMS["dense"]["bias"])
    np.testing.assert_array_equal(pruned["norm"]["scale"], 2)
    assert pruned["step"] == 7
    # The threshold is that of the selected leaves: the scale of 2 does not count.
    pruned = magnitude_prune(params, 2 / 3, masks.by_path("dense/bias"))
    np.testing.assert_array_equal(pruned["dense"]["bias"], PARAMS["dense"]["bias"])
    np.testing.assert_array_equal(pruned["dense"]["kernel"], PARAMS["dense"]["kernel"])
    # Of kernel and bias together, 4, 3 and the first of the two ones stay.
    both = magnitude_prune(params, 3 / 9, masks.by_path("dense/*"))
    np.testing.assert_array_equal(both["dense"]["kernel"], [[3, 0, -4], [0, 0, 0]])
    np.testing.assert_array_equal(both["dense"]["bias"], [1, 0, 0])


def test_pruning_keeps_low_precision():
    w = jnp.array([3.0, -0.1, 1.0, -2.0], jnp.bfloat16)
    pruned = magnitude_prune(w, 0.5)
    assert pruned.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(pruned, np.float32), [3, 0, 0, -2])


@pytest.mark.parametrize("keep", [-0.1, 1.1, np.nan])
def test_shares_outside_zero_and_one_raise(keep):
    with pytest.raises(ValueError, match="keep"):
        magnitude_prune(jnp.ones(3), keep)


# --- sparse export ---


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(0, np.float64), (5, np.float32)],
    ids=["float64", "float32"],
    indirect=["dtype"],
)
def test_the_sparse_matrix_holds_the_non_zeros_and_multiplies_alike(count, dtype):
    rng = np.random.default_rng(1)
    w = np.zeros(12, dtype)
    w[rng.permutation(12)[:count]] = rng.normal(size=count)
    w = w.reshape(3, 4)
    x, batch = rng.normal(size=4).astype(dtype), rng.normal(size=(4, 2)).astype(dtype)
    layer = to_sparse(jnp.asarray(w))
    assert (layer.nse, layer.shape, layer.dtype) == (count, (3, 4), dtype)
    tolerance = 10 * np.finfo(dtype).eps
    one, many, dense = jax.jit(lambda m: (m @ x, m @ batch, m.todense()))(layer)
    np.testing.assert_allclose(one, w @ x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(many, w @ batch, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(dense, w)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), ()])
def test_only_matrices_are_exported(shape):
    with pytest.raises(ValueError, match="matrix"):
        to_sparse(jnp.ones(shape))


# --- condition number ---


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((20, 5), np.float32), ((5, 5), np.float64), ((4, 7), np.float32)],
    ids=["float32-tall", "float64-square", "float32-wide"],
    indirect=["dtype"],
)
def test_the_condition_number_is_numpys(shape, dtype):
    X = np.random.default_rng(2).normal(size=shape)
    for lambda_ in (1e-3, 0.1, 10.0):
        expected = np.linalg.cond(X.T @ X / shape[0] + lambda_ * np.eye(shape[1]))
        found = ridge_condition_number(jnp.asarray(X, dtype), lambda_)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=2e4 * np.finfo(dtype).eps)


def test_the_condition_number_falls_with_lambda_and_maps_over_it():
    X = np.random.default_rng(3).normal(size=(20, 5)).astype(np.float32)
    eps = np.finfo(np.float32).eps
    grid = np.array([0.0, 1e-3, 1e-2, 0.1, 1.0, 100.0], np.float32)
    lanes = np.asarray(jax.jit(jax.vmap(lambda s: ridge_condition_number(X, s)))(grid))
    assert (np.diff(lanes) < 0).all()
    assert 1 < lanes[-1] < 1.1
    loop = [ridge_condition_number(X, float(strength)) for strength in grid]
    np.testing.assert_allclose(lanes, loop, rtol=100 * eps)
    expected = np.linalg.cond(X.astype(np.float64)) ** 2
    np.testing.assert_allclose(lanes[0], expected, rtol=2e3 * eps)


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (np.random.default_rng(4).normal(size=(3, 5)), np.float32),
        (np.random.default_rng(4).normal(size=(9, 2))[:, [0, 1, 0]], np.float64),
        (np.zeros((4, 2)), np.float32),
        (np.zeros((2, 4)), np.float64),
    ],
    ids=["wide", "duplicated", "zeros", "wide_zeros"],
    indirect=["dtype"],
)
def test_a_singular_matrix_has_an_infinite_condition_number_until_lambda_helps(X, dtype):
    X = jnp.asarray(X, dtype)
    assert ridge_condition_number(X, 0.0) == np.inf
    largest = np.linalg.norm(np.asarray(X, np.float64), 2) ** 2 / X.shape[0]
    expected = (largest + 0.5) / 0.5
    np.testing.assert_allclose(
        ridge_condition_number(X, 0.5), expected, rtol=100 * np.finfo(dtype).eps
    )


@pytest.mark.parametrize(
    ("X", "lambda_"), [(np.ones(3), 0.1), (np.ones((0, 2)), 0.1), (np.ones((3, 2)), -0.1)]
)
def test_condition_numbers_refuse_what_does_not_fit(X, lambda_):
    with pytest.raises(ValueError, match=r"X must|lambda_ must"):
        ridge_condition_number(X, lambda_)


# --- verdicts ---

OVER, GOOD, UNDER, LOST = "overfitting", "good", "underfitting", "diverged"


@pytest.mark.parametrize(
    ("lambdas", "losses", "errors", "expected"),
    [
        ([0.01, 0.1, 1.0, 10.0], [2.0, 1.2, 1.0, 3.0], 0.0, [OVER, OVER, GOOD, UNDER]),
        # Within one standard error of the best strength's, the boundary included.
        ([0.01, 0.1, 1.0, 10.0], [2.0, 1.25, 1.0, 1.26], 0.25, [OVER, GOOD, GOOD, UNDER]),
        # The error that counts is the best strength's own.
        ([0.1, 1.0, 10.0], [1.5, 1.0, 1.5], [9.0, 0.1, 9.0], [OVER, GOOD, UNDER]),
        ([0.1, 1.0, 10.0], [1.5, 1.0, 1.5], [0.0, 0.5, 0.0], [GOOD, GOOD, GOOD]),
        # Any order of strengths.
        ([10.0, 0.01, 1.0, 0.1], [3.0, 2.0, 1.0, 1.2], 0.0, [UNDER, OVER, GOOD, OVER]),
        # The best at either end of the grid.
        ([0.1, 1.0, 10.0], [1.0, 2.0, 3.0], 0.0, [GOOD, UNDER, UNDER]),
        ([0.1, 1.0, 10.0], [3.0, 2.0, 1.0], 0.0, [OVER, OVER, GOOD]),
        # Diverged fits are never best and never good.
        ([0.01, 0.1, 1.0, 10.0], [np.nan, 1.0, 2.0, np.inf], 0.0, [LOST, GOOD, UNDER, LOST]),
        ([0.1, 1.0], [1.0, np.nan], [np.nan, np.nan], [GOOD, LOST]),
        ([0.5], [1.0], 0.0, [GOOD]),
        ([0.0, 1.0], [5.0, 1.0], 0.0, [OVER, GOOD]),
    ],
)
def test_verdicts_tell_over_from_underfitting(lambdas, losses, errors, expected):
    assert fit_verdicts(lambdas, losses, errors) == expected
    if np.ndim(errors) == 0:
        assert fit_verdicts(np.array(lambdas), np.array(losses), errors) == expected


@pytest.mark.parametrize("losses", [[np.nan, np.nan], [np.inf, np.nan]])
def test_verdicts_need_a_finite_loss(losses):
    with pytest.raises(ValueError, match="finite"):
        fit_verdicts([0.1, 1.0], losses)


@pytest.mark.parametrize(
    ("lambdas", "losses", "errors"),
    [
        ([0.1, 1.0], [1.0], 0.0),
        ([0.1, 1.0], [[1.0, 2.0]], 0.0),
        ([[0.1], [1.0]], [[1.0], [2.0]], 0.0),
        ([0.1, 1.0], [1.0, 2.0], [0.1, 0.1, 0.1]),
        ([], [], 0.0),
    ],
)
def test_verdicts_need_lists_of_one_length(lambdas, losses, errors):
    with pytest.raises(ValueError, match="one length|No validation loss"):
        fit_verdicts(lambdas, losses, errors)
