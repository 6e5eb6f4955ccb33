"""Paths with many more columns than rows in traced code: few columns at a time.

Neighbouring lambdas form chunks, which follow one another and share a working set of fixed size:
the columns that are active, and those that come nearest to their bound, here or on the line
through the last two lambdas. Their Gram matrix serves `solve_rows`; one product of the chunk's
residuals with all columns gives the duality gaps of the whole problem, and where one is too large
the set is chosen anew. Solutions that need more columns than the set holds, as those of ridge do,
are left to the caller.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax.paths.engines.rows import Rows, duality_gaps
from regjax.paths.traced.rows import Data, Gram, solve_rows

_CHUNK = 10
_MAX_ROUNDS = 8
_BLOCK = 64


def set_size(n: int) -> int:
    """Return how many columns are in play at a time: twice as many as can be active."""
    return _BLOCK * -(-(2 * n + _BLOCK) // _BLOCK)


def screened_rows(
    problem: Rows, target: jax.Array, *, bounded: bool
) -> tuple[jax.Array, jax.Array]:
    """Return coefficients (n_lambdas, p) and duality gaps (n_lambdas,) of one response.

    Args:
        problem: its lambdas as rows, descending; `gram` is a `Data` of more columns than
            `set_size`.
        target: (n_lambdas,) duality gaps to reach, infinite for rows that are not wanted.
        bounded: whether any bound may be finite.

    Returns:
        What `solve_rows` does; gaps stay above their targets where the set was too small.
    """
    design: Data = problem.gram
    n_lambdas, p = problem.cross.shape
    size = set_size(len(design.matrix))
    # The last chunk is filled with copies of the last lambda.
    every = np.minimum(np.arange(-(-n_lambdas // _CHUNK) * _CHUNK), n_lambdas - 1)
    chunks = jax.tree.map(
        lambda a: a[every].reshape(-1, _CHUNK, *a.shape[1:]),
        (problem._replace(gram=None), target),
    )

    def solve_chunk(carry: tuple[Any, ...], chunk: tuple[Rows, jax.Array]) -> tuple[Any, Any]:
        last, z, ahead = carry
        rows, target = chunk

        def wanted(b: jax.Array, z: jax.Array) -> jax.Array:
            """Return by column how near it is to its bound, infinite where it is active."""
            pull = jnp.where(z > 0, rows.upper > 0, rows.lower < 0) * jnp.abs(z)
            counts = (pull > 0) & jnp.isfinite(target)[:, None]
            near = jnp.where(counts, pull / rows.l1, 0)
            return jnp.where((b != 0).any(axis=0), jnp.inf, near.max(axis=0))

        def go_on(state: tuple[Any, ...]) -> jax.Array:
            b, _, gap, _, k = state
            has_room = jnp.sum((b != 0).any(axis=0)) < size
            return (k < _MAX_ROUNDS) & jnp.any(gap > target) & has_room

        def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
            b, _, _, near, k = state
            _, index = jax.lax.top_k(near, size)
            index = jnp.sort(index)
            A = design.matrix[:, index]
            part = jax.tree.map(
                lambda a: a[..., index],
                rows._replace(gram=None, scale=jnp.zeros(p, b.dtype)),
            )._replace(gram=Gram((A.T @ A)[None]), scale=rows.scale)
            found, _ = solve_rows(part, b[:, index], target / 2, bounded=bounded)
            z = rows.cross - (found @ A.T) @ design.matrix
            b = jnp.zeros_like(b).at[:, index].set(found)
            gap = duality_gaps(rows, b, z, jnp, bounded)
            return b, z, gap, wanted(b, z), k + 1

        start = jnp.broadcast_to(last, rows.cross.shape)
        near = wanted(start, jnp.stack([z, ahead] + [z] * (_CHUNK - 2)))
        unknown = jnp.full(target.shape, jnp.inf, start.dtype)
        b, found, gap, _, _ = jax.lax.while_loop(
            go_on, step, (start, jnp.zeros_like(start), unknown, near, jnp.int32(0))
        )
        return (b[-1], found[-1], 2 * found[-1] - found[0]), (b, gap)

    nothing = jnp.zeros(p, problem.cross.dtype)
    first = (nothing, problem.cross[0], problem.cross[0])
    _, (b, gap) = jax.lax.scan(solve_chunk, first, chunks)
    return b.reshape(-1, p)[:n_lambdas], gap.reshape(-1)[:n_lambdas]
