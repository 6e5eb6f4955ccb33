"""The command `regjax`: arguments to calls.

    regjax sweep [DATA]      sweep lambda over an embedded data set or a table of yours
    regjax predict RUN DATA  predict with the model that a run chose

Faults of the input end with one line and exit code 2.
"""

from regjax.cli._command import main
from regjax.cli.predict import predict
from regjax.cli.sweep import sweep

__all__ = ["main", "predict", "sweep"]
