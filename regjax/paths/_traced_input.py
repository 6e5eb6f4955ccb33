"""What callers hand to traced paths: checked where it can be seen, and given few shapes.

Arrays whose values are there are filled up with rows of weight 0 and columns of zeros to one of
eight sizes between a power of two and the next, so that fits of nearly the same size share their
compiled programs. Inside of traced code shapes are the caller's.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Numeric, float_array, is_traced, widen
from regjax.paths._grid import default_min_ratio
from regjax.paths._traced_form import Asked
from regjax.paths.settings import Settings, check_l1_ratios

_SIZES_PER_OCTAVE = 8


class Rows(NamedTuple):
    """Checked rows.

    Attributes:
        X: (n, p).
        y: (n, m).
        weight: (n,), or None where all are 1.
        single: whether the axis of the responses is dropped.
    """

    X: jax.Array
    y: jax.Array
    weight: jax.Array | None
    single: bool

    def filled(self) -> Rows:
        """Return the same problem in one of few shapes, unless it is traced or spread out."""
        if is_traced(self.X, self.y, self.weight) or len(self.X.sharding.device_set) > 1:
            return self
        n, p = self.X.shape
        rows, columns = rounded(n) - n, rounded(p) - p
        weight = jnp.ones(n, self.X.dtype) if self.weight is None else self.weight
        return self._replace(
            X=jnp.pad(self.X, [(0, rows), (0, columns)]),
            y=jnp.pad(self.y, [(0, rows), (0, 0)]),
            weight=jnp.pad(weight, (0, rows)),
        )


class Strengths(NamedTuple):
    """Scalars `l1_ratio`, `min_ratio` and `tol`; lambdas (n_lambdas,), or None for a grid.

    Of several l1_ratios each has its own `min_ratio`.
    """

    l1_ratio: jax.Array
    lambdas: jax.Array | None
    min_ratio: jax.Array
    tol: jax.Array


class Program(NamedTuple):
    """What a program is compiled for, besides shapes.

    Attributes:
        n_lambdas: how many lambdas.
        zeros: whether some may be 0, and are solved by least squares.
        ridge: whether an l1_ratio may be 0, and is solved by an eigendecomposition.
    """

    n_lambdas: int
    zeros: bool
    ridge: bool


def rounded(size: int) -> int:
    """Return the least of eight sizes between a power of two and the next that holds `size`.

    Example:
        >>> [rounded(n) for n in (7, 99, 442, 50_000)]
        [7, 104, 448, 53248]
    """
    step = max(1, 2 ** (size - 1).bit_length() // (2 * _SIZES_PER_OCTAVE))
    return step * -(-size // step)


def as_rows(X: Any, y: Any, sample_weight: Any) -> Rows:
    """Return X (n, p), y (n,) or (n, m) and weights (n,), checked, in the dtype of X."""
    if hasattr(X, "todense"):
        raise TypeError(
            "X is sparse, which traced code does not take: call this outside of jit and vmap, or "
            "give X.todense()."
        )
    X = widen(float_array(X))
    y = float_array(y).astype(X.dtype)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    n = len(X)
    if y.ndim not in (1, 2) or len(y) != n or y.size == 0:
        raise ValueError(
            f"y must have shape (n_samples,) or (n_samples, n_targets) with {n} samples, got "
            f"{y.shape}."
        )
    weight = None
    if sample_weight is not None:
        weight = float_array(sample_weight).astype(X.dtype)
        if weight.shape != (n,):
            raise ValueError(f"sample_weight must have shape ({n},), got {weight.shape}.")
        weight = jnp.where(jnp.all(weight >= 0), weight, jnp.nan)
    return Rows(X, y.reshape(n, -1), weight, y.ndim == 1)


def as_settings(settings: Settings, p: int, columns: int, dtype: Any) -> Asked:
    """Return what is asked of p coefficients, checked if it can be seen, of `columns` in all."""
    if not is_traced(settings.penalty_weights, settings.lower, settings.upper):
        dataclasses.replace(settings, fit_intercept=True, standardize=True).shape(p)

    def vector(values: Any, rest: float) -> jax.Array:
        known = jnp.broadcast_to(jnp.asarray(values, dtype), p)
        return jnp.pad(known, (0, columns - p), constant_values=rest)

    box, weights = None, settings.penalty_weights
    if settings.lower is not None or settings.upper is not None:
        lower = -np.inf if settings.lower is None else settings.lower
        upper = np.inf if settings.upper is None else settings.upper
        box = vector(lower, -np.inf), vector(upper, np.inf)
    return Asked(
        fit_intercept=jnp.asarray(settings.fit_intercept, bool),
        standardize=jnp.asarray(settings.standardize, bool),
        weights=None if weights is None else vector(weights, 1.0),
        box=box,
    )


def as_strengths(
    settings: Settings, l1_ratio: Any, dtype: Any, size: tuple[Numeric, int]
) -> tuple[Strengths, Program]:
    """Return lambdas, checked if they can be seen, and what to compile for them.

    Args:
        l1_ratio: one number or a list of several.
        size: number of rows, or the sum of their weights, and of columns.
    """
    lambdas, n_lambdas = settings.lambdas, settings.n_lambdas
    ratio, box = settings.lambda_min_ratio, settings.lower is not None or settings.upper is not None
    if not is_traced(l1_ratio):
        check_l1_ratios(l1_ratio)
    if not is_traced(settings.tol):
        settings.checked_tol()
    if ratio is not None and not is_traced(ratio) and not 0 < ratio <= 1:
        raise ValueError(f"lambda_min_ratio must be in (0, 1], got {ratio}.")
    if lambdas is not None and not is_traced(lambdas):
        known = np.asarray(lambdas)
        if not np.isfinite(known).all() or (known < 0).any():
            raise ValueError("lambdas must be finite and at least 0.")
    if lambdas is not None:
        n_lambdas = len(lambdas)
    if n_lambdas < 1:
        raise ValueError(f"n_lambdas must be at least 1, got {n_lambdas}.")
    zeros = is_traced(lambdas) or (lambdas is not None and not np.all(lambdas))
    if ratio is None:
        ratio = _min_ratio(settings, l1_ratio, size)
    ratios = jnp.asarray(l1_ratio, dtype)
    values = Strengths(
        ratios,
        None if lambdas is None else jnp.asarray(lambdas, dtype),
        jnp.broadcast_to(jnp.asarray(ratio, dtype), ratios.shape),
        jnp.asarray(settings.tol, dtype),
    )
    ridge = is_traced(l1_ratio) or not np.all(l1_ratio)
    return values, Program(n_lambdas, zeros and not box, ridge and not box)


def _min_ratio(settings: Settings, l1_ratio: Any, size: tuple[Numeric, int]) -> Numeric:
    """Return the default `lambda_min_ratio` of every l1_ratio; traced only where it must be."""
    bounds = [bound for bound in (settings.lower, settings.upper) if bound is not None]
    xp = jnp if is_traced(l1_ratio, bounds, size) else np
    bounded = functools.reduce(
        xp.logical_or, [xp.isfinite(xp.asarray(bound)).any() for bound in bounds], False
    )
    return default_min_ratio(xp.asarray(l1_ratio), bounded, *size, xp)
