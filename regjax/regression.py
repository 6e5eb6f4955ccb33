"""Ridge, lasso and elastic-net regression by descent, for learning and inspection.

All three minimise `||y - Xw - b||^2 / (2n) + penalty(w)` with an unpenalised intercept b.
Ridge descends the gradient of loss and penalty; the other two take proximal gradient
steps, so that their zeros are exact. Data is centred first and b follows from the means.

Fits run in float64 whatever JAX's own setting; weights come back as NumPy arrays, float32 for
float32 data. A constant column gets the weight 0; a constant y gives zero weights and that
constant as the intercept.
"""

from __future__ import annotations

import abc
import functools
import warnings
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import check_positive, check_strength
from regjax._inputs import as_matrix, as_response, centred
from regjax.penalties import ElasticNet
from regjax.solvers import least_squares, proximal_gradient


class ConvergenceWarning(UserWarning):
    """An iterative fit stopped before it reached its optimum."""


class _DescentRegression(abc.ABC):
    """What the three regressions share: the fit, and what can be read off it.

    Attributes (after `fit`):
        intercept: b, a float.
        history: objective before the first iteration and after each one; at most
            n_iterations + 1 values, fewer where steps stopped changing the weights.
        kkt_residual: distance from optimality without units: the largest correlation of a
            feature with the residual that the optimality conditions do not allow.
    """

    def __init__(
        self, lambda_: float, learning_rate: float | Literal["auto"], n_iterations: int
    ) -> None:
        lambda_ = _number(lambda_, "lambda_")
        if not (isinstance(learning_rate, str) and learning_rate == "auto"):
            learning_rate = _number(learning_rate, "learning_rate")
            check_positive(learning_rate, "learning_rate")
        if isinstance(n_iterations, bool) or not isinstance(n_iterations, int | np.integer):
            raise TypeError(f"n_iterations must be an integer, got {n_iterations!r}.")
        if n_iterations < 1:
            raise ValueError(f"n_iterations must be at least 1, got {n_iterations}.")
        self.lambda_ = lambda_
        self.learning_rate = learning_rate
        self.n_iterations = int(n_iterations)
        self._weights: np.ndarray | None = None

    @abc.abstractmethod
    def _split(self) -> tuple[float, float, float]:
        """Return the ridge strength inside the smooth part, then the prox's two numbers."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to X (n_samples, n_features) and y (n_samples,); returns self.

        Raises:
            ValueError: for data that is empty, not finite or of mismatched lengths, or a
                learning rate at which descent diverges; the message names the largest
                stable one.

        Warns:
            ConvergenceWarning: if `kkt_residual` is above 1e-3 at the end.
        """
        X = as_matrix(X)
        y = as_response(y, len(X), X.dtype)
        dtype = X.dtype
        (X, X_mean), (y, y_mean) = centred(X), centred(y)
        ridge, lambda_, l1_ratio = self._split()
        rate = None if isinstance(self.learning_rate, str) else self.learning_rate
        with jax.enable_x64(True):
            if rate is not None:
                largest = float(_largest_step(X, y, ridge))
                if rate >= 2 * largest:
                    raise ValueError(
                        f"learning_rate={rate:g} diverges on this data, as every "
                        f"value from {2 * largest:.6g} on does. The largest safe value is "
                        f"{largest:.6g}; use that, standardise the features, or "
                        "learning_rate='auto'."
                    )
            weights, residual, n_steps, history = _descend(
                X,
                y,
                ridge,
                lambda_,
                l1_ratio,
                rate,
                n_iterations=self.n_iterations,
            )
            weights = np.asarray(weights)
            if not np.isfinite(weights).all():
                raise ValueError(
                    "The fit overflowed. Bring features and response to a moderate scale, for "
                    "example by dividing them by their standard deviations."
                )
            self._weights = weights.astype(dtype)
            self.kkt_residual = float(residual)
            self.history = np.asarray(history)[: int(n_steps) + 1].astype(dtype)
        self.intercept = float(y_mean - X_mean @ weights)
        if not self.kkt_residual <= 1e-3:
            warnings.warn(
                f"After {self.n_iterations} iterations the fit is {self.kkt_residual:.1e} away "
                "from its optimum (kkt_residual); raise n_iterations"
                + ("." if rate is None else " or use learning_rate='auto'."),
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions (n_samples,) for X (n_samples, n_features)."""
        weights = self.get_weights()
        X = as_matrix(X)
        if X.shape[1] != weights.size:
            raise ValueError(f"X has {X.shape[1]} features but the fit had {weights.size}.")
        return X @ weights + self.intercept

    def get_weights(self) -> np.ndarray:
        """Return the fitted weights (n_features,), without the intercept."""
        if self._weights is None:
            raise RuntimeError(f"This {type(self).__name__} is not fitted yet; call fit(X, y).")
        return self._weights


class RidgeRegression(_DescentRegression):
    """Least squares with `lambda_ / 2 * sum w^2`, by gradient descent.

    Args:
        lambda_: strength >= 0.
        learning_rate: step size of plain gradient descent, below 2 / L for curvature L; or
            "auto", the largest safe one per coordinate, with acceleration.
        n_iterations: number of steps; descent ends early only at a fixed point.

    Example:
        >>> import numpy as np
        >>> X = np.array([[0.0], [1.0], [2.0]])
        >>> model = RidgeRegression(lambda_=0.0, learning_rate="auto").fit(X, [1.0, 3.0, 5.0])
        >>> print(model.get_weights().round(6), round(model.intercept, 6))
        [2.] 1.0
    """

    def __init__(
        self,
        lambda_: float = 1.0,
        learning_rate: float | Literal["auto"] = 0.01,
        n_iterations: int = 1000,
    ) -> None:
        super().__init__(lambda_, learning_rate, n_iterations)

    def _split(self) -> tuple[float, float, float]:
        return self.lambda_, 0.0, 0.0


class LassoRegression(_DescentRegression):
    """Least squares with `lambda_ * sum |w|`, by proximal gradient descent.

    Arguments are those of `RidgeRegression`.

    Example:
        >>> import numpy as np
        >>> X = np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 1.0], [3.0, -1.0]])
        >>> model = LassoRegression(0.1, learning_rate="auto").fit(X, [1.0, 3.0, 5.0, 7.0])
        >>> print(model.get_weights().round(2))
        [1.92 0.  ]
    """

    def __init__(
        self,
        lambda_: float = 1.0,
        learning_rate: float | Literal["auto"] = 0.01,
        n_iterations: int = 1000,
    ) -> None:
        super().__init__(lambda_, learning_rate, n_iterations)

    def _split(self) -> tuple[float, float, float]:
        return 0.0, self.lambda_, 1.0


class ElasticNetRegression(_DescentRegression):
    """Least squares with `elastic_net_penalty(w, lambda_, l1_ratio)`, by proximal gradient.

    Args:
        lambda_: strength >= 0.
        learning_rate: as in `RidgeRegression`.
        n_iterations: as in `RidgeRegression`.
        l1_ratio: mixing weight in [0, 1]; 1 is the lasso, 0 is ridge.

    Example:
        >>> import numpy as np
        >>> X = np.array([[-1.0], [1.0]])
        >>> model = ElasticNetRegression(1.0, "auto", l1_ratio=0.5).fit(X, [-2.0, 2.0])
        >>> print(model.get_weights().round(6))
        [1.]
    """

    def __init__(
        self,
        lambda_: float = 1.0,
        learning_rate: float | Literal["auto"] = 0.01,
        n_iterations: int = 1000,
        l1_ratio: float = 0.5,
    ) -> None:
        super().__init__(lambda_, learning_rate, n_iterations)
        self.l1_ratio = _number(l1_ratio, "l1_ratio", largest=1.0)

    def _split(self) -> tuple[float, float, float]:
        return 0.0, self.lambda_, self.l1_ratio


def _number(value: Any, name: str, *, largest: float = np.inf) -> float:
    if isinstance(value, bool | np.bool_ | str) or np.shape(value) != ():
        raise TypeError(f"{name} must be a single number, got {value!r}.")
    try:
        number = float(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a single number, got {value!r}.") from error
    check_strength(number, name, largest=largest)
    return number


@jax.jit
def _largest_step(X: jax.Array, y: jax.Array, ridge: float) -> jax.Array:
    return least_squares(X, y).largest_step(ridge)


@functools.partial(jax.jit, static_argnames="n_iterations")
def _descend(
    X: jax.Array,
    y: jax.Array,
    ridge: float,
    lambda_: float,
    l1_ratio: float,
    learning_rate: float | None,
    *,
    n_iterations: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    loss = least_squares(X, y)
    smooth = loss.smooth(ridge)
    penalty = ElasticNet(lambda_, l1_ratio)
    safe = loss.diagonal_steps(ridge)
    solution = proximal_gradient(
        smooth,
        penalty,
        jnp.zeros_like(loss.cross),
        step_size=safe if learning_rate is None else learning_rate,
        max_steps=n_iterations,
        accelerate=learning_rate is None,
        record=True,
    )
    w = solution.value
    _, gradient = smooth(w)
    violation = jnp.abs(w - penalty.prox(w - safe * gradient, safe)) / safe
    unit = jnp.sqrt(loss.diagonal * loss.scale)
    residual = jnp.max(jnp.where(unit > 0, violation / jnp.where(unit > 0, unit, 1), violation))
    return w, residual, solution.n_steps, solution.history
