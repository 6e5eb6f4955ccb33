"""Newton steps on the active set: many unknowns, whether they depend on each other or not."""

import numpy as np
import pytest

from regjax.paths import _active

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

    eliminate = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", solve)
    free = np.full(P, np.inf)
    b = _active.solve_active(gram, cross, l1, l2, -free, free, np.zeros(P))
    z = cross - gram @ b - l2 * b
    slack = 1e-9 * np.abs(cross).max()
    assert np.count_nonzero(b) >= _active._MANY_UNKNOWNS
    np.testing.assert_allclose(z[b != 0], (l1 * np.sign(b))[b != 0], atol=slack)
    assert (np.abs(z[b == 0]) <= l1[b == 0] + slack).all()
    assert any(size >= _active._MANY_UNKNOWNS for size in sizes) == eliminates
