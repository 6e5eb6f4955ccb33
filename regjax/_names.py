"""What the names in a parameter tree mean: weight, bias, norm, embedding, output head."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A leaf as a mask sees it: its path, the classes it lies in, its shape and dtype."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    value: Any

    @property
    def path(self) -> str:
        return "/".join(self.names)

    @property
    def trainable(self) -> bool:
        """Whether the leaf is a real floating-point array."""
        # A Python float inside a model is a setting, such as a dropout rate.
        dtype = getattr(self.value, "dtype", None)
        return dtype is not None and jnp.issubdtype(dtype, jnp.floating)


def tree_leaves(params: Tree) -> list[Leaf]:
    """Return every leaf of `params` with its path and the classes that contain it."""
    found: list[Leaf] = []

    def walk(node: Any, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
        if len(children) == 1 and children[0][0] == ():
            found.append(Leaf(names, classes, node))
            return
        inside = (*classes, type(node).__name__)
        # NNX variables and Linen's partitioned boxes keep their array in the attribute `value`,
        # which names nothing.
        bases = {base.__name__ for base in type(node).__mro__}
        is_variable = bool(bases & {"Variable", "AxisMetadata"})
        for keys, child in children:
            name = jax.tree_util.keystr(keys, simple=True, separator="/")
            walk(child, names if is_variable else (*names, name), inside)

    walk(params, (), ())
    return found


_NORM_WORDS = {
    "norm",
    "norms",
    "batchnorm",
    "layernorm",
    "groupnorm",
    "instancenorm",
    "rmsnorm",
    "ln",
    "bn",
    "gn",
}
_NORM_PARAMETERS = {"scale", "gamma", "beta", "offset", "shift"}
_REPARAMETRISATIONS = {"weight", "spectral"}
_BIAS_WORDS = {"bias", "biases"}
_WEIGHT_WORDS = {
    "w",
    "weight",
    "weights",
    "kernel",
    "kernels",
    "embedding",
    "embeddings",
    "embed",
    "lora",
}
_STATE_COLLECTIONS = {"batch_stats", "cache", "intermediates", "perturbations"}
_STATE_VARIABLES = {"BatchStat", "Cache", "Intermediate", "Perturbation"}
_EMBEDDING_WORDS = {"embedding", "embeddings", "emb", "embed", "embedder", "wte", "wpe"}
_HEAD_WORDS = {"head", "heads", "lmhead", "logits", "classifier", "readout", "unembed"}


def _words(name: str) -> list[str]:
    """Split `LayerNorm_0`, `attn_ln2`, `inputLayernorm` into lower-case words."""
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def _is_norm_layer(name: str) -> bool:
    words = _words(name)
    return any(
        (word in _NORM_WORDS or word.endswith("norm"))
        and not (i > 0 and words[i - 1] in _REPARAMETRISATIONS)
        and not word.startswith(tuple(_REPARAMETRISATIONS))
        for i, word in enumerate(words)
    )


def is_weight(leaf: Leaf) -> bool:
    """Return whether the leaf is a weight, and no bias, norm parameter or running statistic.

    Names decide; the number of dimensions does only for names that say nothing. A bare
    array is a weight.
    """
    if not leaf.names:
        return True
    if leaf.names[0] in _STATE_COLLECTIONS or _STATE_VARIABLES & set(leaf.classes):
        return False
    # The layer is what directly holds the leaf, list positions aside: a container further up
    # may be named after its norms and hold weights all the same.
    named = [name for name in leaf.names if not name.isdigit()]
    if any(map(_is_norm_layer, (*named[-2:], *leaf.classes[-1:]))):
        return False
    words = set(_words(named[-1])) if named else set()
    if words & (_BIAS_WORDS | _NORM_PARAMETERS):
        return False
    if words & _WEIGHT_WORDS:
        return True
    # Haiku writes b; attention and recurrent layers write bq, bk, bv, bi, bf, ...
    if any(re.fullmatch("b[a-z]?", word) for word in words):
        return False
    return np.ndim(leaf.value) >= 2


def _lies_in(leaf: Leaf, vocabulary: set[str]) -> bool:
    for name in (*leaf.names, *leaf.classes):
        words = _words(name)
        for i, word in enumerate(words):
            # The heads of multi-head attention are no output heads.
            if word in vocabulary and not (i > 0 and words[i - 1] == "multi"):
                return True
    return False


def is_embedding(leaf: Leaf) -> bool:
    """Return whether the leaf lies in an embedding table, by name or class."""
    return _lies_in(leaf, _EMBEDDING_WORDS)


def is_output_head(leaf: Leaf) -> bool:
    """Return whether the leaf lies in an output head, by name or class."""
    return _lies_in(leaf, _HEAD_WORDS)
