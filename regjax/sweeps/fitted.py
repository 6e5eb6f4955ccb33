"""A chosen model: predicts, tells its coefficients, and lives in one file without pickle."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import safetensors
import safetensors.numpy

from regjax.sweeps.linear import LinearModel
from regjax.sweeps.mlp import MLPModel
from regjax.sweeps.model import Model, Params
from regjax.tables import Encoding

_FORMAT = "regjax-model-1"
_KINDS: dict[str, type] = {"linear": LinearModel, "mlp": MLPModel}


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """A model refitted on all rows at its chosen strength; `SweepResult.fitted` holds them.

    Attributes:
        name: name of the model, such as "lasso".
        lambda_: the chosen strength.
        model: its description.
        params: its parameters, NumPy arrays.
        encoding: the columns it takes.

    Example:
        >>> import regjax
        >>> result = regjax.sweep("diabetes", lambdas=[0.01, 0.1, 1.0], seeds=2)
        >>> lasso = result.fitted["lasso"]
        >>> lasso.predict(result.data.X).shape
        (442,)
        >>> lasso.coefficients().columns
        ['feature', 'coefficient', 'per_standard_deviation']
    """

    name: str
    lambda_: float
    model: Model
    params: Params
    encoding: Encoding

    def predict(self, data: pl.DataFrame | np.ndarray) -> np.ndarray:
        """Return predictions (n_rows,): numbers, or class labels as text.

        Args:
            data: a data frame with the columns of `encoding`, in any order, or a matrix of
                encoded features.

        Raises:
            TableError: if the columns do not fit.
            ValueError: if a matrix has another number of features.
        """
        outputs = self._outputs(data)
        if self.encoding.task == "classification":
            return np.asarray(self.encoding.classes)[outputs.argmax(axis=1)]
        return outputs

    def predict_proba(self, data: pl.DataFrame | np.ndarray) -> np.ndarray:
        """Return class probabilities (n_rows, n_classes), in the order of `encoding.classes`."""
        if self.encoding.task != "classification":
            raise ValueError("Only a classification has class probabilities.")
        outputs = self._outputs(data)
        weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def coefficients(self) -> pl.DataFrame:
        """Return coefficients by feature: in original units, and per standard deviation.

        A classification has one pair of columns per class. The last row is the intercept.

        Raises:
            ValueError: for a perceptron, which has none.
        """
        if not isinstance(self.model, LinearModel):
            raise ValueError(f"{self.name} has no coefficients by feature.")
        scaler = self.params["scaler"]
        if self.encoding.task == "regression":
            standardised = self.params["weights"][:, None] * self.params["y_scale"]
            offset = np.atleast_1d(self.params["y_mean"])
            suffixes = [""]
        else:
            standardised, offset = self.params["weights"], self.params["intercept"]
            suffixes = [f"[{label}]" for label in self.encoding.classes]
        original = standardised / scaler.scale[:, None]
        columns: dict[str, Any] = {"feature": [*self.encoding.feature_names, "(intercept)"]}
        for k, suffix in enumerate(suffixes):
            intercept = offset[k] - scaler.mean @ original[:, k]
            columns[f"coefficient{suffix}"] = [*original[:, k].tolist(), float(intercept)]
            columns[f"per_standard_deviation{suffix}"] = [
                *standardised[:, k].tolist(),
                float(offset[k]),
            ]
        return pl.DataFrame(columns)

    def save(self, path: str | pathlib.Path) -> None:
        """Write the model to one safetensors file."""
        arrays, _ = _named_arrays(self.params)
        kind = next(kind for kind, cls in _KINDS.items() if isinstance(self.model, cls))
        description = {
            "format": _FORMAT,
            "name": self.name,
            "lambda_": self.lambda_,
            "kind": kind,
            "model": dataclasses.asdict(self.model),  # type: ignore[call-overload]
            "encoding": self.encoding.to_json(),
        }
        safetensors.numpy.save_file(arrays, path, {"regjax": json.dumps(description)})

    @staticmethod
    def load(path: str | pathlib.Path) -> FittedModel:
        """Return the model in the file at `path`; nothing in it is executed.

        Raises:
            ValueError: if it is no model file of this library, or torn.
        """
        try:
            with safetensors.safe_open(str(path), framework="numpy") as file:
                description = json.loads((file.metadata() or {})["regjax"])
                stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except FileNotFoundError as error:
            raise ValueError(f"There is no model file {str(path)!r}.") from error
        except (safetensors.SafetensorError, KeyError, OSError, ValueError) as error:
            raise ValueError(f"{str(path)!r} is no regjax model, or torn: {error}.") from error
        if description.get("format") != _FORMAT:
            raise ValueError(f"{str(path)!r} was written by another version of regjax.")
        encoding = Encoding.from_json(description["encoding"])
        model: Model = _KINDS[description["kind"]](**description["model"])
        params = _skeleton(model, len(encoding.feature_names))
        names, structure = _named_arrays(params)
        if names.keys() != stored.keys():
            raise ValueError(f"{str(path)!r} does not hold the arrays of a {description['kind']}.")
        leaves = [stored[name] for name in names]
        return FittedModel(
            description["name"],
            description["lambda_"],
            model,
            jax.tree.unflatten(structure, leaves),
            encoding,
        )

    def _outputs(self, data: pl.DataFrame | np.ndarray) -> np.ndarray:
        X = self.encoding.encode(data) if isinstance(data, pl.DataFrame) else np.asarray(data)
        n_features = len(self.encoding.feature_names)
        if X.ndim != 2 or X.shape[1] != n_features:
            raise ValueError(f"X must have shape (n_rows, {n_features}), got {X.shape}.")
        with jax.enable_x64(self.model.dtype == "float64"):
            return np.asarray(_predict(self.model, self.params, X.astype(self.model.dtype)))


def _predict(model: Model, params: Params, X: np.ndarray) -> jax.Array:
    return model.predict(jax.tree.map(jnp.asarray, params), jnp.asarray(X))


def _named_arrays(params: Params) -> tuple[dict[str, Any], Any]:
    paths, structure = jax.tree_util.tree_flatten_with_path(params)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    return named, structure


def _skeleton(model: Model, n_features: int) -> Params:
    """Return a parameter tree of shapes, to put stored arrays in."""
    rows = max(3, getattr(model, "n_outputs", 1))
    names = ("lambda_", "l1_ratio", "learning_rate")

    def fit(X: jax.Array, y: jax.Array) -> Params:
        hyperparameters = {name: jnp.zeros(()) for name in names}
        return model.fit(hyperparameters, jax.random.key(0), X, y).params

    with jax.enable_x64(model.dtype == "float64"):
        X = jax.ShapeDtypeStruct((rows, n_features), model.dtype)
        dtype = "int32" if model.task == "classification" else model.dtype
        return jax.eval_shape(fit, X, jax.ShapeDtypeStruct((rows,), dtype))
