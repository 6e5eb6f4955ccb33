"""Draw `diabetes_path.png` beside this file. Command: `python docs/figures/diabetes_path.py`."""

import pathlib

from matplotlib.figure import Figure

from regjax import plots
from regjax.datasets import load_dataset
from regjax.paths import lasso_cv


def draw() -> Figure:
    """Return the lasso path of the diabetes data beside its cross-validation."""
    frame, target = load_dataset("diabetes")
    X, y = frame.drop(target), frame[target]
    cv = lasso_cv(X, y, folds=10, standardize=True)
    figure = Figure(figsize=(10, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.plot_path(cv, scale=X.to_numpy().std(axis=0), axis=left)
    plots.plot_cross_validation(cv, axis=right)
    return figure


if __name__ == "__main__":
    draw().savefig(pathlib.Path(__file__).with_suffix(".png"), dpi=120)
