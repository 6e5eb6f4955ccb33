"""What a sweep trains: one pure function, or one step of it at a time.

A pure function takes `(hyperparameters, key, *shared)` and returns metrics, or a `Fit` of
parameters and metrics. `Training` says the same in steps, so that the engine can stop between
them: to write checkpoints and curves, to leave lanes early, to compact those that are left.

In both, `hyperparameters` is a dictionary of scalars that the engine maps over lanes; the key is
that of the lane's seed and, like the shared arrays and the index of a step, is not mapped: what
depends on these alone is computed once for all lanes of a seed and copied to none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from regjax._arrays import Tree
from regjax._messages import quoted
from regjax.sweeps.checks import function, is_whole, plain_fields, whole

# Steps are counted in 32 bits.
_MOST_STEPS = 2**31 - 1


class Fit(NamedTuple):
    """Parameters of a fit, and what was measured on the way: scalars, or curves, by name."""

    params: Tree
    metrics: dict[str, Any]


TrainingFunction = Callable[..., Tree]
"""`(hyperparameters, key, *shared, **choices) -> metrics`, or a `Fit`."""


@dataclasses.dataclass(frozen=True)
class Training:
    """A training in steps. All functions are pure; choices of the grid arrive by keyword.

    Attributes:
        init: `(hyperparameters, key, *shared) -> state`.
        step: `(hyperparameters, state, index, key, *shared) -> state`; the index counts from 0.
        evaluate: `(hyperparameters, state, key, *shared) -> metrics`, scalars by name.
        n_steps: how many steps.
        evaluate_every: steps between two points of the curves; by default the end alone.
        checkpoint_every: steps between two checkpoints, a multiple of `evaluate_every`; by
            default whenever half a minute has passed at a point of the curves.
        prepare: `(key, *shared) -> shared`: what init, step and evaluate get as shared arrays
            instead, computed once for all lanes of a seed: its split, its order of rows.
        params: `state -> params`, what is kept of a lane; by default its whole state.

    Example:
        >>> import jax.numpy as jnp
        >>> from regjax.sweeps import Grid, run_sweep
        >>> training = Training(
        ...     init=lambda hp, key, X, y: jnp.zeros(X.shape[1]),
        ...     step=lambda hp, w, i, key, X, y: (
        ...         w - 0.1 * (X.T @ (X @ w - y) / len(y) + hp["lambda_"] * w)
        ...     ),
        ...     evaluate=lambda hp, w, key, X, y: {"loss": jnp.mean((X @ w - y) ** 2)},
        ...     n_steps=200,
        ... )
        >>> X, y = jnp.eye(3), jnp.array([3.0, 2.0, 1.0])
        >>> run = run_sweep(training, Grid.product(lambda_=[0.0, 1.0]), X, y, metric="loss")
        >>> run.best().lambda_
        0.0
    """

    init: Callable[..., Tree]
    step: Callable[..., Tree]
    evaluate: Callable[..., dict[str, Any]]
    n_steps: int
    evaluate_every: int | None = None
    checkpoint_every: int | None = None
    prepare: Callable[..., tuple] | None = None
    params: Callable[[Tree], Tree] | None = None

    def __post_init__(self) -> None:
        plain_fields(self)

    def check(self) -> None:
        """Raise ValueError for what is no function, and for numbers of steps that do not fit."""
        for name in ("init", "step", "evaluate"):
            function(name, getattr(self, name))
        for name in ("prepare", "params"):
            if getattr(self, name) is not None:
                function(name, getattr(self, name))
        every, between = self.evaluate_every, self.checkpoint_every
        whole("n_steps", self.n_steps, 1, _MOST_STEPS)
        if every is not None:
            whole("evaluate_every", every, 1)
        between_evaluations = every or self.n_steps
        if between is not None and not (
            is_whole(between, 1) and between % between_evaluations == 0
        ):
            raise ValueError(
                f"checkpoint_every must be a multiple of evaluate_every, {between_evaluations}, "
                f"got {quoted(between)}."
            )

    def as_function(self) -> TrainingFunction:
        """Return the same training in one go, as a pure function that returns a `Fit`."""

        def train(hyperparameters: Any, key: jax.Array, *shared: Any, **choices: Any) -> Fit:
            given = shared if self.prepare is None else self.prepare(key, *shared, **choices)
            state = self.init(hyperparameters, key, *given, **choices)

            def one(index: jax.Array, state: Tree) -> Tree:
                return self.step(hyperparameters, state, index, key, *given, **choices)

            state = jax.lax.fori_loop(0, self.n_steps, one, state)
            metrics = self.evaluate(hyperparameters, state, key, *given, **choices)
            return Fit(state if self.params is None else self.params(state), metrics)

        return train

    def stops(self, first: int = 0, rungs: tuple[int, ...] = ()) -> Iterator[int]:
        """Return the steps after `first` at which the lanes are evaluated, in order."""
        every = self.evaluate_every or self.n_steps
        step = first
        while step < self.n_steps:
            due = step - step % every + every
            step = min(due, self.n_steps, *(rung for rung in rungs if rung > step))
            yield step

    def saves(self, stop: int) -> bool:
        """Return whether a checkpoint is due after this step."""
        between = self.checkpoint_every
        return between is not None and stop % between == 0 and stop < self.n_steps
