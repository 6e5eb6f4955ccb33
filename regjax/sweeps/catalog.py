"""The models of the main job by name, each with its penalty and its default grid.

Default grids hold 0, the fit without a penalty that the others are measured against. L1 is
weaker than L2: its gradient does not shrink with the weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from regjax._messages import quoted, suggestion
from regjax.sweeps.checks import is_whole, numbers, plain_fields
from regjax.sweeps.linear import LinearModel, linear_model
from regjax.sweeps.mlp import MLPModel, Regularizer
from regjax.sweeps.strengths import log_range
from regjax.tables import Table, Task


@dataclasses.dataclass(frozen=True)
class MLPOptions:
    """How the perceptron is trained; see `regjax.sweeps.mlp.MLPModel`.

    Example:
        >>> MLPOptions(epochs=10).batch_size
        32
    """

    hidden: int = 64
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float | tuple[float, ...] = 1e-2

    def __post_init__(self) -> None:
        plain_fields(self)

    def rates(self) -> tuple[float, ...]:
        """Return the learning rates to sweep."""
        return tuple(numbers("learning-rate", self.learning_rate))

    def check(self) -> None:
        """Raise ValueError if an option is not positive."""
        for name in ("hidden", "epochs", "batch_size"):
            if not is_whole(getattr(self, name), 1):
                value = quoted(getattr(self, name))
                raise ValueError(
                    f"{name.replace('_', '-')} must be positive, a whole number, got {value}."
                )
        rates = numbers("learning-rate", self.learning_rate)
        if not rates or min(rates) <= 0:
            raise ValueError(f"learning-rate must be positive, got {quoted(self.learning_rate)}.")
        if len(set(rates)) < len(rates):
            raise ValueError("learning-rate holds a rate twice; give each once.")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model under its name, with what a table and a figure say of it.

    Attributes:
        name: as the command line knows it.
        label: as a figure names it.
        penalty: "L1", "L2", "elastic net" or "decay".
        lambdas: default grid.
        others: the values of its other hyperparameters: one, or learning rates to sweep.
        model: the description to compile.
    """

    name: str
    label: str
    penalty: str
    lambdas: tuple[float, ...]
    others: tuple[tuple[str, tuple[float, ...]], ...]
    model: LinearModel | MLPModel

    @property
    def is_linear(self) -> bool:
        return isinstance(self.model, LinearModel)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, if it sweeps several."""
        rates = dict(self.others).get("learning_rate", ())
        return rates if len(rates) > 1 else ()


_LINEAR = {
    "ridge": ("ridge", "L2", (0.0, *log_range(1e-4, 10, 25))),
    "lasso": ("lasso", "L1", (0.0, *log_range(1e-4, 1, 25))),
    "elastic_net": ("elastic net", "elastic net", (0.0, *log_range(1e-4, 1, 25))),
}
_MLP: dict[str, tuple[Regularizer, str, str, tuple[float, ...]]] = {
    "mlp_l1": ("l1", "MLP, L1 (proximal Adam)", "L1", (0.0, *log_range(1e-6, 1e-2, 9))),
    "mlp_l2": ("l2", "MLP, L2 (in the gradient)", "L2", (0.0, *log_range(1e-5, 1e-1, 9))),
    "mlp_decay": ("decay", "MLP, decay (AdamW)", "decay", (0.0, *log_range(1e-4, 1e-1, 10))),
}

MODELS = (*_LINEAR, *_MLP)
"""Names of all models."""

_GROUPS = {"linear": tuple(_LINEAR), "mlp": tuple(_MLP), "all": MODELS}


def model_names(names: Sequence[str]) -> list[str]:
    """Return the names with `linear`, `mlp` and `all` written out, each once.

    Raises:
        ValueError: for an unknown name, or none.

    Example:
        >>> model_names(["linear", "ridge"])
        ['ridge', 'lasso', 'elastic_net']
    """
    texts = [name if isinstance(name, str) else quoted(name) for name in names]
    written = [model for name in texts for model in _GROUPS.get(name, (name,))]
    unknown = [name for name in written if name not in MODELS]
    if unknown or not written:
        name = unknown[0] if unknown else ""
        raise ValueError(
            f"There is no model {quoted(name) if unknown else f'in {names}'}; models are "
            f"{', '.join(MODELS)}, or the groups {', '.join(_GROUPS)}."
            f"{suggestion(name, [*MODELS, *_GROUPS])}"
        )
    return list(dict.fromkeys(written))


def make_entry(name: str, table: Table, l1_ratio: float, options: MLPOptions) -> Entry:
    """Return the model `name` for the features and the response of `table`."""
    task: Task = table.encoding.task
    n_outputs = len(table.encoding.classes) or 1
    if name in _LINEAR:
        label, penalty, lambdas = _LINEAR[name]
        ratio = {"ridge": 0.0, "lasso": 1.0, "elastic_net": l1_ratio}[name]
        return Entry(
            name, label, penalty, lambdas, (("l1_ratio", (ratio,)),), linear_model(task, n_outputs)
        )
    regularizer, label, penalty, lambdas = _MLP[name]
    model = MLPModel(
        task,
        table.X.shape[1],
        n_outputs,
        regularizer,
        options.hidden,
        options.epochs,
        options.batch_size,
    )
    return Entry(name, label, penalty, lambdas, (("learning_rate", options.rates()),), model)
