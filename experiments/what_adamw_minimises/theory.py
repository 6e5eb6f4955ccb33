"""Where the optimizers should end: minima of a quadratic loss, free, penalised or within bounds.

The loss is `(w - optimum)' hessian (w - optimum) / 2`; strengths are those of the configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

from regjax import L1, L2, Box
from regjax.penalties import Penalty

if TYPE_CHECKING:
    from experiments.what_adamw_minimises import Config


def free(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser of the loss alone."""
    return optimum


def ridge(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser of the loss plus L2."""
    return _penalised(L2(config.lambda_), hessian, optimum)


def lasso(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser of the loss plus L1."""
    return _penalised(L1(config.lambda_), hessian, optimum)


def box(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser of the loss among `abs(w_i) <= 1 / lambda_`."""
    return _boxed(1 / config.lambda_, hessian, optimum)


def target_box(hessian: np.ndarray, optimum: np.ndarray, config: Config) -> np.ndarray:
    """Return the minimiser in the box whose side fits its norm, by bisection on the norm.

    At rest the decay `lambda_ (1 - r / ||w||) w` is that of AdamW at another strength.
    """

    def boxed(norm: float) -> np.ndarray:
        return _boxed(1 / (config.lambda_ * (1 - config.target_norm / norm)), hessian, optimum)

    low, high = config.target_norm * (1 + 1e-9), 10 * float(np.linalg.norm(optimum))
    for _ in range(60):
        middle = (low + high) / 2
        if np.linalg.norm(boxed(middle)) > middle:
            low = middle
        else:
            high = middle
    return boxed(low)


def _boxed(side: float, hessian: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    return _penalised(Box(-side, side), hessian, optimum)


def _penalised(penalty: Penalty, hessian: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    return np.asarray(_descend(penalty, hessian, optimum, 1 / np.linalg.norm(hessian, 2)))


@jax.jit
def _descend(
    penalty: Penalty, hessian: jax.Array, optimum: jax.Array, step_size: jax.Array
) -> jax.Array:
    def iterate(_: int, w: jax.Array) -> jax.Array:
        return penalty.prox(w - step_size * (hessian @ (w - optimum)), step_size)

    return jax.lax.fori_loop(0, 2000, iterate, optimum)


# Jordan (2024): the coefficients that `muonw` uses, five times.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def largest_singular_value(n_steps: int = 5) -> float:
    """Return the largest singular value of any matrix after Muon's Newton-Schulz steps.

    A step takes singular values x, between 0 and 1 at first, to `a x + b x^3 + c x^5`.
    """
    a, b, c = _NEWTON_SCHULZ
    x = np.linspace(0, 1, 100_001)
    for _ in range(n_steps):
        x = a * x + b * x**3 + c * x**5
    return float(x.max())
