"""The standard form of `_problem.py` in traced code: fixed shapes, masks in place of selections.

Columns that cannot have a coefficient become 0 and stay where they are; unpenalized ones are
eliminated one after the other, largest first, and what that takes is kept for the way back.
Responses are divided by the root of their second moment, so that float32 has no units to fear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.paths._scales import Scales
from regjax.paths._traced_rows import Data, Design, Gram
from regjax.paths.statistics import SufficientStatistics


class Asked(NamedTuple):
    """What is asked for, besides strengths.

    Attributes:
        fit_intercept, standardize: as in `elastic_net_path`, truth values.
        weights: (p,) factors of lambda, or None where all are 1.
        box: (p,) lower and upper bounds in original units, or None where there are none.
    """

    fit_intercept: jax.Array
    standardize: jax.Array
    weights: jax.Array | None
    box: tuple[jax.Array, jax.Array] | None


class Elimination(NamedTuple):
    """Unpenalized columns, one a step: `b[order[s]] = values[s] - rows[s] b`, last step first.

    Attributes:
        n_steps: how many steps there are; what follows them in the arrays is 0.
        order: (steps,) columns.
        rows: (steps, p).
        values: (steps, m).
    """

    n_steps: jax.Array
    order: jax.Array
    rows: jax.Array
    values: jax.Array

    @classmethod
    def none(cls, steps: int, p: int, m: int, dtype: Any) -> Elimination:
        """Return room for as many steps."""
        return cls(
            jnp.int32(0),
            jnp.zeros(steps, jnp.int32),
            jnp.zeros((steps, p), dtype),
            jnp.zeros((steps, m), dtype),
        )

    def noted(self, column: jax.Array, row: jax.Array, value: jax.Array) -> Elimination:
        """Return the elimination with one step more."""
        s = self.n_steps
        return Elimination(
            s + 1,
            self.order.at[s].set(column.astype(jnp.int32)),
            self.rows.at[s].set(row),
            self.values.at[s].set(value),
        )

    def filled(self, b: jax.Array) -> jax.Array:
        """Return b (m, n_lambdas, p) with the coefficients of the unpenalized columns."""

        def step(k: jax.Array, b: jax.Array) -> jax.Array:
            s = self.n_steps - 1 - k
            value = self.values[s][:, None] - b @ self.rows[s]
            return b.at[:, :, self.order[s]].set(value)

        return jax.lax.fori_loop(0, self.n_steps, step, b)


class Reduced(NamedTuple):
    """What unpenalized columns leave of a problem: a constant, for derivatives.

    Attributes:
        design, cross, scale: as in `Form`.
        elimination: the way back, or None where no weight was given.
    """

    design: Design
    cross: jax.Array
    scale: jax.Array
    elimination: Elimination | None

    def filled(self, b: jax.Array) -> jax.Array:
        """Return b (m, n_lambdas, p) with the coefficients of the unpenalized columns."""
        return b if self.elimination is None else self.elimination.filled(b)


class Form(NamedTuple):
    """A problem of p columns of unit variance and m responses of unit second moment.

    Attributes:
        design: the columns.
        cross: (m, p).
        scale: (m,) second moments of the responses.
        unit: (m,) what responses were divided by.
        y_mean: (m,) what was taken from them.
        columns: where the columns come from.
        reduced: what is solved.
    """

    design: Design
    cross: jax.Array
    scale: jax.Array
    unit: jax.Array
    y_mean: jax.Array
    columns: Scales
    reduced: Reduced

    def solved(self) -> Form:
        """Return the problem that is solved: a constant, for derivatives."""
        design, cross, scale, _ = self.reduced
        return jax.lax.stop_gradient(self._replace(design=design, cross=cross, scale=scale))

    def restored(self, b: jax.Array, asked: Asked) -> tuple[jax.Array, jax.Array]:
        """Return coefficients (m, n_lambdas, p) and intercepts (m, n_lambdas) in given units.

        Coefficients within a rounding of a bound are on it.
        """
        coef = self.unit[:, None, None] * b / self.columns.deviation
        for bound in asked.box or ():
            near = jnp.abs(coef - bound) <= 4 * jnp.finfo(b.dtype).eps * jnp.abs(bound)
            coef = jnp.where(near & jnp.isfinite(bound), bound, coef)
        return coef, self.y_mean[:, None] - coef @ self.columns.mean


def traced_statistics(
    X: jax.Array,
    y: jax.Array,
    sample_weight: jax.Array | None = None,
    total: Callable[[Any], Any] = lambda part: part,
) -> SufficientStatistics:
    """Return the statistics of rows X (n, p) and y (n, m), in the dtype of X.

    Args:
        total: sums a tree of arrays over all who hold rows; alone, one holds them all.
    """
    weight = jnp.ones(len(X), X.dtype) if sample_weight is None else sample_weight
    size, x_sum, y_sum = total((weight.sum(), weight @ X, weight @ y))
    share = 1 / jnp.where(size > 0, size, 1)
    # Centred twice: beside the columns the rounding of a large mean may not be small.
    x_mean, y_mean = x_sum * share, y_sum * share
    root = _root(weight)
    A, b = X - x_mean, y - y_mean
    if sample_weight is not None:
        A, b = A * root[:, None], b * root[:, None]
    x_sum, y_sum, xx, xy, yy = total(
        (root @ A, root @ b, A.T @ A, A.T @ b, jnp.sum(jnp.square(b), axis=0))
    )
    x_step, y_step = x_sum * share, y_sum * share
    return SufficientStatistics(
        size,
        x_mean + x_step,
        y_mean + y_step,
        xx - jnp.outer(x_sum, x_step),
        xy - jnp.outer(x_sum, y_step),
        jnp.maximum(yy - y_sum * y_step, 0),
    )


def gram_form(statistics: SufficientStatistics, asked: Asked) -> Form:
    """Return the problem of these statistics in standard form."""
    s = statistics
    share = 1 / jnp.where(s.weight > 0, s.weight, jnp.nan)
    xx, xy, yy = s.xx * share, s.xy * share, s.yy * share
    variance = jnp.diagonal(xx)
    # Without an intercept moments are about 0.
    x_step = jnp.where(asked.fit_intercept, 0, s.x_mean)
    y_step = jnp.where(asked.fit_intercept, 0, s.y_mean)
    xx, xy = xx + jnp.outer(x_step, x_step), xy + jnp.outer(x_step, y_step)
    yy, y_mean = yy + jnp.square(y_step), s.y_mean - y_step
    columns = _scales(s.x_mean, variance, asked)
    unit = _unit(yy)
    inverse = jnp.where(columns.usable, 1 / columns.deviation, 0)
    gram, cross = xx * jnp.outer(inverse, inverse), (xy * inverse[:, None] / unit).T
    scale = yy / jnp.square(unit)
    reduced = Reduced(Gram(gram), cross, scale, None)
    if asked.weights is not None:
        reduced = _without_unpenalized(*jax.lax.stop_gradient((gram, cross, scale, columns)))
    return Form(Gram(gram), cross, scale, unit, y_mean, columns, reduced)


def _without_unpenalized(
    gram: jax.Array, cross: jax.Array, scale: jax.Array, columns: Scales
) -> Reduced:
    free = columns.usable & ~columns.penalized
    gram, cross, scale, elimination = _eliminated(gram, cross, scale, free)
    alive = columns.penalized & (jnp.diagonal(gram) > _dependent(gram))
    gram, cross = jnp.where(alive[:, None] & alive, gram, 0), jnp.where(alive, cross, 0)
    return Reduced(Gram(gram), cross, scale, elimination)


def data_form(X: jax.Array, y: jax.Array, sample_weight: jax.Array | None, asked: Asked) -> Form:
    """Return the problem of rows X (n, p), fewer than columns, and y (n, m) in standard form."""
    weight = jnp.ones(len(X), X.dtype) if sample_weight is None else sample_weight
    size = weight.sum()
    weight = weight / jnp.where(size > 0, size, jnp.nan)
    x_mean, y_mean = weight @ X, weight @ y
    # Once more, for the rounding of a large mean.
    x_mean, y_mean = x_mean + weight @ (X - x_mean), y_mean + weight @ (y - y_mean)
    variance = weight @ jnp.square(X - x_mean)
    y_mean = jnp.where(asked.fit_intercept, y_mean, 0)
    columns = _scales(x_mean, variance, asked)
    A, response = X - columns.mean, y - y_mean
    unit, root = _unit(weight @ jnp.square(response)), _root(weight)[:, None]
    A = jnp.where(columns.usable, A * root / columns.deviation, 0)
    response = response * root / unit
    moments = Data(A, response), response.T @ A, jnp.sum(jnp.square(response), axis=0)
    reduced = Reduced(*moments, None)
    if asked.weights is not None:
        reduced = _rows_without_unpenalized(*jax.lax.stop_gradient((A, response, columns)))
    return Form(*moments, unit, y_mean, columns, reduced)


def _rows_without_unpenalized(A: jax.Array, response: jax.Array, columns: Scales) -> Reduced:
    free = columns.usable & ~columns.penalized
    A, response, elimination = _eliminated_from_rows(A, response, free)
    alive = columns.penalized & (jnp.sum(jnp.square(A), axis=0) > _dependent(A))
    A = jnp.where(alive, A, 0)
    scale = jnp.sum(jnp.square(response), axis=0)
    return Reduced(Data(A, response), response.T @ A, scale, elimination)


def _scales(mean: jax.Array, variance: jax.Array, asked: Asked) -> Scales:
    weights = jnp.ones_like(mean) if asked.weights is None else asked.weights
    return Scales.of(mean, variance, asked.fit_intercept, asked.standardize, weights, jnp)


def _unit(square: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.where(square > 0, square, 1))


def _root(weight: jax.Array) -> jax.Array:
    """Return roots of weights, of 0 the least that has a square: it has a derivative, too."""
    tiny = float(jnp.finfo(weight.dtype).tiny)
    return jnp.sqrt(jnp.where(weight > 0, weight, weight + tiny))


def _dependent(array: jax.Array) -> float:
    """Return the share of its variance below which a column has nothing of its own."""
    return float(jnp.finfo(array.dtype).eps) ** (2 / 3)


def _eliminated(
    gram: jax.Array, cross: jax.Array, scale: jax.Array, free: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, Elimination]:
    """Return second moments of what the free columns leave of all, by pivoted elimination."""
    least = _dependent(gram)

    def left(gram: jax.Array, free: jax.Array) -> jax.Array:
        return jnp.where(free, jnp.diagonal(gram), 0)

    def go_on(carry: tuple[Any, ...]) -> jax.Array:
        gram, _, _, free, _ = carry
        return jnp.any(left(gram, free) > least)

    def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        gram, cross, scale, free, noted = carry
        j = jnp.argmax(left(gram, free))
        row, value = gram[j] / gram[j, j], cross[:, j] / gram[j, j]
        noted = noted.noted(j, row, value)
        scale = jnp.maximum(scale - value * cross[:, j], 0)
        cross = cross - jnp.outer(cross[:, j], row)
        return gram - jnp.outer(gram[j], row), cross, scale, free.at[j].set(False), noted

    none = Elimination.none(len(gram), len(gram), len(cross), gram.dtype)
    gram, cross, scale, _, noted = jax.lax.while_loop(go_on, step, (gram, cross, scale, free, none))
    return gram, cross, scale, noted


def _eliminated_from_rows(
    A: jax.Array, response: jax.Array, free: jax.Array
) -> tuple[jax.Array, jax.Array, Elimination]:
    """Return what the free columns leave of A (n, p) and of responses, by Gram-Schmidt."""
    least = _dependent(A)
    n, p = A.shape

    def left(A: jax.Array, free: jax.Array) -> jax.Array:
        return jnp.where(free, jnp.sum(jnp.square(A), axis=0), 0)

    def go_on(carry: tuple[Any, ...]) -> jax.Array:
        A, _, free, noted = carry
        return jnp.any(left(A, free) > least) & (noted.n_steps < n)

    def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        A, response, free, noted = carry
        j = jnp.argmax(left(A, free))
        norm = jnp.linalg.norm(A[:, j])
        q = A[:, j] / norm
        row, value = q @ A, q @ response
        noted = noted.noted(j, row / norm, value / norm)
        A, response = A - jnp.outer(q, row), response - jnp.outer(q, value)
        return A, response, free.at[j].set(False), noted

    none = Elimination.none(n, p, response.shape[1], A.dtype)
    A, response, _, noted = jax.lax.while_loop(go_on, step, (A, response, free, none))
    return A, response, noted
