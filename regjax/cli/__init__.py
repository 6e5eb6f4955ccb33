"""The command `regjax`: arguments to calls.

    regjax sweep [DATA]        sweep lambda over an embedded data set or a table of yours
    regjax sweep FILE.py:NAME  sweep a training function of yours
    regjax sweep merge DIR     join the shards of a sweep
    regjax path DATA           follow coefficients over lambda
    regjax cv DATA             choose lambda and features by cross-validation
    regjax predict RUN DATA    predict with the model that a run chose

Faults of the input end with one line and exit code 2.
"""

from regjax.cli._command import main
from regjax.cli._dispatch import sweep
from regjax.cli.cv import cv
from regjax.cli.path import path
from regjax.cli.predict import predict

__all__ = ["cv", "main", "path", "predict", "sweep"]
