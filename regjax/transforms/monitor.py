"""A monitor that wraps any optimizer: what regularization does to every leaf, as it trains."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from regjax._arrays import Tree, float_array, widen
from regjax.transforms._step import Parts, require_params


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


class MonitorState(NamedTuple):
    """Steps taken so far, the metrics last measured, and the state of the wrapped optimizer."""

    step: jax.Array
    metrics: Metrics
    optimizer: Any


_UNSEEN = (
    "The monitored optimizer takes its step inside a conditional or a loop, where it cannot be "
    "watched. Put the monitor inside: optax.MultiSteps(monitor(...), k)."
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
        nothing = jax.tree.map(lambda p: jnp.zeros((), _norm(p).dtype), params)
        weight_norm, zeros = jax.tree.map(_norm, params), jax.tree.map(_zeros, params)
        count = jnp.zeros([], jnp.int32)
        metrics = Metrics(count, weight_norm, zeros, nothing, nothing, nothing)
        inner = optimizer.init(params)
        # It drops extra arguments, and with them the watch, without a word.
        if _nodes(inner, optax.MultiStepsState):
            raise ValueError(_UNSEEN)
        return MonitorState(count, metrics, inner)

    def update(
        updates: Tree, state: MonitorState, params: Tree | None = None, **extra_args: Any
    ) -> tuple[Tree, MonitorState]:
        params = require_params(params)
        gradients = updates

        def step(gradients: Tree, **watch: Any) -> tuple[Tree, Any]:
            return optimizer.update(gradients, state.optimizer, params, **extra_args, **watch)

        def measured() -> tuple[Metrics, tuple[Tree, Any]]:
            watched: list[Parts] = []
            updates, inner = step(gradients, watch=watched.append)
            after = optax.apply_updates(params, updates)
            weight_norm = jax.tree.map(_norm, after)
            ratios = [jax.tree.map(_ratio, *reversed(parts())) for parts in watched]
            nothing = jax.tree.map(jnp.zeros_like, weight_norm)
            metrics = Metrics(
                step=optax.safe_increment(state.step),
                weight_norm=weight_norm,
                zeros=jax.tree.map(_zeros, after),
                gradient_norm=jax.tree.map(_norm, gradients),
                effective_learning_rate=jax.tree.map(_ratio, updates, params),
                decay_to_gradient=jax.tree.map(lambda *r: sum(r), nothing, *ratios),
            )
            metrics = jax.tree.map(lambda x, old: x.astype(old.dtype), metrics, state.metrics)
            return metrics, (updates, inner)

        try:
            if every == 1:
                metrics, (updates, inner) = measured()
            else:
                # Whatever a conditional reads is written out at every step, so it reads inputs
                # of the step alone and takes a measured step twice.
                metrics = jax.lax.cond(
                    state.step % every == 0, lambda: measured()[0], lambda: state.metrics
                )
                updates, inner = step(_after(metrics, gradients))
        except jax.errors.UnexpectedTracerError as error:
            raise ValueError(_UNSEEN) from error
        return updates, MonitorState(optax.safe_increment(state.step), metrics, inner)

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


def _after(metrics: Metrics, gradients: Tree) -> Tree:
    """Return `gradients`, in a form that the compiler cannot compute before the metrics.

    Parameters and state in donated buffers may then be overwritten after the measurement; as it
    is, the compiler would copy them at every step.
    """

    def follow(leaf: Any) -> Any:
        number = jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
        return jnp.where(metrics.step < 0, 0, leaf) if number else leaf

    return jax.tree.map(follow, gradients)


def _norm(leaf: Any) -> jax.Array:
    # Plain squares: a monitor need not survive numbers beyond the square root of the largest.
    return jnp.sqrt(jnp.sum(jnp.square(widen(float_array(leaf)))))


def _zeros(leaf: Any) -> jax.Array:
    return jnp.sum(jnp.asarray(leaf) == 0, dtype=jnp.int32)


def _ratio(part: Any, whole: Any) -> jax.Array:
    numerator, denominator = _norm(part), _norm(whole)
    return jnp.where(numerator == 0, 0, numerator / denominator)
