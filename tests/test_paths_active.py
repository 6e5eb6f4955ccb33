"""Newton steps on the active set: many unknowns, whether they depend on each other or not."""

import numpy as np
import pytest

from regjax.paths.engines import active_set
from regjax.paths.engines.factor import Factor, Principal

P = 1000


def nearly_independent():
    noise = np.random.default_rng(0).normal(size=(P, P))
    noise += noise.T
    # Of variance 2 off the diagonal: by Wigner its norm is near this.
    return np.eye(P) + 0.05 * noise / np.sqrt(8 * P)


def autoregression():
    return 0.995 ** np.abs(np.subtract.outer(np.arange(P), np.arange(P)))


@pytest.mark.parametrize(
    ("make", "eliminates", "l1_ratio"),
    [(nearly_independent, False, 0.5), (autoregression, True, 1.0)],
)
def test_many_unknowns(monkeypatch, make, eliminates, l1_ratio):
    """Conjugate gradients where they are quick, elimination elsewhere; optimal either way."""
    gram = make()
    cross = gram @ np.random.default_rng(1).normal(size=P)
    l1, l2 = (np.full(P, 1e-3 * share) for share in (l1_ratio, 1 - l1_ratio))
    sizes = []

    def solve(matrix, right):
        sizes.append(len(right))
        return eliminate(matrix, right)

    eliminate = Principal.solve
    monkeypatch.setattr(Principal, "solve", solve)
    free = np.full(P, np.inf)
    b = active_set.solve_active(gram, cross, l1, l2, -free, free, np.zeros(P))
    z = cross - gram @ b - l2 * b
    slack = 1e-9 * np.abs(cross).max()
    assert np.count_nonzero(b) >= active_set._MANY_UNKNOWNS
    np.testing.assert_allclose(z[b != 0], (l1 * np.sign(b))[b != 0], atol=slack)
    assert (np.abs(z[b == 0]) <= l1[b == 0] + slack).all()
    assert any(size >= active_set._MANY_UNKNOWNS for size in sizes) == eliminates


@pytest.mark.parametrize("l2", [0.0, 0.02])
def test_a_factor_serves_sets_that_differ_little(monkeypatch, l2):
    """Columns join, leave and come back, and the penalty falls: one set is factored anew."""
    rng = np.random.default_rng(0)
    gram = autoregression()[:400, :400]
    wanted, kept = rng.random(400) < 0.5, Factor()
    renewed = []
    renew = Factor._renew
    monkeypatch.setattr(Factor, "_renew", lambda *args: renewed.append(1) or renew(*args))
    for k in range(8):
        change = rng.choice(400, 3, replace=False)
        wanted[change] = ~wanted[change]
        free = np.flatnonzero(wanted)
        matrix = Principal(gram, free, np.full(len(free), l2 * 0.95**k + 1e-6))
        dense = gram[np.ix_(free, free)] + np.diag(matrix.diagonal)
        right = rng.normal(size=len(free))
        found = kept.solve(matrix, right, 1e-9)
        assert np.abs(dense @ found - right).max() <= 1e-8
    assert len(renewed) == 1


def test_a_factor_of_far_columns_is_of_no_account():
    """Columns that have left come back alone, and a residual of 0 is solved."""
    gram, kept = autoregression()[:400, :400], Factor()
    right = np.random.default_rng(0).normal(size=400)
    for free in (np.arange(200), np.arange(200), np.arange(190), np.arange(190, 400)):
        matrix = Principal(gram, free, np.full(len(free), 1e-3))
        for of_set in (right[free], np.where(free < 200, right[free], 0.0), 0 * right[free]):
            found = kept.solve(matrix, of_set, 1e-9)
            assert np.abs(matrix @ found - of_set).max() <= 1e-8


def test_a_factor_is_given_up_where_columns_depend_on_each_other():
    gram = autoregression()[:200, :200]
    # The second half repeats the first.
    twice = np.block([[gram, gram], [gram, gram]])
    kept, right = Factor(), np.random.default_rng(0).normal(size=400)
    for free in (np.arange(200), np.arange(400)):
        matrix = Principal(twice, free, np.full(len(free), 1e-3))
        found = kept.solve(matrix, right[: len(free)], 1e-9)
        assert np.abs(matrix @ found - right[: len(free)]).max() <= 1e-6


def copies_of_columns(seed):
    """Columns of one or two rows, their negatives, and copies that differ by 1e-9, in bounds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rng.integers(1, 3), 8))
    X = np.hstack([X, -X, X + 1e-9 * rng.normal(size=X.shape)])
    X /= np.sqrt(np.mean(X**2, axis=0))
    cross = 3 * X.T @ rng.normal(size=len(X)) / len(X)
    upper, lower = rng.choice([0.0, 0.5, np.inf], size=(2, X.shape[1])) * [[1], [-1]]
    start = np.clip(rng.normal(size=len(cross)), lower, upper)
    l1, l2 = (np.full(len(cross), rng.choice(values)) for values in ([1e-6, 0.1, 0.3], [0, 0.1]))
    return X.T @ X / len(X), cross, l1, l2, lower, upper, start


def test_columns_that_push_each_other_back_come_in_one_by_one(monkeypatch):
    fell = []

    def step(*arguments):
        moved, better = take_step(*arguments)
        fell.append(better)
        return moved, better

    take_step = active_set._step
    monkeypatch.setattr(active_set, "_step", step)
    for seed in [*range(40), 157, 1364, 1725]:
        gram, cross, l1, l2, lower, upper, start = copies_of_columns(seed)
        b = active_set.solve_active(gram, cross, l1, l2, lower, upper, start)
        assert ((lower <= b) & (b <= upper)).all()
        slope = cross - gram @ b - l2 * b
        slack = 1e-8 * np.abs(cross).max()
        # Neither direction in which a coefficient may move lowers the objective.
        rise, fall = slope - np.where(b >= 0, l1, -l1), -slope - np.where(b <= 0, l1, -l1)
        assert (rise[b < upper] <= slack).all()
        assert (fall[b > lower] <= slack).all()
    assert not all(fell)
