"""Linear models in a sweep: least squares or softmax regression with the elastic net.

Ridge, lasso and elastic net differ in `l1_ratio` alone, which is a hyperparameter like the
strength, so one compiled program serves all of them.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from regjax.diagnostics import ridge_condition_number
from regjax.losses import SOFTMAX_CURVATURE, softmax_loss
from regjax.penalties import ElasticNet, mask_penalty
from regjax.solvers import Solution, least_squares, proximal_gradient
from regjax.sweeps.model import Fit, Hyperparameters, Params, scale_features, scale_response
from regjax.tables import Task

_TOLERANCE = 1e-6
_MAX_STEPS = 5_000


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """`y = X w + b` on standardised features, or one such row of logits per class."""

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
        if self.task == "regression":
            y_mean, y_scale = scale_response(y)
            loss = least_squares(X, (y - y_mean) / y_scale)
            curvature = loss.curvature()
            solution = proximal_gradient(
                loss.smooth(),
                penalty,
                jnp.zeros_like(loss.cross),
                step_size=1 / curvature,
                max_steps=_MAX_STEPS,
                tol=_TOLERANCE,
            )
            weights = solution.value
            output = {"y_mean": y_mean, "y_scale": y_scale}
        else:
            curvature = least_squares(X, X[:, 0]).curvature()
            solution = _softmax_regression(X, y, penalty, self.n_outputs, curvature)
            weights = solution.value["weights"]
            output = {"intercept": solution.value["intercept"]}
        ridge = hyperparameters["lambda_"] * (1 - hyperparameters["l1_ratio"])
        return Fit(
            params={"scaler": scaler, "weights": weights, **output},
            metrics={
                "weight_norm": jnp.sqrt(jnp.sum(jnp.square(weights))),
                "zero_share": jnp.mean(weights == 0),
                "condition_number": ridge_condition_number(X, ridge),
                "kkt_residual": solution.kkt_residual,
                "status": solution.status,
            },
        )

    def predict(self, params: Params, X: jax.Array) -> jax.Array:
        """Return the response (n,), or logits (n, n_classes), for raw features."""
        linear = params["scaler"].apply(X) @ params["weights"]
        if self.task == "regression":
            return linear * params["y_scale"] + params["y_mean"]
        return linear + params["intercept"]

    def penalized_weights(self, params: Params) -> list[jax.Array]:
        return [params["weights"]]


def _softmax_regression(
    X: jax.Array, y: jax.Array, penalty: ElasticNet, n_classes: int, curvature: jax.Array
) -> Solution:
    start = {
        "intercept": jnp.zeros(n_classes, X.dtype),
        "weights": jnp.zeros((X.shape[1], n_classes), X.dtype),
    }
    # The column of ones that the intercept adds has curvature 1 and is orthogonal to the rest.
    step_size = 1 / (SOFTMAX_CURVATURE * jnp.maximum(curvature, 1))
    return proximal_gradient(
        jax.value_and_grad(lambda p: softmax_loss(X @ p["weights"] + p["intercept"], y)),
        mask_penalty(penalty, {"intercept": False, "weights": True}),
        start,
        step_size=step_size,
        max_steps=_MAX_STEPS,
        tol=_TOLERANCE,
    )
