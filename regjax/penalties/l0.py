"""L0: `lambda_` times the number of non-zero weights.

It has no useful gradient (0 wherever it exists), so asking for one raises; use its
proximal operator, the hard threshold. Reference: Blumensath and Davies (2008), "Iterative
thresholding for sparse approximations".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from regjax._arrays import (
    Tree,
    float_tree,
    map_leaves,
    max_leaves,
    real_dtype,
    step_sizes,
    strengths,
    sum_leaves,
)
from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Penalty

_NO_GRADIENT = (
    "The L0 penalty counts non-zeros and has no gradient. Take proximal steps instead "
    "(regjax.transforms.proximal with L0), or use L1, its convex relaxation."
)


@jax.custom_jvp
def _count_nonzero(x: jax.Array) -> jax.Array:
    return jnp.sum(x != 0).astype(real_dtype(x))


@_count_nonzero.defjvp
def _count_nonzero_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    raise TypeError(_NO_GRADIENT)


def l0_penalty(w: Tree, lambda_: Tree) -> jax.Array:
    """Return `lambda_ * count(w != 0)`, a real scalar in the precision of `w`.

    It can be differentiated in `lambda_`; differentiating it in `w` raises TypeError.

    Args:
        w: array of any shape, or a tree of arrays.
        lambda_: strength >= 0; a scalar, or a tree prefix of `w` with one per subtree.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l0_penalty(jnp.array([3.0, 0.0, -0.1]), 0.5))
        1.0
    """
    w = float_tree(w, complex_ok=True)
    return sum_leaves(lambda x, s: s * _count_nonzero(x), w, strengths(lambda_, w))


def l0_prox(v: Tree, lambda_: Tree, step_size: Tree = 1.0) -> Tree:
    """Return the hard threshold: `v` where `|v| > sqrt(2 step_size lambda_)`, 0 elsewhere.

    It minimises `sum((w - v)^2 / (2 step_size)) + l0_penalty(w, lambda_)` over `w`; on the
    threshold both 0 and `v` do, and 0 is returned. `step_size` may be a scalar, a tree
    prefix of `v`, or arrays like `v`.

    Example:
        >>> import jax.numpy as jnp
        >>> print(l0_prox(jnp.array([3.0, -0.5, 2.0]), 2.0))
        [3. 0. 0.]
    """
    v = float_tree(v, complex_ok=True)
    return map_leaves(
        lambda x, s, step: jnp.where(jnp.abs(x) <= jnp.sqrt(2 * step * s), 0, x),
        v,
        strengths(lambda_, v),
        step_sizes(step_size, v),
    )


@pytree_dataclass
class L0(Penalty):
    """`l0_penalty` with its strength bound.

    Example:
        >>> import jax.numpy as jnp
        >>> print(L0(0.5).prox(jnp.array([2.0, -0.25])))
        [2. 0.]
    """

    lambda_: Tree

    def value(self, w: Tree) -> jax.Array:
        return l0_penalty(w, self.lambda_)

    def gradient(self, w: Tree) -> Tree:
        raise TypeError(_NO_GRADIENT)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        return l0_prox(v, self.lambda_, step_size)

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        """Return `max gradient_at_zero^2 / 2`, for a loss of curvature 1.

        Zero is a local minimum at every positive strength; above this one a unit
        proximal step from zero stays there.
        """
        return max_leaves(
            lambda g: jnp.max(jnp.square(jnp.abs(g)), initial=0) / 2,
            float_tree(gradient_at_zero, complex_ok=True),
        )
