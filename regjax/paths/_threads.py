"""Lanes on threads: one core each, where libraries of linear algebra can be held to one thread."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

# From so many entries of an array on, threads are worth their start.
MANY_ENTRIES = 2**19

_taken = threading.Lock()


def run_each(work: Callable[[int], T], lanes: Iterable[int], *, worthwhile: bool) -> list[T]:
    """Return what `work` gives for every lane, on as many threads as cores if it is worth it.

    Threads that each call a library which takes all cores wait for each other most of the time, as
    do small products with other programs, so the library is held to one thread; there are threads
    only where `threadpoolctl` is installed for that, and only for one caller at a time: what a
    thread calls in turn runs on that thread.
    """
    lanes = list(lanes)
    controller = _controller() if worthwhile and cores() > 1 else None
    if controller is None or not _taken.acquire(blocking=False):
        return [work(lane) for lane in lanes]
    try:
        with controller.limit(limits=1, user_api="blas"):
            if len(lanes) == 1:
                return [work(lane) for lane in lanes]
            with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
                return list(pool.map(work, lanes))
    finally:
        _taken.release()


def blocks(
    n_lanes: int, m: int, at_once: int, *, together: bool = True
) -> Iterator[tuple[np.ndarray, slice]]:
    """Yield neighboring lanes, and neighboring responses of each: `at_once` pairs or more.

    Args:
        together: whether a block may have several lanes.
    """
    targets = min(m, at_once)
    width = max(1, at_once // targets) if together else 1
    every = np.arange(n_lanes)
    for first in range(0, n_lanes, width):
        for start in range(0, m, targets):
            yield every[first : first + width], slice(start, start + targets)


@functools.cache
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@functools.cache
def cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
