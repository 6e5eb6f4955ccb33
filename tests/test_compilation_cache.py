"""The tests' compilation cache: JAX writes its programs through `put_whole`, and reads them."""

import inspect
import os

import jax
import jax.numpy as jnp
import pytest
from conftest import put_whole
from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface
from jax._src.lru_cache import LRUCache


def test_jax_writes_through_the_atomic_put():
    jax.jit(lambda x: x + 1)(jnp.zeros(3)).block_until_ready()
    cache = compilation_cache._get_cache(jax.devices()[0].client)
    assert type(cache) is LRUCache
    assert type(cache).put is put_whole
    assert list(inspect.signature(CacheInterface.put).parameters) == ["self", "key", "value"]


def test_an_entry_is_found_under_its_key_or_absent(tmp_path, monkeypatch):
    cache = LRUCache(str(tmp_path), max_size=-1)
    assert cache.get("key") is None
    cache.put("key", b"program")
    assert cache.get("key") == b"program"
    assert len(list(tmp_path.iterdir())) == 1

    def killed(part, entry):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        cache.put("other", b"program")
    assert cache.get("other") is None
