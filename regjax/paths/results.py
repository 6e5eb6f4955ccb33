"""What paths and cross-validation return: every solution with its certificate, and the choices."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, TypeVar, dataclass_transform

import numpy as np

from regjax._inputs import namespace
from regjax._messages import counted
from regjax.paths.data.inputs import as_new_design

CONVERGED = 0
NOT_CONVERGED = 1

T = TypeVar("T")


class ConvergenceWarning(UserWarning):
    """Some solutions of a path are further from their optimum than `tol`."""


@dataclass_transform(frozen_default=True)
def result(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass, and a pytree of JAX where JAX is loaded.

    Fields declared with `metadata={"static": True}` are part of the structure.
    """

    def note(self: Any) -> None:
        # Only a program that has loaded JAX can hand a result to it.
        if "jax" in sys.modules:
            from regjax._pytree import register

            register(type(self))

    # Types cannot say that a decorator adds a method.
    cls.__post_init__ = note  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)


@result
class Path:
    """Solutions at every lambda.

    With several responses `coef` and `intercept` have a leading axis (n_targets,), and with several
    weightings of the rows one before it. So have the other arrays, but for a joint path: its
    responses share their lambdas and certificates.

    Attributes:
        lambdas: (n_lambdas,), descending.
        coef: (n_lambdas, n_features), in the units of the data.
        intercept: (n_lambdas,).
        duality_gap: (n_lambdas,) gap of these very coefficients, divided by the objective of
            the intercept alone.
        status: (n_lambdas,) int; 0 where `duality_gap <= tol`, else 1.
        l1_ratio: the share of the absolute penalty that was asked for.
        feature_names: the names of the columns, or None.
    """

    lambdas: Any
    coef: Any
    intercept: Any
    duality_gap: Any
    status: Any
    l1_ratio: Any
    feature_names: tuple[str, ...] | None = dataclasses.field(
        default=None, metadata={"static": True}
    )

    def at(self, lambda_: Any) -> tuple[Any, Any]:
        """Return coefficients and intercept at `lambda_`, by linear interpolation of the path.

        Exact at the lambdas of the path, and between two of them wherever the active set is the
        same for the lasso; for an exact solution elsewhere solve again with `lambdas=[lambda_]`.

        Args:
            lambda_: a number within the path. A traced one outside gives the nearest end.

        Returns:
            Coefficients (..., n_features) and intercepts (...), without the axis of the lambdas.

        Raises:
            ValueError: if `lambda_` is outside the path, or paths have lambdas of their own.

        Example:
            >>> import numpy as np
            >>> from regjax.paths import lasso_path
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[2.0, 1.0]).at(1.5)[0])
            [0.5]
        """
        if self.lambdas.ndim != 1:
            raise ValueError("These are several paths: take one of them by select(...) first.")
        xp, traced = namespace(self.lambdas, self.coef, lambda_)
        lambdas = self.lambdas
        if not traced and not lambdas[-1] <= lambda_ <= lambdas[0]:
            raise ValueError(
                f"lambda_ = {lambda_:g} is outside the path, {lambdas[-1]:g} to {lambdas[0]:g}; "
                "solve again with lambdas=[lambda_]."
            )
        lambda_ = xp.clip(lambda_, lambdas[-1], lambdas[0])
        right = xp.minimum(xp.searchsorted(-lambdas, -lambda_), len(lambdas) - 1)
        left = xp.maximum(right - 1, 0)
        width = lambdas[left] - lambdas[right]
        share = xp.where(width > 0, lambdas[left] - lambda_, 1.0) / xp.where(width > 0, width, 1.0)
        coef = (1 - share) * self.coef[..., left, :] + share * self.coef[..., right, :]
        intercept = (1 - share) * self.intercept[..., left] + share * self.intercept[..., right]
        return coef, intercept

    def select(self, *index: int | slice) -> Path:
        """Return one path of several: by weighting, if there are several, then by response.

        Example:
            >>> import numpy as np
            >>> from regjax.paths import lasso_path
            >>> X = np.array([[1.0], [-1.0]])
            >>> lasso_path(X, np.hstack([2 * X, 3 * X]), lambdas=[1.0]).select(1).at(1.0)[0]
            array([2.])
        """
        joint = self.lambdas.ndim < self.intercept.ndim

        def own(field: Any) -> Any:
            return field if joint else field[index]

        return Path(
            own(self.lambdas),
            self.coef[index],
            self.intercept[index],
            own(self.duality_gap),
            own(self.status),
            self.l1_ratio if np.ndim(self.l1_ratio) == 0 else self.l1_ratio[index],
            self.feature_names,
        )

    def predict(self, X: Any) -> Any:
        """Return predictions (..., n_lambdas, n_samples) for rows `X` (n_samples, n_features).

        The columns of a data frame are found by `feature_names`, in any order and among others.

        Raises:
            ValueError: for columns that are missing or too many.

        Example:
            >>> import numpy as np
            >>> from regjax.paths import lasso_path
            >>> X, y = np.array([[1.0], [-1.0]]), np.array([2.0, -2.0])
            >>> print(lasso_path(X, y, lambdas=[1.0]).predict(X))
            [[ 1. -1.]]
        """
        X = as_new_design(X, self.feature_names, self.coef)
        flat = self.coef.reshape(-1, X.shape[1]) @ X.T
        return flat.reshape(*self.intercept.shape, -1) + self.intercept[..., None]

    def __repr__(self) -> str:
        *lead, n_lambdas, n_features = self.coef.shape
        several = f"{' x '.join(map(str, lead))} responses, " if lead else ""
        text = f"Path({several}{counted(n_lambdas, 'lambda')}, {counted(n_features, 'feature')}"
        xp, _ = namespace(self.lambdas, self.status)
        if xp is np and n_lambdas:
            first, last = self.lambdas.max(), self.lambdas.min()
            missed = np.count_nonzero(self.status)
            text += f", {first:.3g} to {last:.3g}"
            text += f", {missed} not converged" if missed else ", all converged"
        return text + ")"


@result
class CrossValidation:
    """What cross-validation found.

    With several responses every field but `l1_ratios` gains a leading axis (n_targets,). Of a joint
    search only the coefficients and intercepts do: errors are averaged over the responses.

    Attributes:
        l1_ratios: (n_ratios,) the l1_ratios tried.
        lambdas: (n_ratios, n_lambdas), descending.
        fold_errors: (n_ratios, n_folds, n_lambdas) mean squared errors of the test rows.
        mean_error, standard_error: (n_ratios, n_lambdas), over folds.
        l1_ratio, lambda_: the pair of minimum mean error.
        lambda_1se: the largest lambda of that l1_ratio whose mean error is within one standard
            error of the minimum.
        coef, intercept: the fit to all rows at `lambda_`: (n_features,) and a number.
        coef_1se, intercept_1se: the same at `lambda_1se`.
        path: the whole path of all rows at `l1_ratio`.
    """

    l1_ratios: Any
    lambdas: Any
    fold_errors: Any
    mean_error: Any
    standard_error: Any
    l1_ratio: Any
    lambda_: Any
    lambda_1se: Any
    coef: Any
    intercept: Any
    coef_1se: Any
    intercept_1se: Any
    path: Path

    def predict(self, X: Any) -> Any:
        """Return predictions (n_samples,) or (n_samples, n_targets) of the fit at `lambda_`.

        The columns of a data frame are found by name, as in `Path.predict`.

        Example:
            >>> import numpy as np
            >>> from regjax.paths import lasso_cv
            >>> X = np.arange(20.0).reshape(-1, 1)
            >>> print(lasso_cv(X, X[:, 0]).predict(np.array([[40.0]])).round(1))
            [40.]
        """
        X = as_new_design(X, self.path.feature_names, self.coef)
        return X @ self.coef.T + self.intercept

    def __repr__(self) -> str:
        *lead, n_ratios, n_folds, n_lambdas = self.fold_errors.shape
        several = f"{' x '.join(map(str, lead))} responses, " if lead else ""
        ratios = f"{n_ratios} l1_ratios, " if n_ratios > 1 else ""
        text = f"CrossValidation({several}{ratios}{counted(n_lambdas, 'lambda')}, "
        text += counted(n_folds, "split")
        if np.ndim(self.lambda_) == 0 and namespace(self.lambda_)[0] is np:
            text += f", lambda_={self.lambda_:.3g}, lambda_1se={self.lambda_1se:.3g}"
        return text + ")"


def chosen(
    l1_ratios: Any,
    lambdas: Any,
    fold_errors: Any,
    mean: Any,
    spread: Any,
    coef: Any,
    intercept: Any,
    gap: Any,
    *,
    names: tuple[str, ...] | None = None,
) -> CrossValidation:
    """Return by problem the choice by errors, and the fits to all rows that go with it.

    The l1_ratio and the lambda of the minimum mean error, and the largest lambda of that l1_ratio
    whose error is within one standard error of it; the same lambda where the standard error is
    unknown. Statuses of the path are left 0.

    Args:
        l1_ratios: (n_ratios,).
        lambdas, mean, spread: (n_problems, n_ratios, n_lambdas).
        fold_errors: (n_problems, n_ratios, n_folds, n_lambdas).
        coef: (n_ratios, n_problems, ..., n_lambdas, n_features), of all rows.
        intercept: (n_ratios, n_problems, ..., n_lambdas).
        gap: (n_ratios, n_problems, n_lambdas).
        names: of the features.
    """
    xp, _ = namespace(mean)
    problem = xp.arange(len(mean))
    ratio, best = xp.divmod(mean.reshape(len(mean), -1).argmin(axis=1), mean.shape[2])
    coef, intercept, gap = coef[ratio, problem], intercept[ratio, problem], gap[ratio, problem]
    grid, ratios = lambdas[problem, ratio], l1_ratios[ratio]
    mean_of, spread_of = mean[problem, ratio], spread[problem, ratio]
    limit = mean_of[problem, best] + xp.nan_to_num(spread_of[problem, best])
    # The largest lambda comes first.
    sparse = xp.argmax(mean_of <= limit[:, None], axis=1)

    def fit(index: Any) -> tuple[Any, Any]:
        return coef[problem, ..., index, :], intercept[problem, ..., index]

    (coef_best, intercept_best), (coef_sparse, intercept_sparse) = fit(best), fit(sparse)
    return CrossValidation(
        l1_ratios=l1_ratios,
        lambdas=lambdas,
        fold_errors=fold_errors,
        mean_error=mean,
        standard_error=spread,
        l1_ratio=ratios,
        lambda_=grid[problem, best],
        lambda_1se=grid[problem, sparse],
        coef=coef_best,
        intercept=intercept_best,
        coef_1se=coef_sparse,
        intercept_1se=intercept_sparse,
        path=Path(grid, coef, intercept, gap, xp.zeros(gap.shape, int), ratios, names),
    )


def first_response(found: CrossValidation) -> CrossValidation:
    """Return the choice for the first problem, without the axis of the problems."""

    def first(field: Any) -> Any:
        # Numbers of NumPy become Python's.
        return field[0].item() if isinstance(field, np.ndarray) and field.ndim == 1 else field[0]

    def rest(of: Any, *kept: str) -> dict[str, Any]:
        return {name: first(value) for name, value in vars(of).items() if name not in kept}

    path = Path(**rest(found.path, "feature_names"), feature_names=found.path.feature_names)
    return CrossValidation(**rest(found, "l1_ratios", "path"), l1_ratios=found.l1_ratios, path=path)
