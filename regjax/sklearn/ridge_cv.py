"""Ridge regression with the strength that cross-validates best."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.model_selection import GridSearchCV
from sklearn.utils import check_scalar
from sklearn.utils.metadata_routing import _raise_for_params, _routing_enabled, process_routing
from sklearn.utils.validation import _check_sample_weight, validate_data

from regjax.paths import ridge_cv
from regjax.sklearn._shared import quiet_engine, warn_of_lost_columns
from regjax.sklearn.ridge import Ridge


class RidgeCV(linear_model.RidgeCV):
    """Ridge regression, its strength cross-validated, with scikit-learn's interface.

    The objective is that of `Ridge`; parameters and attributes are those of
    `sklearn.linear_model.RidgeCV`. With `cv=None` every row is left out in turn, at the cost of one
    eigendecomposition whatever `gcv_mode` says; a row of weight w counts w times in the score,
    `cv_results_` holds w times its squared error, or its prediction if `scoring` is given. Other
    `cv` search the strengths with `GridSearchCV`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(50, 4))
        >>> model = RidgeCV(alphas=[0.1, 1.0, 1000.0], store_cv_results=True)
        >>> model.fit(X, X[:, 0] + rng.normal(size=50)).cv_results_.shape, float(model.alpha_)
        ((50, 3), 1.0)
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> RidgeCV:
        """Return the estimator fitted to `X` (n_samples, n_features) and `y`.

        `params` go to the scorer and to the splitter, where metadata routing is enabled.
        """
        _raise_for_params(params, self, "fit")
        alphas = self._checked_alphas()
        if self.cv is not None:
            return self._search(X, y, alphas, sample_weight, params)
        to_scorer: dict[str, Any] = {}
        if sample_weight is not None:
            to_scorer["sample_weight"] = sample_weight
        if _routing_enabled():
            to_scorer = process_routing(self, "fit", **params, **to_scorer).scorer.score
        return self._leave_one_out(X, y, alphas, sample_weight, to_scorer)

    def _checked_alphas(self) -> np.ndarray:
        closed = "neither" if self.cv is None else "left"
        given = np.asarray(self.alphas, dtype=object)
        for i, alpha in enumerate(given.ravel().tolist()):
            name = f"alphas[{i}]" if given.size > 1 else "alphas"
            check_scalar(alpha, name, Real, min_val=0.0, include_boundaries=closed)
        return given.ravel().astype(np.float64)

    def _search(
        self, X: Any, y: Any, alphas: np.ndarray, sample_weight: Any, params: dict[str, Any]
    ) -> RidgeCV:
        if self.store_cv_results:
            raise ValueError("cv!=None and store_cv_results=True are incompatible")
        if self.alpha_per_target:
            raise ValueError("cv!=None and alpha_per_target=True are incompatible")
        model = Ridge(fit_intercept=self.fit_intercept)
        if _routing_enabled():
            model.set_fit_request(sample_weight=True)
        if sample_weight is not None:
            params = {**params, "sample_weight": sample_weight}
        search = GridSearchCV(model, {"alpha": alphas}, cv=self.cv, scoring=self._get_scorer())
        best = search.fit(X, y, **params).best_estimator_
        self.alpha_, self.best_score_ = best.alpha, search.best_score_
        self.coef_, self.intercept_ = best.coef_, best.intercept_
        self.n_features_in_ = best.n_features_in_
        if hasattr(best, "feature_names_in_"):
            self.feature_names_in_ = best.feature_names_in_
        return self

    def _leave_one_out(
        self, X: Any, y: Any, alphas: np.ndarray, sample_weight: Any, to_scorer: dict[str, Any]
    ) -> RidgeCV:
        # Attributes keep the precision of X, if it has one; sums are taken in float64.
        given = getattr(X, "dtype", None)
        dtype = given if getattr(given, "kind", None) == "f" else np.dtype(np.float64)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc", "coo"],
            dtype=np.float64,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        if self.gcv_mode == "svd" and not isinstance(X, np.ndarray):
            warnings.warn(
                "The 'svd' mode is not supported for sparse X: it changes nothing here.",
                FutureWarning,
                stacklevel=4,
            )
        warn_of_lost_columns(self, X, stacklevel=5)
        weight = np.ones(len(y))
        if sample_weight is not None:
            weight = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        responses = y.reshape(len(y), -1).astype(np.float64)
        rows = _left_out(X, responses, weight, alphas, self.fit_intercept)
        if self.scoring is None:
            kept = weight[:, None, None] * np.square(rows.errors)
            scores = -kept.mean(axis=0)
            scores = scores if self.alpha_per_target else scores.mean(axis=0, keepdims=True)
        else:
            kept = responses[:, :, None] - rows.errors
            scores = self._scores(kept, y, to_scorer)
        # The first of equal ones, as they were given.
        best = scores.argmax(axis=1)
        target = np.arange(responses.shape[1])
        chosen = np.broadcast_to(best, target.shape)
        coef, intercept = rows.coef[target, chosen], rows.intercept[target, chosen]
        several = self.alpha_per_target and len(target) > 1
        score = scores[np.arange(len(best)), best]
        self.alpha_ = alphas[best] if several else alphas[best[0]]
        self.best_score_ = score if several else score[0]
        self.coef_ = (coef if len(coef) > 1 else coef[0]).astype(dtype)
        intercepts = intercept.astype(dtype)
        self.intercept_ = intercepts if y.ndim == 2 else intercepts[0]
        if not self.fit_intercept:
            self.intercept_ = 0.0
        if self.store_cv_results:
            self.cv_results_ = (kept if y.ndim == 2 else kept[:, 0]).astype(dtype)
        return self

    def _scores(
        self, predictions: np.ndarray, y: np.ndarray, to_scorer: dict[str, Any]
    ) -> np.ndarray:
        """Return scores (1, n_alphas), or (n_targets, n_alphas) if each has its own strength."""
        scorer, identity = self._get_scorer(), _Identity()

        def score(fitted: np.ndarray, observed: np.ndarray) -> list[float]:
            return [scorer(identity, column, observed, **to_scorer) for column in fitted]

        if self.alpha_per_target and y.ndim == 2:
            by_target = zip(predictions.transpose(1, 2, 0), y.T, strict=True)
            return np.array([score(fitted, observed) for fitted, observed in by_target])
        by_alpha = predictions.transpose(2, 0, 1)
        return np.array([score(by_alpha if y.ndim == 2 else by_alpha[:, :, 0], y)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags


class _Identity(RegressorMixin, BaseEstimator):
    """What a scorer is given in the place of an estimator: the predictions are its data."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X


class _LeftOut(NamedTuple):
    """Fits to all rows, and the errors of each row by the fit to the others.

    Attributes:
        errors: (n_samples, n_targets, n_alphas).
        coef: (n_targets, n_alphas, n_features).
        intercept: (n_targets, n_alphas).
    """

    errors: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray


def _left_out(
    X: Any, y: np.ndarray, weight: np.ndarray, alphas: np.ndarray, fit_intercept: bool
) -> _LeftOut:
    """Return what leaves one row out at every strength, in the order given."""
    order = np.argsort(-alphas, kind="stable")
    with quiet_engine():
        found = ridge_cv(
            X,
            y,
            lambdas=alphas / weight.sum(),
            fit_intercept=fit_intercept,
            sample_weight=weight,
        )
    # The fit of a row errs to the same side as the fit without it, by less.
    residual = y.T[:, None] - found.path.predict(X)
    # A row without weight is not in the fit.
    errors = residual.transpose(2, 0, 1)
    counted = weight > 0
    size = np.sqrt(found.fold_errors[:, 0]).transpose(1, 0, 2)
    errors[counted] = np.copysign(size, errors[counted])
    back = np.argsort(order, kind="stable")
    return _LeftOut(errors[:, :, back], found.path.coef[:, back], found.path.intercept[:, back])
