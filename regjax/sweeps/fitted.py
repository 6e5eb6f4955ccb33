"""A chosen model: predicts, tells its coefficients, and lives in one file without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import safetensors
import safetensors.numpy

from regjax._messages import quoted
from regjax.sweeps.linear import LinearModel, linear_model
from regjax.sweeps.mlp import MLPModel
from regjax.sweeps.model import Conditioning, Model, Params
from regjax.tables import Encoding, ReadOptions, is_frame, read_cells

_FORMAT = "regjax-model-2"
# Arrays by which others are divided, and those of them that are infinite for a constant column.
_DIVISORS = ("scale", "unit", "y_scale", "y_unit")
_MAY_BE_INFINITE = ("scale",)
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
        """Write the model to one safetensors file, which holds the SHA-256 of its content."""
        arrays, _ = _named_arrays((self.params, self.conditioning))
        description = {
            "format": _FORMAT,
            "name": self.name,
            "lambda_": self.lambda_,
            "kind": "linear" if isinstance(self.model, LinearModel) else "mlp",
            "model": dataclasses.asdict(self.model),
            "encoding": self.encoding.to_json(),
        }
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        text = json.dumps(description)
        metadata = {"regjax": text, "sha256": _digest(text, arrays)}
        safetensors.numpy.save_file(arrays, path, metadata)

    @staticmethod
    def load(path: str | pathlib.Path) -> FittedModel:
        """Return the model in the file at `path`; nothing in it is executed.

        Raises:
            ValueError: if it is not a model file of this library, if it was changed since it was
                written, or if its numbers cannot be those of a model.
        """
        if not pathlib.Path(path).is_file():
            raise ValueError(f"There is no model file {str(path)!r}.")
        try:
            return _read(path)
        except Exception as error:
            # A foreign file can be wrong in any way.
            raise ValueError(
                f"{str(path)!r} is not a regjax model file, or is corrupt: {error}."
            ) from error

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
        metadata = file.metadata() or {}
    if "regjax" not in metadata:
        raise ValueError("it holds other arrays")
    stored = safetensors.numpy.load_file(path)
    description = json.loads(metadata["regjax"])
    if description["format"] != _FORMAT:
        raise ValueError(f"it has the format {description['format']!r} and not {_FORMAT!r}")
    if metadata.get("sha256") != _digest(metadata["regjax"], stored):
        raise ValueError("its checksum is not that of its content")
    encoding = Encoding.from_json(description["encoding"])
    model: Model = _KINDS[description["kind"]](**description["model"])
    lambda_ = float(description["lambda_"])
    _check_encoding(encoding)
    if model.task != encoding.task:
        raise ValueError("its model and its columns contradict each other")
    if not 0 <= lambda_ < math.inf:
        raise ValueError(f"its lambda is {lambda_:g}")
    n_features = len(encoding.feature_names)
    vector, scalar = np.zeros(n_features), np.zeros(())
    with jax.enable_x64(model.dtype == "float64"):
        shapes = model.shapes(n_features)
        features = jax.ShapeDtypeStruct((1, n_features), np.dtype(model.dtype))
        outputs = jax.eval_shape(model.predict, shapes, features)
        blank = (shapes, Conditioning(vector, vector, scalar, scalar))
    n_outputs = (len(encoding.classes),) if encoding.classes else ()
    if outputs.shape != (1, *n_outputs):
        raise ValueError(f"it has {outputs.shape[1:]} outputs for {len(encoding.classes)} classes")
    like, structure = _named_arrays(blank)
    found = {name: (array.shape, array.dtype) for name, array in stored.items()}
    if found != {name: (leaf.shape, leaf.dtype) for name, leaf in like.items()}:
        raise ValueError("its arrays do not fit its description")
    _check_numbers(stored)
    params, conditioning = jax.tree.unflatten(structure, [stored[name] for name in like])
    return FittedModel(
        str(description["name"]),
        lambda_,
        model,
        params,
        conditioning,
        encoding,
    )


def _digest(description: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a description and of arrays with their names, shapes and dtypes."""
    digest = hashlib.sha256(description.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_encoding(encoding: Encoding) -> None:
    """Raise ValueError for an encoding with values of other types than its own."""
    texts = [encoding.target, *encoding.classes]
    for column in encoding.columns:
        texts += [column.name, column.kind, *column.levels]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its columns and classes are not all text")
    kinds = {column.kind for column in encoding.columns} - {"number", "boolean", "text"}
    if kinds:
        raise ValueError(f"it has columns of the kind {quoted(kinds.pop())}")
    if encoding.task not in ("regression", "classification"):
        raise ValueError(f"it has the task {encoding.task!r}")
    if bool(encoding.classes) != (encoding.task == "classification"):
        raise ValueError(f"it has {len(encoding.classes)} classes for a {encoding.task}")


def _check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError for arrays that a fit cannot have come to."""
    for path, array in arrays.items():
        name = path.rpartition("/")[2]
        usable = np.isfinite(array)
        if name in _MAY_BE_INFINITE:
            usable |= np.isposinf(array)
        if not usable.all():
            raise ValueError(f"its {path!r} holds NaN or infinity")
        if name in _DIVISORS and not (array > 0).all():
            raise ValueError(f"its {path!r}, a divisor, is not positive")


def _named_arrays(params: Params) -> tuple[dict[str, Any], Any]:
    paths, structure = jax.tree_util.tree_flatten_with_path(params)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    return named, structure
