"""What a penalty object is, and the sum of several.

A penalty object binds hyperparameters to pure functions and computes nothing itself. Its
strengths are pytree leaves: they trace, differentiate and `vmap`, and one compiled
program serves all of them. To write your own, subclass `Penalty` and decorate it with
`pytree_dataclass`; `regjax/penalties/l1.py` is the pattern.
"""

from __future__ import annotations

import abc
from typing import ClassVar

import jax

from regjax._arrays import Tree, is_known_zero
from regjax._pytree import pytree_dataclass


class Penalty(abc.ABC):
    """A regularization penalty with its gradient and proximal operator.

    Class attributes:
        prox_order: how the proximal operator composes in a sum. 0 for a quadratic, which
            every other penalty absorbs; 1 for the soft threshold; 2 for an operator that
            may follow the soft threshold; None where only a quadratic may be added.
    """

    prox_order: ClassVar[int | None] = None

    @property
    def diagonal_prox(self) -> bool:
        """Whether `prox` takes one step size per coordinate, that is a diagonal metric."""
        return True

    @property
    def is_zero(self) -> bool:
        """Whether every strength is known to be 0; one that is traced is not known."""
        numbers = jax.tree.leaves(getattr(self, "lambda_", None))
        return bool(numbers) and all(is_known_zero(number) for number in numbers)

    @abc.abstractmethod
    def value(self, w: Tree) -> jax.Array:
        """Return the penalty of `w`, a scalar."""

    @abc.abstractmethod
    def gradient(self, w: Tree) -> Tree:
        """Return the gradient at `w`, or the subgradient that is 0 where `w` is 0."""

    @abc.abstractmethod
    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        """Return the minimiser over `w` of `sum((w - v)^2 / (2 step_size)) + value(w)`."""

    @abc.abstractmethod
    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        """Return the least strength at which `w = 0` minimises loss + penalty.

        `gradient_at_zero` is the gradient of the loss at `w = 0`; the strength that the
        object itself holds does not matter.
        """

    def parts(self) -> tuple[Penalty, ...]:
        """Return the terms this penalty is the sum of; itself, unless it has several."""
        return (self,)

    def covers(self) -> tuple[bool, ...] | None:
        """Return which leaves are penalised, or None for all of them."""
        return None

    def __add__(self, other: Penalty) -> Sum:
        if not isinstance(other, Penalty):
            return NotImplemented
        return Sum((*_terms(self), *_terms(other)))


def _terms(penalty: Penalty) -> tuple[Penalty, ...]:
    return penalty.terms if isinstance(penalty, Sum) else (penalty,)


class Quadratic(Penalty):
    """A penalty that any other one absorbs in a proximal step."""

    prox_order = 0

    @abc.abstractmethod
    def absorbed_step(self, v: Tree, step_size: Tree) -> Tree:
        """Return the step size left for the other terms once this one's prox is taken."""


class Constraint(Penalty):
    """A penalty that is 0 on a set and infinite elsewhere; its prox is the projection."""

    def gradient(self, w: Tree) -> Tree:
        name = type(self).__name__
        raise TypeError(
            f"A constraint has no gradient. Take proximal steps instead "
            f"(regjax.transforms.proximal with {name}), which project onto it."
        )

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        raise TypeError("A constraint has no strength and so no lambda_max.")


@pytree_dataclass
class Sum(Penalty):
    """The sum of several penalties, written `L1(0.1) + L2(0.2)`.

    `value` and `gradient` add up for any terms. `prox` is exact, and exists only where a
    composition is known:

    - a quadratic and anything: with `u = prox_quadratic(v)` and the step size shortened to
      `step_size / (1 + step_size lambda_)`, the others act on `u`;
    - L1 followed by the group lasso (Yu 2013, "On decomposing the proximal map", theorem 4)
      or by a constraint that keeps signs and zeros: non-negativity, a box that holds 0, a
      largest norm;
    - terms masked to disjoint leaves.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax import L1, L2
        >>> print((L1(1.0) + L2(1.0)).prox(jnp.array([3.0, 0.5])))
        [1. 0.]
    """

    terms: tuple[Penalty, ...]

    @property
    def diagonal_prox(self) -> bool:
        return all(term.diagonal_prox for term in self.terms)

    @property
    def is_zero(self) -> bool:
        return all(term.is_zero for term in self.terms)

    def parts(self) -> tuple[Penalty, ...]:
        return tuple(part for term in self.terms for part in term.parts())

    def value(self, w: Tree) -> jax.Array:
        values = [term.value(w) for term in self.terms]
        return sum(values[1:], start=values[0])

    def gradient(self, w: Tree) -> Tree:
        gradients = [term.gradient(w) for term in self.terms]
        return jax.tree.map(lambda *leaves: sum(leaves[1:], start=leaves[0]), *gradients)

    def prox(self, v: Tree, step_size: Tree = 1.0) -> Tree:
        if all(term.covers() is not None for term in self.terms):
            self._check_disjoint()
            for term in self.terms:
                v = term.prox(v, step_size)
            return v
        for part in self._prox_sequence():
            if isinstance(part, Quadratic):
                v, step_size = part.prox(v, step_size), part.absorbed_step(v, step_size)
            else:
                v = part.prox(v, step_size)
        return v

    def lambda_max(self, gradient_at_zero: Tree) -> jax.Array:
        raise TypeError(
            "A sum has one strength per term and so no single lambda_max; ask the terms, or "
            "use ElasticNet, which has one strength."
        )

    def _prox_sequence(self) -> list[Penalty]:
        parts = self.parts()
        quadratics = [part for part in parts if part.prox_order == 0]
        soft = [part for part in parts if part.prox_order == 1]
        rest = [part for part in parts if part.prox_order not in (0, 1)]
        known = not rest or (len(rest) == 1 and (not soft or rest[0].prox_order == 2))
        if not known or any(part.covers() is not None for part in parts):
            names = " + ".join(type(part).__name__ for part in parts)
            raise ValueError(
                f"The proximal operator of {names} is not known in closed form. Known sums: L2 "
                "with any penalty, L1 with GroupLasso, NonNegative, Box or MaxNorm, and penalties "
                "masked to disjoint leaves. Otherwise put the smooth term into the loss with "
                "penalized_loss and keep one penalty for the proximal step; to restrict a "
                "known sum to some leaves, mask the sum and not its terms."
            )
        return [*quadratics, *soft, *rest]

    def _check_disjoint(self) -> None:
        covers = [term.covers() or () for term in self.terms]
        if any(sum(flags) > 1 for flags in zip(*covers, strict=True)):
            raise ValueError(
                "These masked penalties overlap on some leaf, so their proximal operators "
                "cannot simply follow one another. Give them disjoint masks, or add the "
                "penalties first and mask the sum."
            )
