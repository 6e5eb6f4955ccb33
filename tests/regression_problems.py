"""The three regressions and noisy data, with the objective and ridge by other means."""

import numpy as np
import pytest

from regjax import ElasticNetRegression, LassoRegression, RidgeRegression

MODELS = {"ridge": RidgeRegression, "lasso": LassoRegression, "elastic_net": ElasticNetRegression}

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def noisy_data(n_samples=40, n_features=5, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) + 3
    w = np.zeros(n_features)
    w[:3] = 2.0, -1.0, 0.5
    return X, X @ w + 7 + noise * rng.normal(size=n_samples)


DATA = noisy_data()


def penalty(model, w, lambda_, l1_ratio=0.5):
    l1_ratio = {RidgeRegression: 0, LassoRegression: 1}.get(model, l1_ratio)
    return lambda_ * (l1_ratio * np.sum(np.abs(w)) + (1 - l1_ratio) / 2 * np.sum(w**2))


def objective(model, X, y, w, lambda_):
    residual = (y - y.mean()) - (X - X.mean(axis=0)) @ w
    return residual @ residual / (2 * len(y)) + penalty(model, w, lambda_)


def ridge_by_lstsq(X, y, lambda_):
    """Return the ridge weights by stacked least squares in columns of one length."""
    X, y = X - X.mean(axis=0), y - y.mean()
    stacked = np.vstack([X, np.sqrt(len(y) * lambda_) * np.eye(X.shape[1])])
    lengths = np.linalg.norm(stacked, axis=0)
    target = np.concatenate([y, np.zeros(X.shape[1])])
    return np.linalg.lstsq(stacked / lengths, target, rcond=None)[0] / lengths


def curvature(X):
    centred = X - X.mean(axis=0)
    return np.linalg.eigvalsh(centred.T @ centred / len(X))[-1]
