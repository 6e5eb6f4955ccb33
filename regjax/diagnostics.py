"""Looking at weights: statistics, sparsity, pruning, sparse export, condition number, fit.

Eager functions: they return NumPy values and plain records, to print or to plot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from regjax._arrays import (
    Numeric,
    Tree,
    check_finite,
    check_scalar_strength,
    check_strength,
    float_array,
    float_tree,
)
from regjax._names import tree_leaves
from regjax.masks import Mask, everything, resolve, weights


@dataclasses.dataclass(frozen=True)
class WeightStatistics:
    """Statistics of one leaf; `mean_abs` and `max_abs` are of the magnitudes |w|."""

    path: str
    shape: tuple[int, ...]
    mean_abs: float
    max_abs: float
    norm: float
    zero_share: float


def weight_statistics(params: Tree, mask: Mask | Tree = everything) -> list[WeightStatistics]:
    """Return the statistics of every leaf that `mask` selects.

    Example:
        >>> import jax.numpy as jnp
        >>> [row] = weight_statistics({"kernel": jnp.array([3.0, 0.0, -4.0, 0.0])})
        >>> row.path, row.max_abs, row.norm, row.zero_share
        ('kernel', 4.0, 5.0, 0.5)
    """
    selected = jax.tree.leaves(resolve(mask, params))
    rows = []
    for leaf, flag in zip(tree_leaves(params), selected, strict=True):
        if not flag:
            continue
        magnitudes = _magnitudes(leaf.value)
        empty = magnitudes.size == 0
        largest = float(magnitudes.max(initial=0.0))
        unit = largest if 0 < largest < np.inf else 1.0
        shares = magnitudes / unit
        rows.append(
            WeightStatistics(
                path=leaf.path,
                shape=magnitudes.shape,
                mean_abs=0.0 if empty else unit * float(shares.mean()),
                max_abs=largest,
                norm=unit * float(np.sqrt(np.sum(np.square(shares)))),
                zero_share=0.0 if empty else float(np.mean(magnitudes == 0)),
            )
        )
    return rows


def sparsity(params: Tree, mask: Mask | Tree = weights) -> float:
    """Return the share of exact zeros among the weights that `mask` selects.

    Example:
        >>> import jax.numpy as jnp
        >>> sparsity({"kernel": jnp.array([[1.0, 0.0]]), "bias": jnp.zeros(3)})
        0.5
    """
    rows = weight_statistics(params, mask)
    sizes = [int(np.prod(row.shape)) for row in rows]
    if sum(sizes) == 0:
        raise ValueError("There are no weights to measure the sparsity of.")
    zeros = sum(row.zero_share * size for row, size in zip(rows, sizes, strict=True))
    return zeros / sum(sizes)


def magnitude_prune(params: Tree, keep: float, mask: Mask | Tree = weights) -> Tree:
    """Return `params` with all but the largest weights in magnitude set to zero.

    The threshold is one for all selected leaves together. Exactly
    `round(keep * number of weights)` are kept; ties go to the earlier entries.

    Args:
        params: tree of parameters; leaves outside `mask` stay as they are.
        keep: share of the selected weights to keep, in [0, 1].
        mask: which leaves are pruned; biases and norms are left alone by default.

    Example:
        >>> import jax.numpy as jnp
        >>> print(magnitude_prune(jnp.array([3.0, -0.1, 1.0, -2.0]), keep=0.5))
        [ 3.  0.  0. -2.]
    """
    check_strength(keep, "keep", largest=1.0)
    leaves, structure = jax.tree.flatten(params)
    selected = jax.tree.leaves(resolve(mask, params))
    chosen = [i for i, flag in enumerate(selected) if flag]
    flat = np.concatenate([_magnitudes(leaves[i]).ravel() for i in chosen])
    kept = np.zeros(flat.size, dtype=bool)
    kept[np.argsort(-flat, kind="stable")[: round(keep * flat.size)]] = True
    parts = np.split(kept, np.cumsum([np.size(leaves[i]) for i in chosen])[:-1])
    for i, part in zip(chosen, parts, strict=True):
        leaf = jnp.asarray(leaves[i])
        leaves[i] = jnp.where(part.reshape(leaf.shape), leaf, 0)
    return jax.tree.unflatten(structure, leaves)


def _magnitudes(leaf: jax.Array) -> np.ndarray:
    return np.abs(np.asarray(leaf)).astype(np.float64)


def to_sparse(w: jax.Array) -> sparse.BCOO:
    """Return a matrix as `jax.experimental.sparse.BCOO` that holds its non-zeros alone.

    Raises:
        ValueError: if `w` is not a matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> w = jnp.array([[0.0, 2.0], [0.0, 0.0]])
        >>> layer = to_sparse(w)
        >>> print(layer.nse, layer @ jnp.array([1.0, 1.0]))
        1 [2. 0.]
    """
    w = float_array(w)
    if w.ndim != 2:
        raise ValueError(f"to_sparse takes a matrix, got shape {w.shape}.")
    return sparse.BCOO.fromdense(w)


def ridge_condition_number(X: jax.Array, lambda_: Numeric) -> jax.Array:
    """Return the 2-norm condition number of `X'X / n + lambda_ I`.

    `(s_max^2 / n + lambda_) / (s_min^2 / n + lambda_)` with the singular values s of X; s_min
    is 0 where there are fewer rows than columns. Infinity where the matrix is singular.

    Args:
        X: (n_samples, n_features).
        lambda_: ridge strength >= 0; it traces and maps.

    Example:
        >>> import jax.numpy as jnp
        >>> X = jnp.array([[2.0, 0.0], [0.0, 1.0]])
        >>> print(ridge_condition_number(X, 0.0), ridge_condition_number(X, 1.0))
        4.0 2.0
    """
    check_scalar_strength(lambda_)
    X = float_tree(X)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}.")
    check_finite(X, "X")
    n_samples, n_features = X.shape
    squares = jnp.square(jnp.linalg.svd(X, compute_uv=False)) / n_samples
    largest = squares[0]
    # Singular values below the rounding error of the largest are zeros.
    negligible = jnp.square(jnp.finfo(X.dtype).eps * max(X.shape)) * largest
    smallest = jnp.where(squares[-1] > negligible, squares[-1], 0) * (n_samples >= n_features)
    bottom = smallest + lambda_
    return jnp.where(bottom > 0, (largest + lambda_) / jnp.where(bottom > 0, bottom, 1), jnp.inf)


Verdict = Literal["overfitting", "good", "underfitting", "diverged"]


def fit_verdicts(
    lambdas: Sequence[float] | np.ndarray,
    validation_loss: Sequence[float] | np.ndarray,
    standard_error: Sequence[float] | np.ndarray | float = 0.0,
) -> list[Verdict]:
    """Return for every strength of a sweep whether it over- or underfits.

    A strength is good while its validation loss is within one standard error of the best
    strength's; beyond that, weaker ones overfit and stronger ones underfit. A loss that is
    NaN or infinite has diverged.

    Args:
        lambdas: strengths in any order.
        validation_loss: mean validation loss of each; NaN or infinity marks a diverged fit.
        standard_error: of each validation loss, or one for all; NaN, where a single seed
            tells none, counts as 0.

    Raises:
        ValueError: if lengths differ or no loss is finite.

    Example:
        >>> fit_verdicts([0.01, 0.1, 1.0], [2.0, 1.0, 3.0], 0.5)
        ['overfitting', 'good', 'underfitting']
    """
    strengths = np.asarray(lambdas, dtype=np.float64)
    losses = np.asarray(validation_loss, dtype=np.float64)
    spread = np.nan_to_num(np.asarray(standard_error, dtype=np.float64))
    if (
        losses.ndim != 1
        or strengths.shape != losses.shape
        or spread.shape not in ((), losses.shape)
    ):
        raise ValueError(
            "lambdas, validation_loss and standard_error must be lists of one length, got shapes "
            f"{strengths.shape}, {losses.shape} and {spread.shape}."
        )
    if not np.any(np.isfinite(losses)):
        raise ValueError("No validation loss is finite: there is none, or every fit diverged.")
    errors = np.broadcast_to(spread, losses.shape)
    best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.inf)))
    verdicts: list[Verdict] = []
    for strength, loss in zip(strengths, losses, strict=True):
        if not np.isfinite(loss):
            verdicts.append("diverged")
        elif loss <= losses[best] + errors[best]:
            verdicts.append("good")
        else:
            verdicts.append("underfitting" if strength > strengths[best] else "overfitting")
    return verdicts
