"""Linear regression in a sweep: all strengths of a split are one path.

Ridge, lasso and elastic net differ in `l1_ratio` alone. The path engine solves every strength in
one call, and bounds by a duality gap how far each one is from its optimum.
"""

from __future__ import annotations

import dataclasses
import warnings

import jax
import numpy as np

from regjax.paths import ConvergenceWarning, elastic_net_path
from regjax.sweeps.lanes.training import Fit
from regjax.sweeps.model import Metrics, Params, Scaler, scale_features, scale_response
from regjax.tables import Task

_TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True)
class LeastSquaresModel:
    """`y = X w + b` on standardised features and response."""

    task: Task = "regression"
    n_outputs: int = 1
    dtype = "float64"

    def fit_path(self, lambdas: np.ndarray, l1_ratio: float, X: np.ndarray, y: np.ndarray) -> Fit:
        """Fit every strength to raw data; all leaves have the strengths as leading axis."""
        n_lambdas = len(lambdas)
        scaler = scale_features(X)
        y_mean, y_scale = scale_response(y)
        Z, z = scaler.apply(X), (y - y_mean) / y_scale
        with warnings.catch_warnings():
            # The status of a lane says it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            path = elastic_net_path(
                Z, z, l1_ratio=l1_ratio, lambdas=lambdas, fit_intercept=False, tol=_TOLERANCE
            )
        # Paths descend, grids have any order.
        place = np.argsort(np.argsort(-lambdas))
        weights = path.coef[place]
        values = _eigenvalues(Z)
        l1, l2 = lambdas * l1_ratio, lambdas * (1 - l1_ratio)
        gradient = (weights @ Z.T - z) @ Z / len(z)
        return Fit(
            params={
                "scaler": Scaler(*(np.tile(vector, (n_lambdas, 1)) for vector in scaler)),
                "weights": weights,
                "y_mean": np.full(n_lambdas, y_mean),
                "y_scale": np.full(n_lambdas, y_scale),
            },
            metrics={
                "weight_norm": np.linalg.norm(weights, axis=1),
                "zero_share": np.mean(weights == 0, axis=1),
                "condition_number": _condition_numbers(values, l2, max(Z.shape)),
                "kkt_residual": _kkt_residual(weights, gradient, l1, l2, values[-1]),
                "duality_gap": path.duality_gap[place],
                "solver_status": path.status[place],
            },
        )

    def predict(self, params: Params, X: jax.Array) -> jax.Array:
        """Return the response (n,) for raw features."""
        return params["scaler"].apply(X) @ params["weights"] * params["y_scale"] + params["y_mean"]

    def penalized_weights(self, params: Params) -> list[jax.Array]:
        return [params["weights"]]

    def shapes(self, n_features: int) -> Params:
        vector = jax.ShapeDtypeStruct((n_features,), np.dtype(self.dtype))
        scalar = jax.ShapeDtypeStruct((), np.dtype(self.dtype))
        return {
            "scaler": Scaler(vector, vector),
            "weights": vector,
            "y_mean": scalar,
            "y_scale": scalar,
        }

    def status_text(self, metrics: Metrics) -> np.ndarray:
        missed = f"duality gap above {_TOLERANCE:g}"
        return np.where(metrics["solver_status"] == 0, "converged", missed)


def _eigenvalues(Z: np.ndarray) -> np.ndarray:
    """Return the eigenvalues (n_features,) of `Z'Z / n`, ascending."""
    n_samples, n_features = Z.shape
    gram = Z.T @ Z if n_features <= n_samples else Z @ Z.T
    values = np.maximum(np.linalg.eigvalsh(gram / n_samples), 0.0)
    return np.concatenate([np.zeros(n_features - len(values)), values])


def _condition_numbers(values: np.ndarray, l2: np.ndarray, size: int) -> np.ndarray:
    """Return the condition number of `Z'Z / n + l2 I` for every l2; infinite where singular."""
    # Eigenvalues below the rounding error of the largest are zeros.
    negligible = np.finfo(values.dtype).eps * size * values[-1]
    bottom = (values[0] if values[0] > negligible else 0.0) + l2
    return np.where(bottom > 0, (values[-1] + l2) / np.where(bottom > 0, bottom, 1), np.inf)


def _kkt_residual(
    weights: np.ndarray, gradient: np.ndarray, l1: np.ndarray, l2: np.ndarray, curvature: float
) -> np.ndarray:
    """Return the largest entry of `(w - prox(w - s g)) / s` at `s = 1 / curvature`, by strength."""
    step_size = 1 / curvature if curvature > 0 else 1.0
    moved = weights - step_size * gradient
    kept = np.maximum(np.abs(moved) - step_size * l1[:, None], 0.0)
    shrunk = np.sign(moved) * kept / (1 + step_size * l2[:, None])
    return np.abs(weights - shrunk).max(axis=1) / step_size
