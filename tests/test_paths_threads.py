"""Lanes on threads: the same answers, one caller at a time, and no trace left behind."""

import itertools
import threading

import numpy as np
import pytest
import threadpoolctl

from regjax.paths import _threads, elastic_net_cv, elastic_net_path


def make(n, p):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    return X, X[:, :5].sum(axis=1) + rng.normal(size=n)


@pytest.fixture
def always(monkeypatch):
    """Let every call be worth its threads, on two cores."""
    monkeypatch.setattr(_threads, "cores", lambda: 2)
    monkeypatch.setattr("regjax.paths.engines.batched.cores", lambda: 2)
    real = _threads.run_each
    names = []

    def eager(work, lanes, *, worthwhile):
        def noted(lane):
            names.append(threading.current_thread().name)
            return work(lane)

        return real(noted, lanes, worthwhile=True)

    for module in ("_solve", "engines.homotopy_lanes", "engines.batched", "_lanes", "statistics"):
        monkeypatch.setattr(f"regjax.paths.{module}.run_each", eager)
    return names


# The engines of the lasso, of mixes and of ridge, with few columns, with more, and with few rows.
@pytest.mark.parametrize(
    ("shape", "l1_ratio"),
    [
        *itertools.product([(80, 20), (300, 90)], [1.0, 0.5, 0.0]),
        *itertools.product([(140, 2100)], [1.0, 0.0]),
    ],
)
def test_threads_change_no_answer(shape, l1_ratio, request):
    X, y = make(*shape)
    Y = np.stack([y, -y + X[:, 9]], axis=1)
    weight = np.random.default_rng(1).uniform(size=(3, len(y)))

    def run():
        path = elastic_net_path(X, Y, sample_weight=weight, l1_ratio=l1_ratio, n_lambdas=8)
        return path.coef, elastic_net_cv(X, y, l1_ratio=l1_ratio, n_lambdas=8).fold_errors

    alone = run()
    names = request.getfixturevalue("always")
    for one, other in zip(run(), alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert len(set(names)) > 1


def test_lanes_come_back_in_order_and_errors_come_out(monkeypatch):
    monkeypatch.setattr(_threads, "cores", lambda: 2)
    before = threadpoolctl.threadpool_info()
    assert _threads.run_each(lambda i: i * i, range(9), worthwhile=True) == [
        i * i for i in range(9)
    ]
    with pytest.raises(ZeroDivisionError):
        _threads.run_each(lambda i: 1 // (i - 3), range(9), worthwhile=True)
    assert threadpoolctl.threadpool_info() == before


def test_within_a_thread_and_beside_another_caller_there_are_no_more_threads(monkeypatch):
    monkeypatch.setattr(_threads, "cores", lambda: 2)

    def name(_):
        return threading.current_thread().name

    def nested(_):
        return {name(0), *_threads.run_each(name, range(3), worthwhile=True)}

    assert all(len(names) == 1 for names in _threads.run_each(nested, range(4), worthwhile=True))
    assert _threads.run_each(name, range(3), worthwhile=False) == [name(0)] * 3


def test_without_threadpoolctl_all_runs_here(monkeypatch):
    monkeypatch.setattr(_threads, "cores", lambda: 2)
    monkeypatch.setattr(_threads, "_controller", lambda: None)
    here = threading.current_thread().name
    names = _threads.run_each(lambda _: threading.current_thread().name, range(4), worthwhile=True)
    assert names == [here] * 4
