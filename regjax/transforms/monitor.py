"""A monitor that wraps any optimizer: what regularization does to every leaf, as it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import Tree, float_array, norms, scaled_norms
from regjax.transforms._step import Parts, is_placeholder, require_params


class Metrics(NamedTuple):
    """What one step did. Every field but `step` is a tree like the parameters, of scalars.

    Attributes:
        step: the step that was measured, int32; 0 before the first.
        weight_norm: `||w||_2` after the step.
        zeros: entries of `w` that are exactly 0 after the step, int32.
        gradient_norm: `||g||_2` of the gradient that came in.
        effective_learning_rate: `||update|| / ||w||`, the relative size of the step. For a
            leaf followed by a normalisation layer it is the angle, in radians, by which the
            leaf turns (Kosson and others 2024, "Rotational equilibrium").
        decay_to_gradient: what the penalty contributes to the step over what the loss does,
            a ratio of norms: `||decay w|| / ||learning_rate d||` for decoupled decay, the two
            parts of the step for a proximal one, and `||penalty's gradient|| / ||g||` for a
            coupled one. 0 where nothing is penalised; several penalties add up.
    """

    step: jax.Array
    weight_norm: Tree
    zeros: Tree
    gradient_norm: Tree
    effective_learning_rate: Tree
    decay_to_gradient: Tree


class Slot(NamedTuple):
    """The place of a leaf; it holds nothing."""


class MonitorState(NamedTuple):
    """What was measured last, packed, beside the state of the wrapped optimizer.

    Few arrays, because a call of a compiled step pays for each: a scalar per leaf and metric
    costs more than the measurement.

    Attributes:
        step: steps taken so far, int32.
        measured: the step that was measured, int32.
        norms: (4, n_leaves) the metrics of `_NORMS`.
        zeros: (n_leaves,) int32.
        optimizer: the wrapped optimizer's state.
        slots: a tree like the parameters with a `Slot` for every leaf.
    """

    step: jax.Array
    measured: jax.Array
    norms: jax.Array
    zeros: jax.Array
    optimizer: Any
    slots: Tree

    @property
    def metrics(self) -> Metrics:
        """The metrics last measured; leading axes of a `vmap` stay in front."""
        slots, structure = jax.tree.flatten(self.slots, is_leaf=_is_slot)

        def unpack(rows: jax.Array) -> Tree:
            return jax.tree.unflatten(structure, [rows[..., i] for i in range(len(slots))])

        trees = {name: unpack(self.norms[..., i, :]) for i, name in enumerate(_NORMS)}
        return Metrics(step=self.measured, zeros=unpack(self.zeros), **trees)


_NORMS = ("weight_norm", "gradient_norm", "effective_learning_rate", "decay_to_gradient")


_UNSEEN = (
    "The monitored optimizer takes its step inside a conditional or a loop, where it cannot be "
    "watched. Put the monitor inside: optax.MultiSteps(monitor(...), k), and likewise for others."
)


def monitor(
    optimizer: optax.GradientTransformation, every: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Measure what `optimizer` does, at the first of every `every` steps; the steps are the same.

    The metrics are `state.metrics` of the returned transformation, or `read_metrics(state)`
    wherever it stands in a larger one. With `every` above 1 a measured step is computed twice, so
    that the others cost nothing. Under `jax.vmap` with a step count per lane both sides of the
    choice are computed, so that `every` saves nothing there.

    Args:
        optimizer: any optax transformation; the penalties' parts are known of those of
            `regjax.transforms`.
        every: steps between measurements, a positive integer.

    Raises:
        ValueError: if `every` is no positive integer, or if the optimizer takes its step inside a
            conditional: at `init` for `optax.MultiSteps`, at the first update for others (under
            `jax.jit` that is JAX's UnexpectedTracerError). Wrap the monitor in it and not the
            other way round.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax.transforms import sgdw
        >>> tx, w = monitor(sgdw(0.1, 0.5)), {"kernel": jnp.array([[3.0, 4.0]])}
        >>> updates, state = tx.update({"kernel": jnp.array([[0.0, 5.0]])}, tx.init(w), w)
        >>> print(state.metrics.gradient_norm["kernel"], state.metrics.decay_to_gradient["kernel"])
        5.0 0.5
    """
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a positive integer, got {every!r}.")
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: Tree) -> MonitorState:
        inner = optimizer.init(params)
        # It drops extra arguments, and with them the watch, without a word.
        if _nodes(inner, optax.MultiStepsState):
            raise ValueError(_UNSEEN)
        slots = jax.tree.map(lambda _: Slot(), params)
        weight_norm = _each(_norm, slots, params)
        rows = jnp.stack([weight_norm, *3 * [jnp.zeros_like(weight_norm)]])
        # Two arrays and not one twice: a buffer can be donated once.
        step, at = jnp.zeros([], jnp.int32), jnp.zeros([], jnp.int32)
        zeros = _each(_zeros, slots, params)
        # `optax.tree.map_params` takes slots for something else than parameters if they are a leaf.
        return MonitorState(step, at, rows, zeros, inner, 0 if is_placeholder(params) else slots)

    def update(
        updates: Tree, state: MonitorState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, MonitorState]:
        params = require_params(params)
        gradients, slots = updates, state.slots
        following = optax.safe_increment(state.step)

        def step(gradients: Tree, **watch: Any) -> tuple[Tree, Any]:
            return optimizer.update(gradients, state.optimizer, params, **extra_args, **watch)

        def measured() -> tuple[tuple, tuple[Tree, Any]]:
            watched: list[Parts] = []
            updates, inner = step(gradients, watch=watched.append)
            after = optax.apply_updates(params, updates)
            weight_norm = _each(_norm, slots, after)
            ratios = [_each(_ratio, slots, *reversed(parts())) for parts in watched]
            rows = jnp.stack(
                [
                    weight_norm,
                    _each(_norm, slots, gradients),
                    _each(_ratio, slots, updates, params),
                    sum(ratios, start=jnp.zeros_like(weight_norm)),
                ]
            )
            zeros = _each(_zeros, slots, after)
            packed = (following, rows.astype(state.norms.dtype), zeros)
            return packed, (updates, inner)

        try:
            if every == 1:
                packed, (updates, inner) = measured()
            else:
                # Whatever a conditional reads is written out at every step, so it reads inputs
                # of the step alone and takes a measured step twice.
                packed = jax.lax.cond(
                    state.step % every == 0,
                    lambda: measured()[0],
                    lambda: (state.measured, state.norms, state.zeros),
                )
                updates, inner = step(_after(packed[0], gradients))
        except jax.errors.UnexpectedTracerError as error:
            raise ValueError(_UNSEEN) from error
        at, rows, zeros = packed
        return updates, MonitorState(following, at, rows, zeros, inner, slots)

    return optax.GradientTransformationExtraArgs(init, update)


def read_metrics(state: Any) -> Metrics:
    """Return the metrics of the one `monitor` in an optimizer's state.

    Raises:
        ValueError: if there is none, or several.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from regjax.transforms import sgdw
        >>> tx = optax.chain(optax.clip_by_global_norm(1.0), monitor(sgdw(0.1, 0.5)))
        >>> print(read_metrics(tx.init(jnp.array([3.0, 0.0]))).zeros)
        1
    """
    found = _nodes(state, MonitorState)
    if len(found) != 1:
        raise ValueError(f"Expected one monitor in the optimizer's state, found {len(found)}.")
    return found[0].metrics


def _nodes(state: Any, kind: type) -> list[Any]:
    nodes = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, kind))
    return [node for node in nodes if isinstance(node, kind)]


def _after(measured: jax.Array, gradients: Tree) -> Tree:
    """Return `gradients`, in a form that the compiler cannot compute before the measurement.

    Parameters and state in donated buffers may then be overwritten after it; as it is, the
    compiler would copy them at every step.
    """

    def follow(leaf: Any) -> Any:
        number = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
        return jnp.where(measured < 0, 0, leaf) if number else leaf

    return jax.tree.map(follow, gradients)


def _is_slot(node: Any) -> bool:
    return isinstance(node, Slot)


def _is_hidden(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _each(function: Callable[..., jax.Array], slots: Tree, *trees: Tree) -> jax.Array:
    """Return `function` of the leaves of every slot as one vector, 0 where optax hides one."""
    rows = zip(*(_per_slot(tree, slots) for tree in trees), strict=True)
    values = [0.0 if any(map(_is_hidden, row)) else function(*row) for row in rows]
    return jnp.stack(values) if values else jnp.zeros(0)


def _per_slot(tree: Tree, slots: Tree) -> list[Any]:
    """Return what `tree` holds at every slot; optax may hide a whole subtree behind one node."""

    def repeat(leaf: Any, inside: Tree) -> list[Any]:
        return [leaf] * len(jax.tree.leaves(inside, is_leaf=_is_slot))

    repeated = jax.tree.map(repeat, tree, slots, is_leaf=_is_hidden)
    return jax.tree.leaves(repeated, is_leaf=_is_hidden)


def _norm(leaf: Any) -> jax.Array:
    return norms(_magnitudes(leaf), None).reshape(())


def _magnitudes(leaf: Any) -> jax.Array:
    return jnp.abs(leaf) if jnp.iscomplexobj(leaf) else float_array(leaf)


def _zeros(leaf: Any) -> jax.Array:
    return jnp.sum(jnp.asarray(leaf) == 0, dtype=jnp.int32)


def _ratio(part: Any, whole: Any) -> jax.Array:
    """Return the ratio of two norms, either of which may be too large for its dtype."""
    numerator, denominator = (scaled_norms(_magnitudes(leaf), None) for leaf in (part, whole))
    ratio = numerator.scale / denominator.scale * (numerator.relative / denominator.relative)
    return jnp.where(numerator.relative == 0, 0, ratio).reshape(())
