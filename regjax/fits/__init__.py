"""Paths and cross-validation of a table, under the names of its columns, as a folder of results.

`open_data` reads a file, a folder of Parquet files or a data frame; `fit_path` and
`cross_validate` take what it returns. Features are standardised unless asked otherwise: the penalty
is on coefficients per standard deviation, and lambda has the unit of the target. Folders of
Parquet files are read a batch of rows at a time and are never in memory as a whole.
"""

import regjax

try:
    from regjax.fits.data import open_data
    from regjax.fits.fit import cross_validate, fit_path
    from regjax.fits.results import CrossValidationFit, PathFit
    from regjax.fits.store import save_fit
except ModuleNotFoundError as error:
    raise regjax._missing_extra(__name__, error) from error

__all__ = [
    "CrossValidationFit",
    "PathFit",
    "cross_validate",
    "fit_path",
    "open_data",
    "save_fit",
]
