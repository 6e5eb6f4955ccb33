"""Takes the chunks of a sweep through their legs, and writes down what comes of them.

Executors compute; this alone writes the store. Whatever a chunk needs to go on is in the store or
follows from it, so a sweep that is taken up again continues as if nothing had been.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from regjax.sweeps.lanes.arrays import arrays_from, restored, to_bytes
from regjax.sweeps.lanes.chunks import Chunk, block_shape, halved, make_chunks, padding
from regjax.sweeps.lanes.grid import Grid
from regjax.sweeps.lanes.legs import EngineError, Executor, Leg, LegDone, Programs
from regjax.sweeps.lanes.locks import StoreError
from regjax.sweeps.lanes.positions import (
    Position,
    by_lane,
    carry_from,
    looks_from,
    pack,
    repacked,
)
from regjax.sweeps.lanes.programs import Arrays
from regjax.sweeps.lanes.ranking import Keeper
from regjax.sweeps.lanes.results import Rules, results_of
from regjax.sweeps.lanes.stopping import EarlyStopping, SuccessiveHalving, costs
from regjax.sweeps.lanes.store import Result, Saved, Store
from regjax.sweeps.lanes.training import Fit

# What a chunk may lose when the process is killed; when a checkpoint is made changes no result.
_CHECKPOINT_SECONDS = 30.0
# How soon slots that are new are filled.
_LOOK_SECONDS = 5.0


class Progress(NamedTuple):
    """How far a sweep is.

    Attributes:
        done: lanes that are finished; those that stopped, diverged or failed are among them.
        lanes: all lanes, without groups that failed before the first one began.
        steps: steps of lanes made in this process; a lane that has stopped makes none.
        seconds: since it began.
        best: the best metric so far, or None.
    """

    done: int
    lanes: int
    steps: int
    seconds: float
    best: float | None


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C: the legs at work were finished and written down; the sweep can be resumed."""


class Conductor:
    """Runs what the store has left to do.

    Args:
        store: with the chunks.
        grid: of the lanes.
        programs: of the groups.
        executor: who runs legs.
        rules: who leaves early and what is kept.
        listen: called after every leg.
    """

    def __init__(
        self,
        store: Store,
        grid: Grid,
        programs: Programs,
        executor: Executor,
        rules: Rules,
        listen: Callable[[Progress], object] | None = None,
    ) -> None:
        self._store, self._grid, self._programs = store, grid, programs
        self._executor, self._rules, self._listen = executor, rules, listen
        self._waiting: collections.deque[Position] = collections.deque()
        self._running: dict[concurrent.futures.Future[LegDone], tuple[Position, Leg]] = {}
        self._on_rung: list[Position] = []
        self._failed = set(store.failures())
        finished = store.results()
        self._best = min(map(rules.cost, finished), default=np.inf)
        self._keeper = Keeper(rules.keep, grid.settings)
        self._keeper.add({r.lane: rules.cost(r) for r in finished if r.status != "dropped"})
        self._done, self._steps = len(finished), 0
        self._total = len(finished)
        self._stopping = False

    def run(self) -> None:
        """Go on until nothing is left.

        Raises:
            SweepInterrupted: after Ctrl-C, when the legs at work are written down.
            StoreError: if the store cannot be written.
        """
        started = time.perf_counter()
        self._queue(self._store.unfinished())
        self._total += sum(len(p.chunk.places()) for p in (*self._waiting, *self._on_rung))
        try:
            with self._stops_between_legs():
                while self._running or (not self._stopping and (self._waiting or self._on_rung)):
                    try:
                        self._turn(started)
                    except KeyboardInterrupt:
                        if self._stopping:
                            raise
                        self._stop()
                # Nothing waits here but after Ctrl-C.
                for position in self._waiting:
                    if position.unsaved:
                        self._save(position)
        except BaseException:
            self._executor.close(wait=False)
            raise
        self._executor.close(wait=True)
        if self._stopping:
            raise SweepInterrupted(
                "Interrupted: all that was finished is kept, and the sweep can be resumed."
            )

    @contextlib.contextmanager
    def _stops_between_legs(self) -> Iterator[None]:
        """Have Ctrl-C end the sweep when the legs at work are written; once more, at once.

        An exception could come between a leg and its writing.
        """

        def press(*_: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stop()

        ours = threading.current_thread() is threading.main_thread()
        if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _stop(self) -> None:
        """Begin no more legs. A signal may come while any lock is held: this takes none."""
        self._stopping = True
        self._executor.stop()

    def _turn(self, started: float) -> None:
        """Fill the slots, wait for a leg, take what it leads to."""
        if not self._stopping:
            if not self._waiting and not self._running:
                self._promote()
            self._submit()
        if self._running:
            ended, _ = concurrent.futures.wait(
                self._running, _LOOK_SECONDS, concurrent.futures.FIRST_COMPLETED
            )
            for future in ended:
                position, leg = self._running.pop(future)
                self._take(position, leg, future)
                if self._listen is not None:
                    best = self._best if self._rules.mode == "min" else -self._best
                    seconds = time.perf_counter() - started
                    ranked = self._rules.metric is not None and np.isfinite(best)
                    shown = best if ranked else None
                    self._listen(Progress(self._done, self._total, self._steps, seconds, shown))

    def _submit(self) -> None:
        while not self._stopping and self._waiting and len(self._running) < self._executor.slots:
            position = self._waiting.popleft()
            try:
                leg = self._next_leg(position)
            except Exception as error:
                # Blocks of another shape than the first are traced only now.
                self._fail(position, error)
                continue
            # The leg owns what it goes on from.
            position.carry = None
            self._running[self._executor.submit(leg)] = (position, leg)

    def _next_leg(self, position: Position) -> Leg:
        chunk, job = position.chunk, self._programs.jobs[position.chunk.group]
        return Leg(
            chunk.group,
            chunk.shape,
            chunk.block(self._grid, job.dtype),
            position.carry,
            padding(chunk) & (self._stopped(position) == 0),
            position.step,
            self._stops(position),
            job.n_steps,
        )

    def _stops(self, position: Position) -> tuple[int, ...]:
        """Return the looks up to the first after which there may be something to decide or save."""
        program = self._programs.get(position.chunk.group, position.chunk.shape)
        rungs = self._rungs(position.chunk)
        decides = isinstance(self._rules.stopping, EarlyStopping)
        stops = []
        for stop in program.stops(position.step, rungs):
            stops.append(stop)
            if decides or stop in rungs or program.saves(stop):
                break
        return tuple(stops)

    def _take(
        self,
        position: Position,
        leg: Leg,
        future: concurrent.futures.Future[LegDone],
    ) -> None:
        chunk = position.chunk
        if chunk.group in self._failed:
            return
        try:
            done = future.result()
        except concurrent.futures.CancelledError:
            # It had not begun.
            position.carry = leg.carry
            self._waiting.appendleft(position)
            return
        except (KeyboardInterrupt, SystemExit, EngineError):
            raise
        except Exception as error:
            if not (_out_of_memory(error) and self._halve(position, leg)):
                self._fail(position, error)
            return
        position.seconds += done.seconds
        position.step, position.carry, position.unsaved = done.step, done.carry, True
        self._evaluated(position, done.looks)
        self._steps += (done.step - leg.first) * int(leg.active.sum())
        if done.fit is not None and done.diverged is not None:
            self._finish(position, done.fit, done.diverged)
            return
        if not (padding(chunk) & (self._stopped(position) == 0)).any():
            # Every lane has stopped: what is frozen needs no more steps.
            fit, diverged = self._programs.get(chunk.group, chunk.shape).end(
                self._executor.fetch(done.carry)
            )
            self._finish(position, fit, diverged)
            return
        program = self._programs.get(chunk.group, chunk.shape)
        rung = self._is_on_rung(position)
        late = time.perf_counter() - position.saved_at > _CHECKPOINT_SECONDS
        if rung or late or program.saves(done.step):
            self._save(position)
        if rung:
            self._rest(position)
        else:
            self._waiting.appendleft(position)

    def _save(self, position: Position) -> None:
        self._store.checkpoint(position.number, position.step, self._packed(position))
        position.saved_at, position.unsaved = time.perf_counter(), False

    def _rest(self, position: Position) -> None:
        """Leave a chunk on its rung until all others are there."""
        position.diverged = np.asarray(self._executor.fetch(position.carry).diverged)
        position.carry = None
        self._on_rung.append(position)

    def _finish(self, position: Position, fit: Fit, diverged: np.ndarray) -> None:
        results = self._results(position, fit.metrics, diverged)
        places = dict(position.chunk.places())
        new = {result.lane: self._rules.cost(result) for result in results}
        wanted, dropped = self._keeper.add(new)
        params = {}
        if jax.tree.leaves(fit.params):
            for lane in sorted(wanted):
                params[lane] = to_bytes(_at(fit.params, places[lane]))
        self._store.finish(position.number, results, params, sorted(dropped), position.seconds)
        self._best = min(self._best, *new.values())
        self._done += len(results)

    def _results(self, position: Position, measured: Arrays, diverged: np.ndarray) -> list[Result]:
        looks = self._stopped(position)
        return results_of(position, measured, diverged, looks, self._grid, self._rules.metric)

    def _evaluated(self, position: Position, looks: Iterable[tuple[int, Arrays]]) -> None:
        """Add evaluations to those of a chunk, and to what early stopping knows."""
        rule, metric = self._rules.stopping, self._rules.metric
        for step, values in looks:
            position.looks.append((step, values))
            if isinstance(rule, EarlyStopping) and metric is not None:
                watch = position.watch or rule.begin(position.chunk.shape)
                position.watch = rule.update(watch, costs(values[metric], self._rules.mode))

    def _stopped(self, position: Position) -> np.ndarray:
        """Return the number of evaluations after which each lane stopped, 0 if it has not."""
        watch = position.watch
        return np.zeros(position.chunk.shape, int) if watch is None else watch.stopped

    def _rungs(self, chunk: Chunk) -> tuple[int, ...]:
        rule = self._rules.stopping
        if not isinstance(rule, SuccessiveHalving):
            return ()
        return rule.rungs(self._programs.jobs[chunk.group].n_steps)

    def _promote(self) -> None:
        """Leave all but the best settings of a rung, and pack their lanes into chunks."""
        rule, metric = self._rules.stopping, self._rules.metric
        assert isinstance(rule, SuccessiveHalving)
        assert metric is not None
        # Groups may differ in their number of steps: the lowest rung goes first.
        lowest = min(position.step for position in self._on_rung)
        here = [position for position in self._on_rung if position.step == lowest]
        self._on_rung = [position for position in self._on_rung if position.step > lowest]
        entered = []
        for position in here:
            assert position.diverged is not None
            entered += self._results(position, {}, position.diverged)
        entered.sort(key=lambda result: result.lane)
        places = rule.survivors(
            [self._rules.cost(result) for result in entered],
            [self._grid.settings[result.lane] for result in entered],
        )
        survivors = {entered[i].lane for i in places}
        results = [
            result._replace(status="dropped" if result.status == "done" else result.status)
            for result in entered
            if result.lane not in survivors
        ]
        chunks = []
        for group in sorted({position.chunk.group for position in here}):
            chunks += self._compacted([p for p in here if p.chunk.group == group], survivors)
        event = f"rung at step {lowest}: {len(survivors)} of {len(entered)} lanes go on"
        saved = self._store.replace([p.number for p in here], chunks, results, event=event)
        self._best = min([self._best, *(self._rules.cost(result) for result in results)])
        self._done += len(results)
        self._queue(saved)

    def _compacted(self, here: Sequence[Position], survivors: set[int]) -> list[Saved]:
        """Return the survivors of a group as chunks of the least shape, with their state."""
        of_lane: dict[int, Arrays] = {}
        for position in here:
            stored = arrays_from(self._store.state(position.number))
            found = by_lane(position.chunk, stored)
            of_lane |= {lane: arrays for lane, arrays in found.items() if lane in survivors}
        if not of_lane:
            return []
        n_devices = len(self._programs.devices)
        seeds = [self._grid.seeds[lane] for lane in of_lane]
        shape = block_shape(seeds, here[0].chunk.shape.size // n_devices, n_devices)
        return repacked(here[0], of_lane, self._grid, shape, here[0].stage + 1)

    def _halve(self, position: Position, leg: Leg) -> bool:
        """Split the chunks of a group that do not fit the memory; False if they are the least."""
        chunk = position.chunk
        shape = halved(chunk.shape, len(self._programs.devices))
        if shape is None:
            return False
        again = [position]
        if leg.carry is None:
            again += [
                p
                for p in self._waiting
                if (p.chunk.group, p.chunk.shape, p.step) == (chunk.group, chunk.shape, 0)
            ]
            lanes = sorted(lane for p in again for lane, _ in p.chunk.places())
            chunks = make_chunks(chunk.group, lanes, self._grid.seeds, shape)
            new = [Saved(0, part, 0, 0, None) for part in chunks]
        else:
            # The steps made before the leg are kept, and so are the rungs passed.
            position.carry = leg.carry
            stored = arrays_from(self._packed(position))
            new = repacked(position, by_lane(chunk, stored), self._grid, shape, position.stage)
        self._waiting = collections.deque(p for p in self._waiting if p not in again)
        event = (
            f"out of memory: from {chunk.shape.seeds} x {chunk.shape.lanes} seeds and lanes at a "
            f"time to {shape.seeds} x {shape.lanes}"
        )
        self._queue(self._store.replace([p.number for p in again], new, event=event))
        return True

    def _fail(self, position: Position, error: Exception) -> None:
        group = position.chunk.group
        running = [other for other, _ in self._running.values()]
        lost = [
            other
            for other in (position, *running, *self._waiting, *self._on_rung)
            if other.chunk.group == group
        ]
        self._store.fail(group, f"{type(error).__name__}: {error}")
        self._failed.add(group)
        self._done += sum(len(other.chunk.places()) for other in lost)
        self._on_rung = [other for other in self._on_rung if other.chunk.group != group]
        self._waiting = collections.deque(p for p in self._waiting if p.chunk.group != group)

    def _queue(self, saved: Iterable[Saved]) -> None:
        """Add chunks to those that wait, groups in turn so that their programs are made early."""
        turns: dict[int, list[Position]] = {}
        for entry in saved:
            position = self._position(entry)
            if self._is_on_rung(position):
                self._rest(position)
            else:
                turns.setdefault(entry.chunk.group, []).append(position)
        for turn in itertools.zip_longest(*turns.values()):
            self._waiting.extend(position for position in turn if position is not None)

    def _position(self, saved: Saved) -> Position:
        chunk = saved.chunk
        position = Position(saved.number, chunk, saved.step, saved.stage, None, [])
        if saved.state is not None:
            stored = arrays_from(saved.state)
            program = self._programs.get(chunk.group, chunk.shape)
            like = program.begin(chunk.block(self._grid, self._programs.jobs[chunk.group].dtype))
            try:
                position.carry = restored(carry_from(stored), like)
            except ValueError as error:
                raise StoreError(
                    f"A checkpoint at step {saved.step} is of another training ({error}): give the "
                    "sweep what it began with, or begin anew."
                ) from error
            self._evaluated(position, looks_from(stored))
        return position

    def _packed(self, position: Position) -> bytes:
        return pack(position, self._executor.fetch(position.carry))

    def _is_on_rung(self, position: Position) -> bool:
        """Return whether the chunk has reached a rung that it has not passed."""
        rungs = self._rungs(position.chunk)[position.stage :]
        return position.step > 0 and position.step == next(iter(rungs), None)


def _at(tree: Any, place: tuple[int, int]) -> Any:
    return jax.tree.map(lambda leaf: leaf[place], tree)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
