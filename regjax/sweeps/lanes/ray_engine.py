"""Legs as tasks of a Ray cluster: cores of many machines, which may come and go.

This process alone writes the store. A leg depends on nothing but its arguments, so one whose worker
or machine was lost runs again, elsewhere, and gives the same. What a chunk takes from leg to leg
stays where it was computed until this process needs it, for a checkpoint.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import logging
import os
import pickle
import re
import socket
import time
import uuid
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from regjax.sweeps.checks import is_real, shown, text, whole
from regjax.sweeps.lanes.legs import EngineError, Leg, LegDone, Programs, run_leg
from regjax.sweeps.lanes.programs import Program
from regjax.sweeps.lanes.travel import (
    Packed,
    apply_settings,
    offer_code,
    own_code,
    pack,
    settings,
    unpack,
    versions,
)

_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Ray:
    """Runs a sweep on a Ray cluster: `run_sweep(..., engine=Ray())`, or `engine="ray"`.

    With nothing said, the cluster is that of `RAY_ADDRESS`, else the one that runs on this machine,
    else one that is started for the sweep. A program that has called `ray.init` itself stays
    connected as it is.

    Attributes:
        address: of the cluster; "local" starts one in any case.
        num_cpus: of a leg; as many legs run at a time as the machines have room for.
        num_gpus: of a leg; with 0 it runs on the CPU.
        max_retries: how often a leg is run again whose worker or machine was lost. A training
            function that raises is not run again.

    Example:
        >>> Ray(num_cpus=2)
        Ray(address=None, num_cpus=2, num_gpus=0, max_retries=3)
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    max_retries: int = 3

    def check(self) -> None:
        """Raise ValueError for numbers that cannot be, ModuleNotFoundError if Ray is missing."""
        text("address", self.address)
        sizes = is_real(self.num_cpus, 0) and is_real(self.num_gpus, 0)
        if not (sizes and self.num_cpus + self.num_gpus > 0):
            raise ValueError(
                "num_cpus and num_gpus must be numbers from 0, and not both 0, as all work needs a "
                f"CPU or a GPU, or a share of one; got {shown(self)}."
            )
        whole("max_retries", self.max_retries, 0)
        _ray()


class _Shipment(NamedTuple):
    """All that a worker needs to make the programs of a sweep.

    Attributes:
        jobs: of the groups without their arrays, as bytes.
        shared: the arrays of every job, as references.
        code: modules that are installed nowhere.
        settings: of JAX.
        versions: of what must be the same.
        devices: kind of device, and how many share a block.
        freezes: as in `Programs`.
    """

    jobs: bytes
    shared: list[Packed]
    code: dict[str, tuple[str, bool]]
    settings: dict[str, Any]
    versions: dict[str, str]
    devices: tuple[str, int]
    freezes: bool


class _Order(NamedTuple):
    """Which programs a leg runs, and the digest of the one that it needs."""

    sweep: str
    digest: str


class _Failed(NamedTuple):
    """A leg that raised; `by_engine` if that was no fault of the training."""

    error: Exception
    by_engine: bool


class _Done(NamedTuple):
    """A `LegDone` as it travels: without its carry, and its fit apart."""

    bare: LegDone
    fit: Packed | None


class _Kept(NamedTuple):
    """What a chunk takes further, where it was computed."""

    reference: Any


class RayEngine:
    """Legs as tasks of a Ray cluster."""

    def __init__(self, programs: Programs, engine: Ray, workers: int) -> None:
        ray = self._ray = _ray()
        self._programs, self._engine = programs, engine
        self._is_ours = _connect(ray, engine, workers)
        self._looked_at, self._slots = -_LOOK_SECONDS, 0
        self._at_work: set[Any] = set()
        if self._count_slots() < 1:
            self.close(wait=False)
            raise EngineError(
                f"No machine of the Ray cluster has {engine.num_cpus:g} CPUs and "
                f"{engine.num_gpus:g} GPUs for a leg: ask for fewer, or add a machine."
            )
        self._sweep = uuid.uuid4().hex
        self._shipment = ray.put(_ship(ray, programs))
        self._digests: dict[Any, str] = {}
        self._task = ray.remote(_run_task).options(
            num_returns=2,
            num_cpus=engine.num_cpus,
            num_gpus=engine.num_gpus,
            max_retries=engine.max_retries,
        )

    @property
    def slots(self) -> int:
        """How many legs the machines have room for, now."""
        if time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._slots, self._looked_at = self._count_slots(), time.monotonic()
        # With no machine left, a leg waits for one.
        return max(1, self._slots)

    def submit(self, leg: Leg) -> concurrent.futures.Future[LegDone]:
        order = _Order(self._sweep, self._digest(leg))
        carry = leg.carry
        if isinstance(carry, _Kept):
            carry = carry.reference
        elif carry is not None:
            carry = pack(carry)
        # In a list, a reference is not fetched before it is asked for.
        done, kept = self._task.remote(order, [self._shipment], leg._replace(carry=None), carry)
        self._at_work.add(done)
        future: concurrent.futures.Future[LegDone] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def take(found: concurrent.futures.Future[Any]) -> None:
            self._at_work.discard(done)
            try:
                future.set_result(self._received(found, kept))
            except Exception as error:
                future.set_exception(error)

        done.future().add_done_callback(take)
        return future

    def stop(self) -> None:
        """Do nothing: tasks that the cluster has are run."""

    def fetch(self, carry: Any) -> Any:
        """Return what a chunk takes further as arrays, from wherever it is."""
        if not isinstance(carry, _Kept):
            return carry
        try:
            return unpack(self._ray.get(carry.reference))
        except self._ray.exceptions.RayError as error:
            raise _lost(error) from error

    def close(self, *, wait: bool) -> None:
        if self._is_ours:
            self._ray.shutdown()
            return
        for reference in list(self._at_work):
            self._ray.cancel(reference, force=True)

    def _received(self, found: concurrent.futures.Future[Any], kept: Any) -> LegDone:
        exceptions = self._ray.exceptions
        try:
            done: _Done | _Failed = found.result()
        except exceptions.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error
        except exceptions.RayError as error:
            raise _lost(error) from error
        if isinstance(done, _Failed):
            raise EngineError(str(done.error)) if done.by_engine else done.error
        fit = None if done.fit is None else unpack(done.fit)
        return done.bare._replace(carry=_Kept(kept), fit=fit)

    def _digest(self, leg: Leg) -> str:
        key = (leg.group, leg.shape)
        if key not in self._digests:
            self._digests[key] = _digest(self._programs.get(*key))
        return self._digests[key]

    def _count_slots(self) -> int:
        each = {"CPU": self._engine.num_cpus, "GPU": self._engine.num_gpus}
        needs = {name: n for name, n in each.items() if n > 0}
        return sum(
            min(int(node["Resources"].get(name, 0) // n) for name, n in needs.items())
            for node in self._ray.nodes()
            if node["Alive"]
        )


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The engine 'ray' needs ray; install it with: pip install 'regjax[ray]'",
            name=error.name,
        ) from error
    return ray


def _connect(ray: Any, engine: Ray, workers: int) -> bool:
    """Connect to a cluster, or start one; return whether this did."""
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = engine.address or os.environ.get("RAY_ADDRESS")
    _check_answers(address)
    with _forks_allowed():
        if address != "local":
            try:
                ray.init(address=address or "auto", **quiet)
                return True
            except (ConnectionError, ValueError, RuntimeError) as error:
                if address is not None:
                    raise EngineError(f"No Ray cluster answers at {address!r}: {error}") from error
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    return True


def _check_answers(address: str | None) -> None:
    """Raise EngineError if nothing listens there; Ray itself would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/\]]+)\]?:(\d+)", address or "")
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"No Ray cluster answers at {address!r}: {error}.") from error


@contextlib.contextmanager
def _forks_allowed() -> Iterator[None]:
    """Leave out JAX's warning of forks: those of Ray start another program at once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        yield


def _ship(ray: Any, programs: Programs) -> _Shipment:
    references: dict[int, Any] = {}

    def put(array: Any) -> Any:
        # Jobs share arrays, which are sent once.
        if id(array) not in references:
            references[id(array)] = (array, ray.put(array))
        return references[id(array)][1]

    bare = [job._replace(shared=()) for job in programs.jobs]
    plain: dict[int, Any] = {}
    shared = []
    for job in programs.jobs:
        if id(job.shared) not in plain:
            plain[id(job.shared)] = pack(job.shared, put)
        shared.append(plain[id(job.shared)])
    return _Shipment(
        ray.cloudpickle.dumps(bare),
        shared,
        own_code(),
        settings(),
        versions(),
        (programs.devices[0].platform, len(programs.devices)),
        programs.freezes,
    )


def _lost(error: Exception) -> EngineError:
    text = " ".join(str(error).split())
    return EngineError(
        f"Ray gave up on a leg ({type(error).__name__}: {text[:300]}): all that was finished is "
        "kept; go on with resume."
    )


def _digest(program: Program) -> str:
    return hashlib.sha256(program.text.encode()).hexdigest()


# --- what runs in the workers ---

_made: dict[str, tuple[Programs, _Shipment]] = {}


def _run_task(
    order: _Order, shipped: list[Any], leg: Leg, carry: Packed | None
) -> tuple[_Done | _Failed, Packed | None]:
    """Run a leg; return what it led to, and apart from it what the chunk takes further."""
    try:
        program = _program(order, shipped[0], leg)
        done = run_leg(program, leg._replace(carry=None if carry is None else unpack(carry)))
    except EngineError as error:
        return _Failed(error, True), None
    except Exception as error:
        return _Failed(_portable(error), False), None
    fit = None if done.fit is None else pack(done.fit)
    kept = None if done.carry is None else pack(done.carry)
    return _Done(done._replace(carry=None, fit=None), fit), kept


def _program(order: _Order, reference: Any, leg: Leg) -> Program:
    if order.sweep not in _made:
        shipment = _ray().get(reference)
        # A worker serves one sweep after the other.
        _made.clear()
        _made[order.sweep] = _programs_of(shipment), shipment
    programs, shipment = _made[order.sweep]
    program = programs.get(leg.group, leg.shape)
    here = programs.devices[0].platform
    if here == shipment.devices[0] and _digest(program) != order.digest:
        raise EngineError(
            f"On {socket.gethostname()} the training is another program than here: its code "
            "differs, or packages that it uses."
        )
    return program


def _programs_of(shipment: _Shipment) -> Programs:
    host = socket.gethostname()
    if versions() != shipment.versions:
        raise EngineError(
            f"{host} has {versions()}, and the sweep was planned with {shipment.versions}: install "
            "the same versions on all machines."
        )
    offer_code(shipment.code)
    apply_settings(shipment.settings)
    kind, n_devices = shipment.devices
    devices = jax.local_devices()[:n_devices]
    if len(devices) < n_devices:
        raise EngineError(
            f"A worker on {host} sees {len(devices)} devices, and a block is for {n_devices} of "
            f"{kind}: give the sweep as many devices as a leg has."
        )
    bare = pickle.loads(shipment.jobs)
    jobs = [
        job._replace(shared=_fetched(packed))
        for job, packed in zip(bare, shipment.shared, strict=True)
    ]
    return Programs(jobs, devices, freezes=shipment.freezes)


def _fetched(packed: Packed) -> Any:
    ray = _ray()
    leaves = [ray.get(leaf) if isinstance(leaf, ray.ObjectRef) else leaf for leaf in packed.leaves]
    return unpack(packed._replace(leaves=leaves))


def _portable(error: Exception) -> Exception:
    """Return the error, or one that says the same if it cannot travel."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
