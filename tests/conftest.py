"""Settings shared by all tests: compilation cache, precision, figures without a screen."""

import gc
import os
import pathlib
import signal
import threading

os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import numpy as np
import pytest
from jax._src.lru_cache import LRUCache

ROOT = pathlib.Path(__file__).parents[1]

# Programs, not tests: importing them takes seconds.
collect_ignore = ["goldens", "outside"]

# Compiling dominates the suite. All workers share one folder of programs, which is kept between
# runs; without XLA's own caches a program's key does not depend on where the folder is.
CACHE = {
    "jax_compilation_cache_dir": os.environ.get("REGJAX_TEST_CACHE", str(ROOT / ".cache" / "jax")),
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_persistent_cache_enable_xla_caches": "none",
}
for option, value in CACHE.items():
    jax.config.update(option, value)


def put_whole(self, key, value):
    """Write an entry whole or not at all: a torn one would be a warning in every later run."""
    part = self.path / f"{key}.{os.getpid()}.{threading.get_ident()}"
    part.write_bytes(value)
    os.replace(part, self.path / f"{key}-cache")


LRUCache.put = put_whole

# A suite that was started in the background finds SIGINT ignored, and Ctrl-C is among the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """Let the garbage collector pass over what is loaded: a tenth of the time of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both precisions; JAX runs in 64 bit for the second alone, as a user's program would."""
    with jax.enable_x64(request.param == np.float64):
        yield request.param


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def shared_cache(monkeypatch):
    """Let the processes that a test starts share the programs; none of them may be killed."""
    for option, value in CACHE.items():
        monkeypatch.setenv(option.upper(), str(value))
