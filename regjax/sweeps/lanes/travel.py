"""What it takes to run a training in another process: trees that travel, code, settings of JAX."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import pickle
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from regjax._arrays import Tree

# Of the settings that change what a program computes, those that are no part of it.
_SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_threefry_partitionable",
)


class Keys(NamedTuple):
    """Random keys as their data, with the name of their kind."""

    data: np.ndarray
    kind: str


class Packed(NamedTuple):
    """A tree that travels: its arrays, and what holds them as bytes.

    The types of the tree may be the user's own; they are looked up when it is unpacked, after the
    code they come from has arrived.
    """

    structure: bytes
    leaves: list[Any]


def pack(tree: Tree, put: Callable[[np.ndarray], Any] = lambda array: array) -> Packed:
    """Return the tree with NumPy arrays for JAX arrays; `put` may change arrays for references."""
    from ray import cloudpickle

    leaves, structure = jax.tree.flatten(tree)
    numbered = jax.tree.unflatten(structure, range(len(leaves)))
    return Packed(cloudpickle.dumps(numbered), [_plain(leaf, put) for leaf in leaves])


def unpack(packed: Packed) -> Tree:
    """Return the tree, with NumPy arrays."""
    numbers, structure = jax.tree.flatten(pickle.loads(packed.structure))
    return jax.tree.unflatten(structure, [_restore(packed.leaves[number]) for number in numbers])


def _plain(leaf: Any, put: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return Keys(np.asarray(jax.random.key_data(leaf)), str(jax.random.key_impl(leaf)))
    return put(np.asarray(leaf)) if isinstance(leaf, jax.Array | np.ndarray) else leaf


def _restore(leaf: Any) -> Any:
    if isinstance(leaf, Keys):
        return jax.random.wrap_key_data(jax.numpy.asarray(leaf.data), impl=leaf.kind)
    return leaf


def settings() -> dict[str, Any]:
    """Return the settings of JAX that results depend on."""
    return {name: getattr(jax.config, name) for name in _SETTINGS}


def apply_settings(values: Mapping[str, Any]) -> None:
    """Take over the settings of another process."""
    for name, value in values.items():
        if getattr(jax.config, name) != value:
            jax.config.update(name, value)


def versions() -> dict[str, str]:
    """Return the versions that must be the same everywhere."""
    return {name: metadata.version(name) for name in ("jax", "jaxlib")}


def own_code() -> dict[str, tuple[str, bool]]:
    """Return the modules that no package installed: their source, and whether they hold others."""
    found = {}
    for name, module in list(sys.modules.items()):
        file = _own_file(name, module)
        if file is not None:
            source = importlib.util.decode_source(file.read_bytes())
            found[name] = (source, hasattr(module, "__path__"))
    return found


def offer_code(sources: Mapping[str, tuple[str, bool]]) -> None:
    """Let these modules be imported where there is no file of them."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Sources)]
    sys.meta_path.append(_Sources(sources))


class _Sources(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds modules in a dictionary of sources."""

    def __init__(self, sources: Mapping[str, tuple[str, bool]]) -> None:
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, is_package=self._sources[fullname][1]
        )

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname][0]

    def is_package(self, fullname: str) -> bool:
        return self._sources[fullname][1]


def _own_file(name: str, module: ModuleType) -> pathlib.Path | None:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or name.partition(".")[0] in ("__main__", "regjax"):
        return None
    path = pathlib.Path(file).resolve()
    installed = any(path.is_relative_to(folder) for folder in _INSTALLED)
    return path if path.exists() and not installed else None


_INSTALLED = {
    pathlib.Path(folder).resolve()
    for folder in (
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        site.getusersitepackages(),
        sys.prefix,
        sys.base_prefix,
    )
}
