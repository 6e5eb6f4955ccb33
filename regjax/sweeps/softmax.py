"""Softmax regression in a sweep, with the elastic net.

Ridge, lasso and elastic net differ in `l1_ratio` alone, which is a hyperparameter like the
strength, so one compiled program serves all of them.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import tree_norm
from regjax.diagnostics import ridge_condition_number
from regjax.losses import SOFTMAX_CURVATURE, softmax_loss
from regjax.penalties import ElasticNet, mask_penalty
from regjax.solvers import STATUS_TEXT, least_squares, proximal_gradient
from regjax.sweeps.lanes.training import Fit
from regjax.sweeps.model import Hyperparameters, Metrics, Params, Scaler, scale_features
from regjax.tables import Task

_TOLERANCE = 1e-6
_MAX_STEPS = 5_000


@dataclasses.dataclass(frozen=True)
class SoftmaxModel:
    """A row of logits `X w + b` per class on standardised features."""

    task: Task
    n_outputs: int
    dtype = "float64"

    def fit(
        self, hyperparameters: Hyperparameters, key: jax.Array, X: jax.Array, y: jax.Array
    ) -> Fit:
        """Fit to raw data; `hyperparameters` holds `lambda_` and `l1_ratio`; no randomness."""
        scaler = scale_features(X)
        X = scaler.apply(X)
        penalty = ElasticNet(hyperparameters["lambda_"], hyperparameters["l1_ratio"])
        start = {
            "intercept": jnp.zeros(self.n_outputs, X.dtype),
            "weights": jnp.zeros((X.shape[1], self.n_outputs), X.dtype),
        }
        curvature = least_squares(X, X[:, 0]).curvature()
        solution = proximal_gradient(
            jax.value_and_grad(lambda p: softmax_loss(X @ p["weights"] + p["intercept"], y)),
            mask_penalty(penalty, {"intercept": False, "weights": True}),
            start,
            # The column of ones that the intercept adds has curvature 1 and is orthogonal to
            # the rest.
            step_size=1 / (SOFTMAX_CURVATURE * jnp.maximum(curvature, 1)),
            max_steps=_MAX_STEPS,
            tol=_TOLERANCE,
        )
        weights = solution.value["weights"]
        ridge = hyperparameters["lambda_"] * (1 - hyperparameters["l1_ratio"])
        return Fit(
            params={"scaler": scaler, **solution.value},
            metrics={
                "weight_norm": tree_norm(weights),
                "zero_share": jnp.mean(weights == 0),
                "condition_number": ridge_condition_number(X, ridge),
                "kkt_residual": solution.kkt_residual,
                "solver_status": solution.status,
            },
        )

    def predict(self, params: Params, X: jax.Array) -> jax.Array:
        """Return logits (n, n_classes) for raw features."""
        return params["scaler"].apply(X) @ params["weights"] + params["intercept"]

    def penalized_weights(self, params: Params) -> list[jax.Array]:
        return [params["weights"]]

    def shapes(self, n_features: int) -> Params:
        vector = jax.ShapeDtypeStruct((n_features,), np.dtype(self.dtype))
        return {
            "scaler": Scaler(vector, vector),
            "weights": jax.ShapeDtypeStruct((n_features, self.n_outputs), np.dtype(self.dtype)),
            "intercept": jax.ShapeDtypeStruct((self.n_outputs,), np.dtype(self.dtype)),
        }

    def status_text(self, metrics: Metrics) -> np.ndarray:
        return np.vectorize(STATUS_TEXT.__getitem__)(metrics["solver_status"].astype(int))
