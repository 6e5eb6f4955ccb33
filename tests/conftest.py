"""Settings shared by all tests: compilation cache, precision, figures without a screen."""

import os
import pathlib
import signal

os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Compiling dominates the suite; programs are kept between runs. Every worker has a folder of its
# own, so that none reads what another is writing.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax" / WORKER))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


# A suite that was started in the background finds SIGINT ignored, and Ctrl-C is among the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Both precisions; JAX runs in 64 bit for the second alone, as a user's program would."""
    with jax.enable_x64(request.param == np.float64):
        yield request.param


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield
