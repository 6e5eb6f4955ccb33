"""Lassos of few rows, walked with few columns in play: the path of all columns, exactly."""

import numpy as np
import pytest
import scipy.sparse

from regjax.paths import elastic_net_cv, elastic_net_path, k_folds
from regjax.paths.engines import homotopy_lanes, homotopy_segments
from regjax.paths.engines.sequential import sequential_path

N, P = 30, 600


def make(seed=0):
    """Return columns that share factors, so that many of them compete, and three responses."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 4)) @ rng.normal(size=(4, P)) + rng.normal(size=(N, P)) + 2.0
    return X, X[:, :3] @ rng.normal(size=(3, 3)) + rng.normal(size=(N, 3))


def draws(n_draws):
    share = np.full(N, 1 / N)
    return np.random.default_rng(1).multinomial(N, share, size=n_draws).astype(float)


FACTORS = np.random.default_rng(2).uniform(0.5, 2.0, size=P)

CASES = {
    "one": {},
    "standardised": {"standardize": True},
    "no intercept": {"fit_intercept": False},
    "weighted": {"sample_weight": draws(1)[0]},
    "many weightings": {"sample_weight": draws(4)},
    "penalty weights": {"penalty_weights": FACTORS},
    "unpenalised": {"penalty_weights": np.where(np.arange(P) < 2, 0.0, FACTORS)},
    "left out": {"penalty_weights": np.where(np.arange(P) % 5 < 2, np.inf, 1.0)},
    # Above the largest lambda of the third response.
    "lanes that end early": {"lambdas": np.geomspace(15.0, 0.15, 25)},
}


@pytest.fixture
def in_play(monkeypatch):
    """Set how many columns are in play; give back how often lanes were taken back."""
    backs = []

    def forbidden(*args, **kwargs):
        raise AssertionError("the walk left something to do")

    def read_off(pieces, state, right, index, lambdas, paths):
        back = int(np.count_nonzero(pieces.here[0] > lambdas[:, -1])) - len(right)
        backs.extend([back] * bool(back))
        real(pieces, state, right, index, lambdas, paths)

    real = homotopy_segments.read_off
    monkeypatch.setattr(homotopy_segments, "read_off", read_off)
    monkeypatch.setattr("regjax.paths._solve.sequential_path", forbidden)

    def choose(number, first=homotopy_segments._FIRST_KINKS):
        backs.clear()
        monkeypatch.setattr(homotopy_segments, "_FIRST_KINKS", first)
        for module in (homotopy_segments, homotopy_lanes):
            monkeypatch.setattr(module, "IN_PLAY", number)
        return backs

    return choose


@pytest.mark.parametrize("case", CASES)
def test_few_columns_in_play_walk_the_path_of_all(case, in_play):
    X, Y = make()
    Y[:, 2] /= 100
    chosen = {"n_lambdas": 40} | CASES[case]
    in_play(P)
    whole = elastic_net_path(X, Y, **chosen)
    backs = in_play(12, first=4)
    few = elastic_net_path(X, Y, **chosen)
    assert backs
    assert few.duality_gap.max() <= 1e-12
    np.testing.assert_allclose(few.coef, whole.coef, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(few.coef != 0, whole.coef != 0)


def test_lanes_go_back_one_by_one(in_play):
    X, Y = make()
    chosen = {"sample_weight": draws(4), "n_lambdas": 20}
    in_play(P)
    whole = elastic_net_path(X, Y, **chosen)
    backs = in_play(60, first=16)
    few = elastic_net_path(X, Y, **chosen)
    assert 0 < min(backs) < 12
    np.testing.assert_allclose(few.coef, whole.coef, rtol=1e-7, atol=1e-9)


def test_as_a_rule_no_lane_goes_back(in_play):
    X, Y = make()
    backs = in_play(homotopy_segments.IN_PLAY)
    elastic_net_path(X, Y)
    assert not backs


@pytest.mark.parametrize("copies", ["same", "opposite", "many"])
def test_columns_that_tie_have_the_fit_of_one_alone(copies, in_play):
    X, Y = make()
    twins = np.arange(P) if copies != "many" else np.repeat(np.arange(5), 40)
    sign = -1.0 if copies == "opposite" else 1.0
    in_play(2 * P)
    alone = elastic_net_path(X, Y, n_lambdas=30)
    in_play(12)
    both = elastic_net_path(np.c_[X, sign * X[:, twins]], Y, n_lambdas=30)
    assert both.duality_gap.max() <= 1e-12
    np.testing.assert_allclose(
        both.predict(np.c_[X, sign * X[:, twins]]), alone.predict(X), atol=1e-7
    )


@pytest.mark.parametrize("factor", [0.6, 0.9])
def test_a_column_that_depended_on_others_enters_when_they_leave(factor, in_play):
    X, Y = make()
    X = X[:, :20]
    sums = np.stack([X[:, i] + X[:, j] for i in range(20) for j in range(i)], axis=1)
    in_play(P)
    path = elastic_net_path(np.c_[X, factor * sums], Y, lambda_min_ratio=1e-3)
    assert path.duality_gap.max() <= 1e-11


def test_a_singular_active_set_is_left_to_another_engine(monkeypatch):
    X, Y = make()
    calls = []

    def singular(inner):
        calls.append(len(inner))
        if len(calls) == 3:
            raise np.linalg.LinAlgError
        return real(inner)

    whole, real = elastic_net_path(X, Y, n_lambdas=30), np.linalg.cholesky
    monkeypatch.setattr(np.linalg, "cholesky", singular)
    path = elastic_net_path(X, Y, n_lambdas=30)
    assert len(calls) == 3
    assert path.duality_gap.max() <= 1e-12
    np.testing.assert_allclose(path.coef, whole.coef, rtol=1e-7, atol=1e-9)


def test_folds_are_walked_with_few_columns_too(in_play):
    X, Y = make()
    chosen = {"folds": k_folds(N, 5), "n_lambdas": 30}
    in_play(P)
    whole = elastic_net_cv(X, Y, **chosen)
    in_play(20)
    few = elastic_net_cv(X, Y, **chosen)
    np.testing.assert_allclose(few.fold_errors, whole.fold_errors, rtol=1e-8)


def test_sparse_columns_are_in_play_like_dense_ones(in_play):
    X, Y = make()
    X = np.where(np.random.default_rng(3).random(X.shape) < 0.3, X, 0.0)
    in_play(12)
    dense, sparse = (elastic_net_path(part, Y) for part in (X, scipy.sparse.csr_array(X)))
    np.testing.assert_allclose(sparse.coef, dense.coef, rtol=1e-7, atol=1e-9)


def test_what_passes_its_bound_and_comes_back_is_seen_by_the_certificates(monkeypatch):
    X, Y = make()
    chosen = {"sample_weight": draws(4), "n_lambdas": 40}
    whole = elastic_net_path(X, Y, **chosen)
    again = []

    def noted(*args):
        again.append(args)
        return sequential_path(*args)

    monkeypatch.setattr("regjax.paths._solve.sequential_path", noted)
    monkeypatch.setattr(homotopy_segments, "_FIRST_KINKS", 16)
    for module in (homotopy_segments, homotopy_lanes):
        monkeypatch.setattr(module, "IN_PLAY", 12)
    path = elastic_net_path(X, Y, **chosen)
    assert len(again) == 1
    assert not path.status.any()
    np.testing.assert_allclose(path.coef, whole.coef, atol=1e-3)
