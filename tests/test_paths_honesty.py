"""Data at the edge of what numbers can hold: answers are right, or say that they are not."""

import numpy as np
import pytest
import scipy.sparse

from regjax.paths import (
    ConvergenceWarning,
    elastic_net_cv,
    elastic_net_path,
    fold_statistics,
    k_folds,
    lasso_cv,
    lasso_path,
    ridge_cv,
    ridge_path,
    statistics_of_batches,
    sufficient_statistics,
)
from regjax.paths.data.columns import Columns


def normal(*size, seed=0):
    return np.random.default_rng(seed).normal(size=size)


# --- certificates ---


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-7, 1e-8])
@pytest.mark.parametrize("unpenalised", [True, False])
def test_columns_that_are_nearly_one_are_solved_or_not_certified(distance, unpenalised, recwarn):
    x, e = normal(2, 100)
    X, y = np.c_[x, x + distance * e, normal(100, seed=1)], e
    if unpenalised:
        path = lasso_path(X, y, lambdas=[9.0], penalty_weights=[0, 0, 1])
    else:
        path = lasso_path(X, y, lambdas=[0.0])
    columns = X[:, :2] if unpenalised else X
    centred, yc = columns - columns.mean(axis=0), y - y.mean()
    least = np.linalg.lstsq(centred, yc, rcond=1e-15)[1].sum()
    ours = np.sum((y - path.predict(X)[0]) ** 2)
    assert (ours - least) / (yc @ yc) <= 1.1 * path.duality_gap[0] + 1e-9
    assert path.status[0] == (path.duality_gap[0] > 1e-6)


@pytest.mark.parametrize("copies", [2, 30])
def test_columns_that_are_one_are_certified_without_a_penalty(copies):
    X = np.repeat(normal(40, 3), copies, axis=1)
    path = lasso_path(X, normal(40, seed=1), lambdas=[0.0])
    assert not path.status.any()
    X = np.repeat(normal(20, 40), 2, axis=0)
    assert not lasso_path(X, normal(40, seed=1), lambdas=[0.0]).status.any()


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 0.7, 1000.1])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("p", [5, 300])
def test_a_constant_response_has_no_coefficients(constant, l1_ratio, p):
    X = normal(30, p)
    Y = np.c_[np.full(30, constant), X[:, 0]]
    path = elastic_net_path(X, Y, l1_ratio=l1_ratio, n_lambdas=4)
    assert not path.coef[0].any()
    assert path.coef[1].any()
    np.testing.assert_allclose(path.intercept[0], constant)
    assert not path.status.any()


@pytest.mark.parametrize("offset", [1e7, 1e8])
@pytest.mark.parametrize("shape", [(150, 2100), (400, 100)])
def test_sparse_columns_that_are_full_where_it_counts_keep_their_digits(offset, shape):
    n = shape[0]
    X = scipy.sparse.random_array(shape, density=0.02, rng=np.random.default_rng(1)).toarray()
    X[:, 0] = offset + normal(n)
    y = X[:, 0] - offset + 0.1 * normal(n, seed=2)
    X[0, 0] = 0.0
    weight = np.r_[0.0, np.ones(n - 1)]
    chosen = {"sample_weight": weight, "lambdas": [0.5, 0.1], "standardize": True}
    path = elastic_net_path(scipy.sparse.csr_array(X), y, **chosen)
    dense = elastic_net_path(X[1:], y[1:], **chosen | {"sample_weight": None})
    assert not path.status.any()
    np.testing.assert_allclose(path.coef, dense.coef, atol=2e-3)


@pytest.mark.parametrize("offset", [0.0, 1e5, -1e5, [0, 0, 0, 0, 0, 1e9]], ids=str)
def test_products_of_sparse_columns_are_those_of_dense_ones(offset):
    X = normal(40, 6) + np.asarray(offset)
    weight, some, every = np.full((1, 40), 1 / 40), np.arange(3), np.arange(6)
    form = weight, X.mean(axis=0)[None], X.std(axis=0)[None], np.zeros((1, 40, 0))
    sparse, dense = (Columns(columns, *form) for columns in (scipy.sparse.csc_array(X), X))
    for left, right in ((some, every), (every, some)):
        expected = dense.products(0, left, right)
        np.testing.assert_allclose(sparse.products(0, left, right), expected, atol=1e-9)


def test_statistics_of_a_full_sparse_column_have_its_mean():
    X = scipy.sparse.random_array((300, 60), density=0.01, rng=np.random.default_rng(1)).tolil()
    X[:, 3] = (1e8 + normal(300)).reshape(-1, 1)
    weight = np.random.default_rng(2).uniform(size=300)
    y = normal(300, seed=3)
    mine = sufficient_statistics(X.tocsc(), y, weight)
    dense = sufficient_statistics(X.toarray(), y, weight)
    for a, b in zip(mine, dense, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-6)


# --- more columns than a Gram matrix is taken for, and still more rows ---


def test_many_columns_and_still_more_rows(monkeypatch):
    X, y = normal(60, 40), normal(60, seed=1)
    expected = ridge_path(X, y, lambdas=[1.0, 0.01, 0.0])
    monkeypatch.setattr("regjax.paths.engines.spectral.kernel_spectrum", None)
    for form in (np.asarray, scipy.sparse.csc_array):
        path = ridge_path(form(X), y, lambdas=[1.0, 0.01, 0.0], engine="columns")
        np.testing.assert_allclose(path.coef, expected.coef, atol=1e-9)
        assert not path.status.any()


# --- folds, weights, batches ---


@pytest.mark.parametrize("heavy", [1e8, 1e12, 1e16])
def test_a_heavy_row_spoils_no_other_fold(heavy):
    X, y = normal(100, 5), normal(100, seed=1)
    weight = np.ones(100)
    weight[7] = heavy
    splits = k_folds(100, 4)
    chosen = {"lambdas": [1.0, 0.1, 0.01]}
    found = elastic_net_cv(X, y, sample_weight=weight, folds=splits, **chosen)
    for i, (train, test) in enumerate(splits):
        part = elastic_net_path(X[train], y[train], sample_weight=weight[train], **chosen)
        error = np.average((part.predict(X[test]) - y[test]) ** 2, axis=1, weights=weight[test])
        np.testing.assert_allclose(found.fold_errors[0, i], error, rtol=1e-5)


def test_weights_count_in_the_errors_of_wide_data_too():
    X, y = normal(40, 2100), normal(40, seed=1)
    weight = np.random.default_rng(2).uniform(0.1, 5, size=40)
    splits = k_folds(40, 2)
    found = lasso_cv(X, y, sample_weight=weight, folds=splits, lambdas=[0.3, 0.2])
    for i, (train, test) in enumerate(splits):
        part = lasso_path(X[train], y[train], sample_weight=weight[train], lambdas=[0.3, 0.2])
        error = np.average((part.predict(X[test]) - y[test]) ** 2, axis=1, weights=weight[test])
        np.testing.assert_allclose(found.fold_errors[0, i], error, rtol=1e-4)


def test_folds_may_overlap():
    X, y = normal(40, 5), normal(40, seed=1)
    rng = np.random.default_rng(0)
    splits = [(order[:20], order[20:]) for order in (rng.permutation(40), rng.permutation(40))]
    found = lasso_cv(X, y, folds=splits, lambdas=[0.1])
    np.testing.assert_allclose(found.coef, lasso_path(X, y, lambdas=[0.1]).coef[0], atol=1e-6)


def test_the_size_of_all_weights_changes_no_grid_of_rows():
    X, y = normal(40, 5), normal(40, seed=1)
    grids = [lasso_cv(X, y, sample_weight=np.full(40, w)).lambdas for w in (1.0, 1 / 40, 1e-9)]
    np.testing.assert_allclose(grids[1:], [grids[0]] * 2, rtol=1e-9)


def test_batches_take_lists_and_pass_over_what_has_no_weight():
    X, y = normal(40, 3), normal(40, seed=1)
    weight = np.r_[np.zeros(10), np.ones(30)]
    batches = [
        (X[:10].tolist(), y[:10].tolist(), weight[:10].tolist()),
        (X[10:], y[10:].reshape(-1, 1), weight[10:]),
    ]
    whole = sufficient_statistics(X, y, weight)
    parts = fold_statistics(iter(batches), 2)
    for total in (statistics_of_batches(batches), sum(parts)):
        np.testing.assert_allclose(total.xx, whole.xx, atol=1e-10)
        assert total.weight == 30


def test_blocks_of_statistics_add_up(monkeypatch):
    X, y = normal(40, 3), normal(40, seed=1)
    weight = np.r_[np.ones(6), np.zeros(10), np.random.default_rng(0).uniform(size=24)]
    whole = sufficient_statistics(X, y, weight)
    monkeypatch.setattr("regjax.paths.statistics._BLOCK_BYTES", 8 * 3 * 5)
    for a, b in zip(sufficient_statistics(X, y, weight), whole, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_two_responses_in_statistics_are_two_paths():
    X = normal(40, 3)
    assert lasso_path(sufficient_statistics(X, X[:, :2])).coef.shape == (2, 100, 3)


def test_the_callers_sparse_matrix_stays_as_it_is():
    place = (np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1]))
    stored = scipy.sparse.coo_array((np.array([100, 200, 5, 7], dtype=np.int16), place))
    twice = scipy.sparse.csc_array(
        (np.array([1.0, 2, 5, 7]), np.array([0, 0, 1, 2]), np.array([0, 2, 4])), shape=(3, 2)
    )
    before = twice.data.copy()
    small = scipy.sparse.coo_array((np.array([100, 100], np.int8), ([0, 0], [0, 0])), shape=(3, 1))
    assert sufficient_statistics(stored, np.ones(3)).x_mean[0] == 100
    assert sufficient_statistics(twice, np.ones(3)).x_mean[0] == 1
    assert sufficient_statistics(small, np.ones(3)).x_mean[0] == pytest.approx(200 / 3)
    assert twice.nnz == 4
    np.testing.assert_array_equal(twice.data, before)


@pytest.mark.parametrize("engine", ["walk", "dual"])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csc_array])
def test_wide_data_with_an_unpenalised_column_need_one_engine(engine, form, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("the first engine left something to do")

    X, y = normal(15, 80), normal(15, seed=1)
    free = np.r_[0.0, np.ones(79)]
    weight = np.random.default_rng(2).uniform(0.2, 2, size=15)
    monkeypatch.setattr("regjax.paths._solve.sequential_path", forbidden)
    path = elastic_net_path(
        form(X),
        y,
        l1_ratio=float(engine == "walk"),
        n_lambdas=6,
        penalty_weights=free,
        sample_weight=weight,
        tol=1e-10,
    )
    w = weight / weight.sum()
    residual = (y - path.predict(X)) * w
    np.testing.assert_allclose(residual @ X[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(residual.sum(axis=1), 0, atol=1e-12)


# --- refusals ---


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X, y: lasso_path(X, y, tol=-1.0), ValueError, "tol must be"),
        (lambda X, y: lasso_path(X, y, tol=np.nan), ValueError, "tol must be"),
        (lambda X, y: elastic_net_cv(X, y, l1_ratio=[]), ValueError, "l1_ratio is empty"),
        (lambda X, y: lasso_cv(X, y, folds="leave-one-out"), ValueError, "number of folds"),
        (lambda X, y: lasso_cv(X, y, folds=np.arange(30) % 3), ValueError, "number of folds"),
        (lambda X, y: lasso_cv(X, y, folds=5.0), ValueError, "number of folds"),
        (lambda X, y: lasso_cv(X, y).predict(X[:, :2]), ValueError, "X has 2 columns"),
        (lambda X, y: lasso_path(np.ma.masked_less(X, 0), y), ValueError, "masked"),
        (lambda X, y: lasso_path(np.array([["a"]] * 30, object), y), TypeError, "real numbers"),
        (
            lambda X, y: lasso_path(X, y, sample_weight=np.r_[[np.ones(30)], [np.zeros(30)]]),
            ValueError,
            "not 0 everywhere",
        ),
        (lambda X, y: ridge_cv(X), ValueError, "y is missing"),
        (lambda X, y: ridge_cv(X[:1], y[:1]), ValueError, "cannot be left out"),
        (
            lambda X, y: ridge_cv(np.c_[X, np.eye(30)[3]], y, penalty_weights=[1, 1, 1, 1, 0]),
            ValueError,
            r"Row\(s\) \[3\]",
        ),
        (
            lambda X, y: ridge_cv(
                np.c_[np.tile(X, 10), np.eye(30)[3]], y, penalty_weights=np.r_[np.ones(40), 0]
            ),
            ValueError,
            r"Row\(s\) \[3\]",
        ),
        (
            lambda X, y: sufficient_statistics(X, y) - sufficient_statistics(X, y),
            ValueError,
            "No row is left",
        ),
        (
            lambda X, y: sufficient_statistics(X, y) + sufficient_statistics(X[:, :1], y),
            ValueError,
            "do not go with",
        ),
        (
            lambda X, y: lasso_cv([sufficient_statistics(X, y)] * 3, folds=4),
            ValueError,
            "leave folds out",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(call, error, message):
    X, y = normal(30, 4), normal(30, seed=1)
    with pytest.raises(error, match=message):
        call(X, y)


def test_mixed_columns_of_a_frame_are_numbers():
    X, y = normal(30, 2), normal(30, seed=1)
    mixed = np.empty((30, 2), object)
    mixed[:, 0], mixed[:, 1] = X[:, 0] > 0, X[:, 1]
    path = lasso_path(mixed, y)
    np.testing.assert_array_equal(path.coef, lasso_path(mixed.astype(float), y).coef)


def test_a_gap_above_the_tolerance_is_told():
    with pytest.warns(ConvergenceWarning, match="above tol"):
        path = lasso_path(normal(30, 4), normal(30, seed=1), tol=0.0)
    assert path.status.any()


def test_given_lambdas_come_back_as_an_array_of_ones_own():
    path = lasso_path(normal(30, 4), normal(30, seed=1), lambdas=[1.0, 0.5])
    path.lambdas[0] = 2.0
    assert path.lambdas[0] == 2.0


def test_weightings_of_distant_clusters_keep_their_digits():
    rng = np.random.default_rng(5)
    cluster = np.arange(60) // 20
    X = rng.normal(size=(60, 130)) + 1e7 * cluster[:, None]
    y = X[:, 0] - X[:, 1] + rng.normal(size=60)
    weights = (cluster == np.arange(3)[:, None]).astype(float)
    whole = lasso_path(X, y, sample_weight=weights, standardize=True, n_lambdas=10)
    for k in range(3):
        rows = cluster == k
        alone = lasso_path(X[rows], y[rows], lambdas=whole.lambdas[k], standardize=True)
        np.testing.assert_allclose(whole.coef[k], alone.coef, atol=1e-6)
        # Less the mean, the columns are those of clusters about 0.
        near = lasso_path(X[rows] - 1e7 * k, y[rows], lambdas=whole.lambdas[k], standardize=True)
        np.testing.assert_allclose(whole.coef[k], near.coef, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 4), (20, 150)])
@pytest.mark.parametrize("name", ["X", "y"])
def test_what_cannot_be_squared_is_refused(shape, name):
    rng = np.random.default_rng(0)
    data = {"X": rng.normal(size=shape), "y": rng.normal(size=shape[0])}
    data[name] = data[name] * 1e200
    with pytest.raises(ValueError, match=f"^{name} holds values too large to be squared"):
        lasso_path(**data)


@pytest.mark.parametrize(
    ("shape", "power"),
    [((60, 8), -300), ((60, 8), 300), ((150, 90), -80), ((20, 150), 300), ((150, 300), 80)],
)
def test_the_unit_of_the_response_does_not_matter(shape, power):
    rng = np.random.default_rng(3)
    # Powers of two, which round nothing.
    scale = 2.0**power
    X = rng.normal(size=shape)
    y = X[:, :5] @ rng.normal(size=5) + rng.normal(size=shape[0])
    for l1_ratio in (0.0, 1.0):
        one = elastic_net_path(X, y, l1_ratio=l1_ratio, n_lambdas=8)
        # Of ridge regression the strength has no unit.
        lambdas = one.lambdas * (scale if l1_ratio else 1.0)
        other = elastic_net_path(X, y * scale, l1_ratio=l1_ratio, lambdas=lambdas)
        assert not other.status.any()
        np.testing.assert_array_equal(other.coef, one.coef * scale)
        np.testing.assert_array_equal(other.intercept, one.intercept * scale)
    bound = elastic_net_path(X, y, lambdas=[0.1], lower=-0.5, upper=0.25).coef
    same = elastic_net_path(
        X, y * scale, lambdas=[0.1 * scale], lower=-0.5 * scale, upper=0.25 * scale
    )
    np.testing.assert_array_equal(same.coef, bound * scale)


def test_leaving_rows_out_does_not_depend_on_the_unit_of_the_response():
    rng = np.random.default_rng(4)
    for shape in ((40, 6), (15, 40)):
        X, y = rng.normal(size=shape), rng.normal(size=shape[0])
        one = ridge_cv(X, y, lambdas=[1.0, 0.1])
        other = ridge_cv(X, y * 2.0**90, lambdas=[1.0, 0.1])
        np.testing.assert_array_equal(other.fold_errors, one.fold_errors * 2.0**180)


@pytest.mark.parametrize("engine", ["columns", "fast"])
def test_an_engine_that_cannot_be_is_refused(engine):
    X, y = normal(20, 3), normal(20, seed=1)
    parts = [sufficient_statistics(X, y), sufficient_statistics(X, -y)]
    for call in (
        lambda: ridge_path(parts[0], engine=engine),
        lambda: elastic_net_cv(parts, engine=engine),
    ):
        with pytest.raises(ValueError, match="engine must be"):
            call()
    if engine == "fast":
        with pytest.raises(ValueError, match="engine must be"):
            ridge_path(X, y, engine=engine)
