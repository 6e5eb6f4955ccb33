"""The direction of Muon on matrices and of Adam on all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from optax.contrib import MuonDimensionNumbers

from regjax._arrays import Numeric, Tree
from regjax._names import Leaf, is_weight, tree_leaves
from regjax._sharding import with_automatic_axes
from regjax.transforms._step import is_placeholder, require_params

_OUTPUTS_FIRST = {"Linear", "GRUCell", "LSTMCell"}

DimensionNumbers = Tree | Callable[[Tree], Tree]


def muon_direction(
    beta: Numeric = 0.95,
    *,
    nesterov: bool = True,
    ns_steps: int = 5,
    eps: Numeric = 1e-8,
    consistent_rms: Numeric | None = None,
    weight_dimension_numbers: DimensionNumbers | None = None,
    adam_b1: Numeric = 0.9,
    adam_b2: Numeric = 0.999,
    adam_scale: Numeric = 1.0,
    **kwargs: Any,
) -> optax.GradientTransformation:
    """Return the direction of `optax.contrib.muon`: Muon on matrices, Adam on the rest.

    Momentum is replaced by the nearest orthogonal matrix, up to the error of the
    Newton-Schulz iteration (singular values between about 0.7 and 1.2), times
    `sqrt(max(1, outputs / inputs))`. As a direction it holds no learning rate. Reference:
    Jordan (2024), "Muon: an optimizer for hidden layers in neural networks".

    Args:
        beta: decay of the momentum.
        nesterov: whether the momentum looks ahead.
        ns_steps: Newton-Schulz iterations.
        eps: what Muon and Adam add to their denominators.
        consistent_rms: scales by `consistent_rms sqrt(max(inputs, outputs))` instead; 0.2 gives
            steps of Adam's size (Liu and others 2025, "Muon is scalable for LLM training").
        weight_dimension_numbers: which leaves are matrices and how, as in `optax.contrib.muon`:
            a tree prefix of `optax.contrib.MuonDimensionNumbers`, None for Adam's leaves, or a
            function of the parameters that returns one. Unless given, all leaves of two
            dimensions that `masks.weights` selects, (inputs, outputs) or, in the layers of
            Equinox, (outputs, inputs); embeddings and heads are better left to Adam.
        adam_b1, adam_b2: decays of Adam's moments.
        adam_scale: Adam's learning rate relative to Muon's.
        **kwargs: further arguments of `optax.contrib.muon`, such as `ns_coeffs`.

    Example:
        >>> import jax.numpy as jnp
        >>> direction = muon_direction(ns_steps=20, ns_coeffs=(1.5, -0.5, 0.0))
        >>> w = jnp.zeros((2, 2))
        >>> g = jnp.array([[0.0, 3.0], [4.0, 0.0]])
        >>> d, _ = direction.update(g, direction.init(w), w)
        >>> print(abs(d.round(2)))
        [[0. 1.]
         [1. 0.]]
    """

    numbers = {
        "beta": beta,
        "eps": eps,
        "consistent_rms": consistent_rms,
        "adam_b1": adam_b1,
        "adam_b2": adam_b2,
        "adam_learning_rate": adam_scale,
    }

    def with_numbers(params: Tree, numbers: dict[str, Any]) -> optax.GradientTransformation:
        minus_steps = optax.contrib.muon(
            1.0,
            nesterov=nesterov,
            ns_steps=ns_steps,
            muon_weight_dimension_numbers=[_numbers(weight_dimension_numbers, params)],
            **numbers,
            **kwargs,
        )
        return optax.chain(minus_steps, optax.scale(-1.0))

    # In a list, because a tree may be callable, as an Equinox module is, and optax would then
    # call it.
    def init(params: Tree) -> Any:
        return with_numbers(params, numbers).init([params])

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Tree, Any]:
        params = require_params(params)

        def step(numbers: dict[str, Any], updates: Tree, state: Any, leaves: Tree) -> Any:
            return with_numbers(params, numbers).update(updates, state, leaves)

        # A matrix times its transpose has no layout of its own under explicit sharding.
        given = ([updates], state)
        (steps,), state = with_automatic_axes(step, given, numbers, *given, [params])
        return steps, state

    return optax.GradientTransformation(init, update)


def _numbers(given: DimensionNumbers | None, params: Tree) -> Tree:
    """Return the dimension numbers of every leaf, a tree like `params`, None for Adam's."""
    structure: Any = jax.tree.structure(params)
    if given is None or is_placeholder(params):
        return jax.tree.unflatten(structure, [_by_name(leaf) for leaf in tree_leaves(params)])

    def ends(node: Any) -> bool:
        return node is None or isinstance(node, MuonDimensionNumbers)

    # A tree may be callable too, as an Equinox module is.
    is_function = callable(given) and jax.tree_util.all_leaves([given])
    tree = given(params) if is_function else given
    full = jax.tree.broadcast(tree, params, is_leaf=ends)
    # A None among the parameters, as Equinox's filters leave it, is no leaf.
    return jax.tree.unflatten(structure, structure.flatten_up_to(full))


def _by_name(leaf: Leaf) -> MuonDimensionNumbers | None:
    # The iteration of optax transposes without conjugating.
    is_real = leaf.trainable and not jnp.iscomplexobj(leaf.value)
    if not is_real or np.ndim(leaf.value) != 2 or not is_weight(leaf):
        return None
    # Equinox writes (outputs, inputs), Flax, Haiku and plain matrices (inputs, outputs).
    holder = leaf.classes[-1] if leaf.classes else ""
    outputs_first = holder in _OUTPUTS_FIRST and leaf.names[-1].startswith("weight")
    return MuonDimensionNumbers(1, 0) if outputs_first else MuonDimensionNumbers()
