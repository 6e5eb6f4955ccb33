"""Lanes on threads: one core each, where libraries of linear algebra can be held to one thread."""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def run_each(work: Callable[[int], T], lanes: Iterable[int], *, worthwhile: bool) -> list[T]:
    """Return what `work` gives for every lane, on as many threads as cores if it is worth it.

    Two libraries at work on all cores at once wait for each other most of the time, so there are
    threads only where `threadpoolctl` is installed to hold them back.
    """
    lanes, cores = list(lanes), _cores()
    controller = _controller() if worthwhile and min(len(lanes), cores) > 1 else None
    if controller is None:
        return [work(lane) for lane in lanes]
    one_thread = controller.limit(limits=1, user_api="blas")
    with one_thread, concurrent.futures.ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, lanes))


@functools.cache
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@functools.cache
def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
