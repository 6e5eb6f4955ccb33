"""Embedded data sets: tables that come with scikit-learn."""

from __future__ import annotations

import numpy as np

import regjax

try:
    import polars as pl

    from regjax.tables import TableError
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

DATASETS = ("diabetes", "diabetes_quadratic", "digits")
"""Names that `load_dataset` knows."""


def load_dataset(name: str) -> tuple[pl.DataFrame, str]:
    """Return an embedded data set with the name of its target.

    They come with scikit-learn:

    - `diabetes`: 442 patients, 10 features in their measured units;
    - `diabetes_quadratic`: the same with squares and products of the standardised features,
      64 in all, as in Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle
      regression", section 1;
    - `digits`: 1,797 images of 8x8 pixel intensities from 0 to 16.

    Example:
        >>> frame, target = load_dataset("diabetes")
        >>> frame.shape, target
        ((442, 11), 'progression')
    """
    from sklearn import datasets

    if name in ("diabetes", "diabetes_quadratic"):
        bunch = datasets.load_diabetes(scaled=False)
        columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
        if name == "diabetes_quadratic":
            columns = _with_products(columns)
        target = "progression"
    elif name == "digits":
        bunch = datasets.load_digits()
        names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
        columns = dict(zip(names, bunch.data.T, strict=True))
        target = "digit"
    else:
        raise TableError(
            f"There is no data set {name!r}; embedded are {', '.join(map(repr, DATASETS))}."
        )
    return pl.DataFrame({**columns, target: bunch.target}), target


def _with_products(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    scaled = {name: (x - x.mean()) / x.std() for name, x in columns.items()}
    names = list(columns)
    products = dict(columns)
    for i, first in enumerate(names):
        for second in names[i:]:
            if first != second:
                products[f"{first}*{second}"] = scaled[first] * scaled[second]
            elif len(np.unique(columns[first])) > 2:
                products[f"{first}^2"] = scaled[first] ** 2
    return products
