"""The command `regjax`: arguments to calls.

    regjax sweep [DATA]      sweep lambda over an embedded data set or a table of yours
    regjax path DATA         follow coefficients over lambda
    regjax cv DATA           choose lambda and features by cross-validation
    regjax predict RUN DATA  predict with the model that a run chose

Faults of the input end with one line and exit code 2.
"""

from regjax.cli._command import main
from regjax.cli.cv import cv
from regjax.cli.path import path
from regjax.cli.predict import predict
from regjax.cli.sweep import sweep

__all__ = ["cv", "main", "path", "predict", "sweep"]
