"""What the names in a parameter tree mean: weight, bias, norm, token, embedding, output head."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from regjax._arrays import Tree

Parts = tuple[str, ...]
"""The names on the way to a leaf, with keys such as `attn.q.weight` taken apart."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A leaf as a mask sees it: its path, the classes it lies in, its value, its neighbors."""

    names: tuple[str, ...]
    classes: tuple[str, ...]
    value: Any
    shapes: Mapping[Parts, tuple[int, ...]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )
    """The shape of every leaf of the same tree."""

    @property
    def path(self) -> str:
        return "/".join(self.names)

    @property
    def parts(self) -> Parts:
        return _parts(self.names)

    @property
    def trainable(self) -> bool:
        """Whether the leaf is a floating-point array, real or complex."""
        # A Python float inside a model is a setting, such as a dropout rate.
        dtype = getattr(self.value, "dtype", None)
        return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)

    def sibling(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of the leaf `name` of the same layer, or None if there is none."""
        return self.shapes.get((*self.parts[:-1], name))


def tree_leaves(params: Tree) -> list[Leaf]:
    """Return every leaf of `params` with its path and the classes that contain it."""
    found: list[tuple[tuple[str, ...], tuple[str, ...], Any]] = []

    def walk(node: Any, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
        if len(children) == 1 and children[0][0] == ():
            found.append((names, classes, node))
            return
        inside = (*classes, type(node).__name__)
        # NNX variables and Linen's partitioned boxes keep their array in the attribute `value`,
        # which names nothing.
        bases = {base.__name__ for base in type(node).__mro__}
        is_variable = bool(bases & {"Variable", "AxisMetadata"})
        for keys, child in children:
            walk(child, names if is_variable else (*names, _name(keys)), inside)

    walk(params, (), ())
    shapes = {_parts(names): np.shape(value) for names, _, value in found}
    return [Leaf(*leaf, shapes) for leaf in found]


def is_part_of_a_tree(params: Tree) -> bool:
    """Return whether leaves of `params` are hidden, as inside `optax.masked` and `partition`.

    A tree without leaves counts too: `optax.tree.map_params` initializes with one.
    """

    def hidden(node: Any) -> bool:
        return type(node).__name__ == "MaskedNode"

    leaves = jax.tree.leaves(params, is_leaf=hidden)
    return not leaves or any(map(hidden, leaves))


def _name(keys: tuple[Any, ...]) -> str:
    # The keys of flax.traverse_util.flatten_dict are tuples of names.
    if len(keys) == 1 and isinstance(key := getattr(keys[0], "key", None), tuple):
        return "/".join(map(str, key))
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _parts(names: tuple[str, ...]) -> Parts:
    return tuple(part for name in names for part in re.split(r"[./]", name) if part)


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
_NORM_PARAMETERS = {"scale", "gamma", "offset", "shift"}
_REPARAMETRIZATIONS = {"weight", "spectral"}
_BIAS_WORDS = {"bias", "biases", "intercept", "intercepts"}
# Logarithms of what is used, whose decay pulls that to 1; eigenvalues; running statistics.
_NOT_DECAYED_WORDS = {"log", "logs", "lambda", "running", "moving"}
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
_COEFFICIENT_WORDS = {"coef", "coefs", "coefficient", "coefficients"}
_GREEK_COEFFICIENTS = {"alpha", "beta", "theta"}
_ACTIVATION_WORDS = {"act", "activation", "activations"}
_POSITION_WORDS = {"pos", "position", "positions", "positional"}
_ENCODING_WORDS = {"enc", "encoding", "encodings", "rel", "relative"}
_TOKEN_WORDS = {
    "cls",
    "class",
    "mask",
    "dist",
    "distillation",
    "reg",
    "register",
    "registers",
    "storage",
}
_STATE_COLLECTIONS = {"batch_stats", "cache", "intermediates", "perturbations"}
_STATE_VARIABLES = {"BatchStat", "Cache", "Intermediate", "Perturbation"}
_EMBEDDING_WORDS = {"embedding", "embeddings", "emb", "embed", "embedder", "wte", "wpe"}
_HEAD_WORDS = {"head", "heads", "lmhead", "logits", "classifier", "readout", "unembed"}


def _cased_words(name: str) -> list[str]:
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return [word for word in re.split(r"[^A-Za-z]+", name) if word]


def _words(name: str) -> list[str]:
    """Split `LayerNorm_0`, `attn_ln2`, `inputLayernorm` into lower-case words."""
    return [word.lower() for word in _cased_words(name)]


def _named(leaf: Leaf) -> list[str]:
    """Return the parts of a path without the positions in lists."""
    return [part for part in leaf.parts if not part.isdigit()]


def _is_norm_layer(name: str) -> bool:
    words = _words(name)
    return any(
        (word in _NORM_WORDS or word.endswith("norm"))
        and not (i > 0 and words[i - 1] in _REPARAMETRIZATIONS)
        and not word.startswith(tuple(_REPARAMETRIZATIONS))
        for i, word in enumerate(words)
    )


def is_weight(leaf: Leaf) -> bool:
    """Return whether the leaf is a weight, by its name, its layer and its neighbors.

    Left out are biases, parameters of normalization layers and activations, class tokens,
    position parameters, parameters on a logarithmic scale and running statistics. The number of
    dimensions decides only for names that say nothing. A bare array is a weight.
    """
    if not leaf.parts:
        return True
    if leaf.parts[0] in _STATE_COLLECTIONS or _STATE_VARIABLES & set(leaf.classes):
        return False
    ndim = np.ndim(leaf.value)
    named = _named(leaf)
    # The layer is what directly holds the leaf, list positions aside: a container further up
    # may be named after its norms and hold weights all the same.
    layer = (*named[-2:], *leaf.classes[-1:])
    if any(map(_is_norm_layer, layer)) or _is_activation(layer, ndim):
        return False
    name = named[-1] if named else ""
    words = set(_words(name))
    if words & (_BIAS_WORDS | _NORM_PARAMETERS | _NOT_DECAYED_WORDS):
        return False
    if is_class_token(leaf) or _is_position(name) or _is_elementwise(leaf, name):
        return False
    if words & _WEIGHT_WORDS:
        return True
    if any(_is_bias_letter(leaf, name, word) for word in _cased_words(name)):
        return False
    if words & _COEFFICIENT_WORDS:
        return ndim >= 1
    if words and words <= _GREEK_COEFFICIENTS:
        return math.prod(np.shape(leaf.value)) > 1
    return ndim >= 2


def _is_activation(layer: tuple[str, ...], ndim: int) -> bool:
    for name in layer:
        words = _words(name)
        if "prelu" in "".join(words) or "snake" in words:
            return True
        if ndim < 2 and _ACTIVATION_WORDS & set(words):
            return True
    return False


def _is_elementwise(leaf: Leaf, name: str) -> bool:
    """Return whether the leaf multiplies elementwise, as its neighbors show."""
    # A normalization in a numbered sequence of PyTorch: no matrix has the shape of its bias.
    if name == "weight" and leaf.sibling("bias") == np.shape(leaf.value) != ():
        return True
    if "beta" in _words(name):
        return any(
            leaf.sibling(name.replace("beta", scale)) is not None for scale in ("gamma", "scale")
        )
    # The skip connection of a selective state-space layer.
    return name in ("D", "Ds") and any(
        leaf.sibling(other) is not None for other in ("A_log", "A_logs")
    )


def _is_bias_letter(leaf: Leaf, name: str, word: str) -> bool:
    """Return whether `word` is the letter of a bias: b of Haiku, bq and bi of attention, cells."""
    if re.fullmatch("b[a-z]?", word):
        return True
    # State-space models have a matrix B, and no W beside it.
    return re.fullmatch("B[a-z]?", word) is not None and any(
        leaf.sibling(name.replace("B", letter, 1)) is not None for letter in "Ww"
    )


def is_class_token(leaf: Leaf) -> bool:
    """Return whether the leaf is a class, mask, distillation or register token, by name."""
    name = (_named(leaf) or [""])[-1]
    words = set(_words(name))
    if not words & _TOKEN_WORDS:
        return False
    # An embedding of several rows is a table of classes, and no token.
    vector = math.prod(np.shape(leaf.value)[:-1]) == 1
    is_token = bool(words & {"token", "tokens"})
    return is_token or name == "cls" or (vector and bool(words & _EMBEDDING_WORDS))


def is_position_embedding(leaf: Leaf) -> bool:
    """Return whether the leaf is a position parameter, or lies in a table of them, by name."""
    return any(_is_position(name) or "wpe" in _words(name) for name in _named(leaf)[-2:])


def _is_position(name: str) -> bool:
    words = set(_words(name))
    return bool(words & {"posemb", "posembed"}) or bool(
        words & _POSITION_WORDS and words & (_ENCODING_WORDS | _EMBEDDING_WORDS)
    )


def is_embedding(leaf: Leaf) -> bool:
    """Return whether the leaf is an embedding table, by the name or class that holds it."""
    words = [set(_words(name)) for name in (*_named(leaf)[-2:], *leaf.classes[-1:])]
    # What embeds patches is a convolution.
    return any(w & _EMBEDDING_WORDS and not w & {"patch", "patches"} for w in words)


def is_output_head(leaf: Leaf) -> bool:
    """Return whether the leaf lies in an output head, by name or class."""
    for name in (*leaf.parts, *leaf.classes):
        words = _words(name)
        for i, word in enumerate(words):
            # The heads of multi-head attention are no output heads.
            if word in _HEAD_WORDS and not (i > 0 and words[i - 1] == "multi"):
                return True
    return False
