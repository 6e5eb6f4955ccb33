"""What a model of the main job is: a fit, a pure prediction, and its own scaling."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import numpy as np

from regjax.tables import Task

Hyperparameters = dict[str, jax.Array]
"""Scalars by name; in a sweep, lanes of them."""

Params = Any
"""A tree of arrays."""

Metrics = dict[str, Any]
"""Scalars by name, or arrays of them over lanes."""


class Scaler(NamedTuple):
    """Means and standard deviations of the training rows, (n_features,) each."""

    mean: Any
    scale: Any

    def apply(self, X: Any) -> Any:
        return (X - self.mean) / self.scale


def scale_features(X: Any) -> Scaler:
    """Return the scaler of the rows of X; a constant column has scale infinity, and becomes 0.

    NumPy and JAX arrays alike, each in its own arithmetic.
    """
    xp = X.__array_namespace__()
    mean = xp.mean(X, axis=0)
    return as_scaler(mean, xp.sqrt(xp.mean(xp.square(X - mean), axis=0)))


def as_scaler(mean: Any, deviation: Any) -> Scaler:
    """Return the scaler of these moments; a column constant up to rounding has scale infinity."""
    xp = mean.__array_namespace__()
    # A constant column comes out of the mean with rounding noise of this size.
    noise = 8 * xp.finfo(mean.dtype).eps * xp.abs(mean)
    return Scaler(mean, xp.where(deviation > noise, deviation, xp.inf))


def scale_response(y: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of y; a constant y has the deviation 1."""
    xp = y.__array_namespace__()
    mean = xp.mean(y)
    deviation = xp.std(y)
    noise = 8 * xp.finfo(y.dtype).eps * xp.abs(mean)
    return mean, xp.where(deviation > noise, deviation, 1)


class Conditioning(NamedTuple):
    """A fixed affine map of features and response, taken in float64 before a float32 model.

    Models standardise by their training rows anyway, which undoes any such map; it only
    keeps digits that float32 would lose, as of a time in seconds since 1970.
    """

    offset: np.ndarray
    unit: np.ndarray
    y_offset: np.ndarray
    y_unit: np.ndarray

    def features(self, X: np.ndarray, dtype: str) -> np.ndarray:
        """Return the features that the model sees."""
        return ((X - self.offset) / self.unit).astype(dtype)


def condition(X: np.ndarray, y: np.ndarray, model: Model) -> Conditioning:
    """Return the identity for a float64 model, else the map to mean 0 and deviation 1."""
    n_features = X.shape[1]
    if model.dtype == "float64":
        return no_conditioning(n_features)
    deviation = X.std(axis=0)
    y_offset, y_unit = np.zeros(()), np.ones(())
    if model.task == "regression":
        y_offset, y_unit = np.asarray(y.mean()), np.asarray(y.std())
    return Conditioning(X.mean(axis=0), np.where(deviation > 0, deviation, 1), y_offset, y_unit)


def no_conditioning(n_features: int) -> Conditioning:
    """Return the identity."""
    return Conditioning(np.zeros(n_features), np.ones(n_features), np.zeros(()), np.ones(()))


class Model(Protocol):
    """A frozen dataclass that describes a model; it hashes and holds no arrays."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __hash__(self) -> int: ...

    @property
    def task(self) -> Task: ...

    @property
    def dtype(self) -> str:
        """Precision of the data: "float32" or "float64"."""

    def predict(self, params: Params, X: jax.Array) -> jax.Array:
        """Return responses (n,) or logits (n, k) for raw features."""

    def penalized_weights(self, params: Params) -> list[jax.Array]:
        """Return the arrays that the penalty acts on."""

    def shapes(self, n_features: int) -> Params:
        """Return shapes and dtypes of the parameters, to hold stored ones against."""

    def status_text(self, metrics: Metrics) -> np.ndarray:
        """Return in words how each fit ended, given the metrics of many."""
