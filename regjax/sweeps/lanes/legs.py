"""One leg of a chunk, and who runs it: threads of this process, or an engine of machines."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from regjax.sweeps.lanes.compiled import Setting, Shape, key_kind
from regjax.sweeps.lanes.grid import Value
from regjax.sweeps.lanes.programs import (
    Arrays,
    Block,
    HostProgram,
    Program,
    PureProgram,
    SteppedProgram,
)
from regjax.sweeps.lanes.training import Fit, Training, TrainingFunction

# Where a leg goes on over several looks: long beside the writing and handing over, short to wait.
_LEG_SECONDS = 0.25


class EngineError(RuntimeError):
    """What runs the legs is at fault, not the training: the sweep ends, and can be resumed."""


class HostTraining(NamedTuple):
    """A function that is not traced: `(hyperparameters, seed, *shared) -> Fit` of all its lanes.

    `text` says which computation it is, for the fingerprint.
    """

    fit: Callable[..., Fit]
    text: str


class GroupJob(NamedTuple):
    """What the lanes of a group run: enough to make their program anywhere.

    Attributes:
        train: what they run.
        choices: of the group, passed by keyword.
        names: of the traced hyperparameters.
        shared: arrays.
        dtype: of the hyperparameters.
    """

    train: Training | TrainingFunction | HostTraining
    choices: Mapping[str, Value]
    names: tuple[str, ...]
    shared: Sequence[Any]
    dtype: str

    @property
    def n_steps(self) -> int:
        return self.train.n_steps if isinstance(self.train, Training) else 1

    def program(
        self, shape: Shape, devices: Sequence[Any], *, freezes: bool, at_work: int, prng: str
    ) -> Program:
        """Return the program at this shape of block, for keys of this kind."""
        if isinstance(self.train, HostTraining):
            return HostProgram(self.train.fit, self.train.text, shape, self.shared)
        setting = Setting(shape, self.dtype, tuple(devices), prng)
        given = (self.choices, setting, self.names, self.shared)
        if isinstance(self.train, Training):
            return SteppedProgram(self.train, *given, freezes=freezes, at_work=at_work)
        return PureProgram(self.train, *given)


class Leg(NamedTuple):
    """A leg of a chunk, from step `first`, where `carry` stands (None: nowhere).

    Attributes:
        group: of the lanes.
        shape: of the block.
        block: the lanes.
        carry: what they take further.
        active: which of them make steps.
        first: where they stand.
        stops: the steps at which they are looked at; it may end at any of them.
        n_steps: of the training.
    """

    group: int
    shape: Shape
    block: Block
    carry: Any
    active: np.ndarray
    first: int
    stops: tuple[int, ...]
    n_steps: int


class LegDone(NamedTuple):
    """What a leg leads to.

    Attributes:
        carry: what the lanes take further.
        step: where they stand.
        looks: steps, and the metrics after them.
        fit: at the end of the training.
        diverged: at the end of the training.
        seconds: that it took.
    """

    carry: Any
    step: int
    looks: list[tuple[int, Arrays]]
    fit: Fit | None
    diverged: np.ndarray | None
    seconds: float


def run_leg(program: Program, leg: Leg) -> LegDone:
    """Run one leg: as many of its stops as it takes to be worth what comes between two legs."""
    started = time.perf_counter()
    carry = program.begin(leg.block) if leg.carry is None else leg.carry
    step, looks = leg.first, []
    for stop in leg.stops:
        carry, metrics = program.leg(carry, leg.block, leg.active, step, stop)
        step = stop
        if metrics:
            looks.append((step, metrics))
        if time.perf_counter() - started > _LEG_SECONDS:
            break
    ends = step == leg.n_steps
    fit, diverged = program.end(carry) if ends else (None, None)
    carry = None if ends else jax.block_until_ready(carry)
    return LegDone(carry, step, looks, fit, diverged, time.perf_counter() - started)


class Programs:
    """The programs of all groups, each made when it is first asked for.

    Args:
        jobs: of the groups.
        devices: that share every block.
        freezes: whether lanes that are not active stay as they are.
        at_work: chunks that take turns.
    """

    def __init__(
        self,
        jobs: Sequence[GroupJob],
        devices: Sequence[Any],
        *,
        freezes: bool,
        at_work: int = 1,
    ) -> None:
        self.jobs, self.devices, self.freezes = jobs, tuple(devices), freezes
        self._at_work = at_work
        # Programs are made by threads, which do not see the caller's kind of keys.
        self._prng = key_kind()
        self._made: dict[tuple[int, Shape], Program] = {}
        self._lock = threading.Lock()
        self._locks: dict[tuple[int, Shape], threading.Lock] = {}

    def get(self, group: int, shape: Shape) -> Program:
        """Return the program of a group at this shape."""
        with self._lock:
            lock = self._locks.setdefault((group, shape), threading.Lock())
        with lock:
            if (group, shape) not in self._made:
                job = self.jobs[group]
                self._made[group, shape] = job.program(
                    shape,
                    self.devices,
                    freezes=self.freezes,
                    at_work=self._at_work,
                    prng=self._prng,
                )
            return self._made[group, shape]


class Executor(Protocol):
    """Who runs legs.

    The carry that a leg leads to may be kept elsewhere: it is good for the next leg, and for
    `fetch`. A leg that could not be run, by no fault of the training, raises `EngineError`.
    """

    @property
    def slots(self) -> int:
        """How many legs it takes at a time, now."""

    def submit(self, leg: Leg) -> concurrent.futures.Future[LegDone]:
        """Start a leg."""

    def stop(self) -> None:
        """Begin none of the legs that wait for a worker of ours: they raise CancelledError.

        It is called by the handler of a signal, so it takes no lock.
        """

    def fetch(self, carry: Any) -> Any:
        """Return a carry as arrays."""

    def close(self, *, wait: bool) -> None:
        """Let go of all that it holds."""


class Threads:
    """Legs on threads of this process: compiled programs release the interpreter.

    One leg more than there are threads stands at the door, so that none idles while what its leg
    led to is written down.
    """

    def __init__(self, programs: Programs, workers: int) -> None:
        self._programs, self._workers, self._stopped = programs, workers, False
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)

    @property
    def slots(self) -> int:
        return self._workers + 1

    def submit(self, leg: Leg) -> concurrent.futures.Future[LegDone]:
        return self._pool.submit(self._run, leg)

    def stop(self) -> None:
        self._stopped = True

    def fetch(self, carry: Any) -> Any:
        return carry

    def close(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _run(self, leg: Leg) -> LegDone:
        if self._stopped:
            raise concurrent.futures.CancelledError
        return run_leg(self._programs.get(leg.group, leg.shape), leg)
