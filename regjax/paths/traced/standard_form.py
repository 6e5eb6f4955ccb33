"""The standard form of `data` in traced code: fixed shapes, masks in place of selections.

Columns that cannot have a coefficient become 0 and stay where they are, and so do unpenalized ones
once they are eliminated. Responses are divided by the root of their second moment, so that float32
has no units to fear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from regjax.paths.data.scales import Scales
from regjax.paths.statistics import SufficientStatistics
from regjax.paths.traced.elimination import Reduced, without_unpenalized
from regjax.paths.traced.inputs import Arguments, Samples
from regjax.paths.traced.rows import Data, Design, Gram


class Form(NamedTuple):
    """A problem of p columns of unit variance and m responses of unit second moment.

    Attributes:
        design: the columns.
        cross: (m, p).
        scale: (m,) second moments of the responses.
        unit: (m,) what responses were divided by.
        y_mean: (m,) what was taken from them.
        columns: where the columns come from.
        reduced: what unpenalized columns leave of it, or None where no weight was given.
    """

    design: Design
    cross: jax.Array
    scale: jax.Array
    unit: jax.Array
    y_mean: jax.Array
    columns: Scales
    reduced: Reduced | None = None

    def solved(self) -> Form:
        """Return the problem that is solved: a constant, for derivatives."""
        form = self
        if self.reduced is not None:
            design, cross, scale, _ = self.reduced
            form = self._replace(design=design, cross=cross, scale=scale)
        return jax.lax.stop_gradient(form)

    def filled(self, b: jax.Array) -> jax.Array:
        """Return b (m, n_lambdas, p) with the coefficients of unpenalized columns."""
        return b if self.reduced is None else self.reduced.elimination.filled(b)

    def restored(self, b: jax.Array, arguments: Arguments) -> tuple[jax.Array, jax.Array]:
        """Return coefficients (m, n_lambdas, p) and intercepts (m, n_lambdas) in given units.

        Coefficients within a rounding of a bound are on it.
        """
        coef = self.unit[:, None, None] * b / self.columns.deviation
        for bound in arguments.box or ():
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


@jax.jit
def statistics_of_rows(
    X: jax.Array, y: jax.Array, sample_weight: jax.Array | None
) -> SufficientStatistics:
    """Return the statistics of checked rows."""
    with jax.default_matmul_precision("highest"):
        return traced_statistics(X, y, sample_weight)


def standard_form(data: Samples | SufficientStatistics, arguments: Arguments) -> Form:
    """Return the problem of rows, fewer than columns, or of statistics."""
    if isinstance(data, SufficientStatistics):
        form = _gram_form(data, arguments)
    else:
        form = _data_form(*data, arguments)
    if arguments.weights is None:
        return form
    problem = form.design, form.cross, form.scale, form.columns
    return form._replace(reduced=without_unpenalized(*jax.lax.stop_gradient(problem)))


def _gram_form(statistics: SufficientStatistics, arguments: Arguments) -> Form:
    """Return the problem of these statistics in standard form."""
    s = statistics
    share = 1 / jnp.where(s.weight > 0, s.weight, jnp.nan)
    xx, xy, yy = s.xx * share, s.xy * share, s.yy * share
    variance = jnp.diagonal(xx)
    # Without an intercept moments are about 0.
    x_step = jnp.where(arguments.fit_intercept, 0, s.x_mean)
    y_step = jnp.where(arguments.fit_intercept, 0, s.y_mean)
    xx, xy = xx + jnp.outer(x_step, x_step), xy + jnp.outer(x_step, y_step)
    yy, y_mean = yy + jnp.square(y_step), s.y_mean - y_step
    columns = _scales(s.x_mean, variance, arguments)
    unit = _unit(yy)
    inverse = jnp.where(columns.usable, 1 / columns.deviation, 0)
    gram, cross = xx * jnp.outer(inverse, inverse), (xy * inverse[:, None] / unit).T
    scale = yy / jnp.square(unit)
    return Form(Gram(gram), cross, scale, unit, y_mean, columns)


def _data_form(
    X: jax.Array, y: jax.Array, sample_weight: jax.Array | None, arguments: Arguments
) -> Form:
    """Return the problem of rows X (n, p), fewer than columns, and y (n, m) in standard form."""
    weight = jnp.ones(len(X), X.dtype) if sample_weight is None else sample_weight
    size = weight.sum()
    weight = weight / jnp.where(size > 0, size, jnp.nan)
    x_mean, y_mean = weight @ X, weight @ y
    # Once more, for the rounding of a large mean.
    x_mean, y_mean = x_mean + weight @ (X - x_mean), y_mean + weight @ (y - y_mean)
    variance = weight @ jnp.square(X - x_mean)
    y_mean = jnp.where(arguments.fit_intercept, y_mean, 0)
    columns = _scales(x_mean, variance, arguments)
    A, response = X - columns.mean, y - y_mean
    unit, root = _unit(weight @ jnp.square(response)), _root(weight)[:, None]
    A = jnp.where(columns.usable, A * root / columns.deviation, 0)
    response = response * root / unit
    cross, scale = response.T @ A, jnp.sum(jnp.square(response), axis=0)
    return Form(Data(A, response), cross, scale, unit, y_mean, columns)


def _scales(mean: jax.Array, variance: jax.Array, arguments: Arguments) -> Scales:
    weights = jnp.ones_like(mean) if arguments.weights is None else arguments.weights
    return Scales.of(mean, variance, arguments.fit_intercept, arguments.standardize, weights, jnp)


def _unit(square: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.where(square > 0, square, 1))


def _root(weight: jax.Array) -> jax.Array:
    """Return roots of weights, of 0 the least that has a square: it has a derivative, too."""
    tiny = float(jnp.finfo(weight.dtype).tiny)
    return jnp.sqrt(jnp.where(weight > 0, weight, weight + tiny))
