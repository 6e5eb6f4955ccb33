"""Sufficient statistics of rows that are spread over devices."""

from __future__ import annotations

import functools
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from regjax._arrays import float_array, widen
from regjax.paths.statistics import SufficientStatistics
from regjax.paths.traced.standard_form import traced_statistics


def sharded_statistics(
    X: Any, y: Any, sample_weight: Any = None, *, mesh: Mesh, axis: str
) -> SufficientStatistics:
    """Return the statistics of rows `X` (n_samples, n_features) spread along an axis of a mesh.

    Every device sums its own rows; two small sums over devices, of means and of moments about
    them, are all that is sent. Columns whose mean is far from 0 lose no digits. The result is in
    the dtype of X, and the same on every device.

    Args:
        X, y: global arrays; y has shape (n_samples,) or (n_samples, n_targets). Rows that are
            not yet on their devices are sent there.
        sample_weight: (n_samples,) weights >= 0; 1 unless given.
        mesh: the devices.
        axis: the name of the axis of `mesh` that rows are spread along.

    Raises:
        ValueError: if the number of rows is no multiple of the devices along `axis`, or shapes do
            not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> mesh = jax.make_mesh((1,), ("rows",))
        >>> X = jnp.array([[1.0], [3.0]])
        >>> print(sharded_statistics(X, jnp.array([0.0, 4.0]), mesh=mesh, axis="rows").xy)
        [[4.]]
    """
    X = widen(float_array(X))
    y = float_array(y).astype(X.dtype)
    if X.ndim != 2 or y.ndim not in (1, 2) or len(y) != len(X):
        raise ValueError(
            "X and y must have shapes (n_samples, n_features) and (n_samples[, n_targets]), got "
            f"{X.shape} and {y.shape}."
        )
    if axis not in mesh.shape:
        raise ValueError(f"The mesh has axes {tuple(mesh.shape)}, and no {axis!r}.")
    if len(X) % mesh.shape[axis]:
        raise ValueError(
            f"{len(X)} rows do not divide over {mesh.shape[axis]} devices; add rows with "
            "sample_weight 0."
        )
    if sample_weight is not None:
        sample_weight = float_array(sample_weight).astype(X.dtype)
        if sample_weight.shape != (len(X),):
            raise ValueError(
                f"sample_weight must have shape ({len(X)},), got {sample_weight.shape}."
            )
    rows = (X, y.reshape(len(X), -1), sample_weight)
    return _program(mesh, axis)(*jax.device_put(rows, NamedSharding(mesh, PartitionSpec(axis))))


@functools.lru_cache
def _program(mesh: Mesh, axis: str) -> Any:
    """Return the compiled program of a mesh."""
    total = functools.partial(jax.lax.psum, axis_name=axis)
    rows = PartitionSpec(axis)

    def local(X: jax.Array, y: jax.Array, weight: jax.Array | None) -> SufficientStatistics:
        with jax.default_matmul_precision("highest"):
            return traced_statistics(X, y, weight, total)

    return jax.jit(
        jax.shard_map(local, mesh=mesh, in_specs=(rows, rows, rows), out_specs=PartitionSpec())
    )
