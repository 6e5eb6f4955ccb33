"""A chosen model: predicts, tells its coefficients, and lives in one file without pickle."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import safetensors
import safetensors.numpy

from regjax.sweeps.linear import LinearModel, linear_model
from regjax.sweeps.mlp import MLPModel
from regjax.sweeps.model import Conditioning, Model, Params
from regjax.tables import Encoding, ReadOptions, is_frame, read_cells

_FORMAT = "regjax-model-2"
_KINDS: dict[str, Callable[..., Model]] = {"linear": linear_model, "mlp": MLPModel}


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """A model fitted to all rows at its chosen strength, as sweeps and cross-validations leave.

    Attributes:
        name: name of the model, such as "lasso", or of the rule that chose it.
        lambda_: the chosen strength.
        model: its description.
        params: its parameters, NumPy arrays.
        conditioning: fixed map of the features that goes before the model.
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
    conditioning: Conditioning
    encoding: Encoding

    def predict(self, data: Any) -> np.ndarray:
        """Return predictions (n_rows,): numbers, or class labels as text.

        Args:
            data: a data frame of polars, pandas or Arrow with the columns of `encoding`, in any
                order, others are ignored; the path of a CSV or Parquet file with them, which is
                read as the table of the training was; or a matrix of encoded features.

        Raises:
            TableError: if the columns do not fit.
            ValueError: if a matrix has another number of features.
        """
        outputs = self._outputs(data)
        if self.encoding.task == "classification":
            return np.asarray(self.encoding.classes)[outputs.argmax(axis=1)]
        return outputs

    def with_options(self, given: ReadOptions) -> FittedModel:
        """Return the model that reads new tables with these options over those of the training.

        Raises:
            TableError: if a column named categorical is not text for the model.
        """
        return dataclasses.replace(self, encoding=self.encoding.with_options(given))

    def predict_proba(self, data: Any) -> np.ndarray:
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
        arrays, _ = _named_arrays((self.params, self.conditioning))
        description = {
            "format": _FORMAT,
            "name": self.name,
            "lambda_": self.lambda_,
            "kind": "linear" if isinstance(self.model, LinearModel) else "mlp",
            "model": dataclasses.asdict(self.model),
            "encoding": self.encoding.to_json(),
        }
        safetensors.numpy.save_file(arrays, path, {"regjax": json.dumps(description)})

    @staticmethod
    def load(path: str | pathlib.Path) -> FittedModel:
        """Return the model in the file at `path`; nothing in it is executed.

        Raises:
            ValueError: if it is no model file of this library, or torn.
        """
        if not pathlib.Path(path).is_file():
            raise ValueError(f"There is no model file {str(path)!r}.")
        try:
            return _read(path)
        except Exception as error:
            # A foreign file can be wrong in any way.
            raise ValueError(f"{str(path)!r} is no regjax model, or torn: {error}.") from error

    def _outputs(self, data: Any) -> np.ndarray:
        if isinstance(data, str | pathlib.Path):
            data = read_cells(data, self.encoding.read_options)
        X = self.encoding.encode(data) if is_frame(data) else np.asarray(data)
        n_features = len(self.encoding.feature_names)
        if X.ndim != 2 or X.shape[1] != n_features:
            raise ValueError(f"X must have shape (n_rows, {n_features}), got {X.shape}.")
        if not np.isfinite(X).all():
            raise ValueError("X holds NaN or infinity; remove those rows or fill them in first.")
        dtype = self.model.dtype
        with jax.enable_x64(dtype == "float64"):
            params = jax.tree.map(jnp.asarray, self.params)
            features = jnp.asarray(self.conditioning.features(X, dtype))
            outputs = np.asarray(self.model.predict(params, features))
        if self.encoding.task == "classification":
            return outputs
        return outputs * self.conditioning.y_unit + self.conditioning.y_offset


def _read(path: str | pathlib.Path) -> FittedModel:
    with safetensors.safe_open(str(path), framework="numpy") as file:
        description = json.loads(file.metadata()["regjax"])
    stored = safetensors.numpy.load_file(path)
    if description["format"] != _FORMAT:
        raise ValueError(f"it has the format {description['format']!r} and not {_FORMAT!r}")
    encoding = Encoding.from_json(description["encoding"])
    model: Model = _KINDS[description["kind"]](**description["model"])
    if model.task != encoding.task:
        raise ValueError("its model and its columns contradict each other")
    n_features = len(encoding.feature_names)
    vector, scalar = np.zeros(n_features), np.zeros(())
    with jax.enable_x64(model.dtype == "float64"):
        blank = (model.shapes(n_features), Conditioning(vector, vector, scalar, scalar))
    shapes, structure = _named_arrays(blank)
    found = {name: (array.shape, array.dtype) for name, array in stored.items()}
    if found != {name: (leaf.shape, leaf.dtype) for name, leaf in shapes.items()}:
        raise ValueError("its arrays do not fit its description")
    params, conditioning = jax.tree.unflatten(structure, [stored[name] for name in shapes])
    return FittedModel(
        str(description["name"]),
        float(description["lambda_"]),
        model,
        params,
        conditioning,
        encoding,
    )


def _named_arrays(params: Params) -> tuple[dict[str, Any], Any]:
    paths, structure = jax.tree_util.tree_flatten_with_path(params)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    return named, structure
