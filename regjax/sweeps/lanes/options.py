"""How a sweep is run, apart from what it computes."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax

from regjax._inputs import local_path
from regjax._messages import quoted
from regjax.sweeps.checks import flag, function, is_whole, items, known, one_of, whole
from regjax.sweeps.lanes.conductor import Progress
from regjax.sweeps.lanes.plan import Shard
from regjax.sweeps.lanes.ray_engine import Ray
from regjax.sweeps.lanes.store_files import MOST_SHARDS
from regjax.sweeps.progress import show_progress

Engine = Literal["threads", "ray"] | Ray


class Options(NamedTuple):
    """How a sweep is run; see `run_sweep`."""

    width: int | None = None
    workers: int | None = None
    memory: int | None = None
    devices: Sequence[Any] | None = None
    out: str | pathlib.Path | None = None
    resume: bool = False
    overwrite: bool = False
    force: bool = False
    shard: Shard | None = None
    engine: Engine = "threads"
    progress: Callable[[Progress], object] | None = None


def options_of(
    name: str, given: Mapping[str, Any], names: Sequence[str] = Options._fields
) -> Options:
    """Return the options that keyword arguments of the function `name` give.

    Raises:
        TypeError: if it has no argument of that name.
        ValueError: for a value that cannot be.
    """
    known(f"{name}()", given, names)
    options = Options(**given)
    engine = options.engine
    if not isinstance(engine, Ray):
        one_of("engine", engine, ("threads", "ray"), " or a Ray")
    if engine != "threads":
        (engine if isinstance(engine, Ray) else Ray()).check()
    return options._replace(
        width=_size("width", options.width),
        workers=_size("workers", options.workers),
        memory=_size("memory", options.memory),
        resume=flag("resume", options.resume),
        overwrite=flag("overwrite", options.overwrite),
        force=flag("force", options.force),
        devices=_devices(options.devices),
        out=None if options.out is None else local_path(options.out, "out"),
        shard=_shard(options.shard, options.out),
        progress=_progress(options.progress),
    )


def _size(name: str, value: int | None) -> int | None:
    return None if value is None else whole(name, value, 1)


def _devices(devices: Any) -> tuple[Any, ...] | None:
    if devices is None:
        return None
    wanted = "a list of JAX devices, as jax.local_devices() returns"
    found = items("devices", devices, wanted)
    if not found or not all(isinstance(device, jax.Device) for device in found):
        raise ValueError(f"devices must be {wanted}, got {quoted(devices)}.")
    return tuple(found)


def _shard(shard: Any, out: object) -> Shard | None:
    if shard is None:
        return None
    pair = tuple(shard) if isinstance(shard, tuple | list) else ()
    if len(pair) != 2 or not is_whole(pair[1], 1, MOST_SHARDS) or not is_whole(pair[0], 1, pair[1]):
        raise ValueError(
            f"shard must be (i, n) with 1 <= i <= n <= {MOST_SHARDS}, got {quoted(shard)}."
        )
    if out is None:
        raise ValueError(f"shard={pair} needs a folder for its file: name it with out.")
    return int(pair[0]), int(pair[1])


def _progress(progress: Any) -> Callable[[Progress], object] | None:
    if progress is None or progress is False:
        return None
    if progress is True:
        return show_progress()
    function("progress", progress)
    listen: Callable[[Progress], object] = progress
    return listen
