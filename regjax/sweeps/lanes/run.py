"""`run_sweep`: from a training function and a grid to a table, on any device, resumable."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import jax

from regjax._arrays import Tree
from regjax._folders import check_folder
from regjax._messages import quoted
from regjax.sweeps.checks import arrays, function, is_whole, one_of, text
from regjax.sweeps.lanes.chunks import make_chunks
from regjax.sweeps.lanes.compiled import Shape
from regjax.sweeps.lanes.conductor import Conductor
from regjax.sweeps.lanes.grid import Grid, Static, Value
from regjax.sweeps.lanes.legs import Executor, GroupJob, Programs, Threads
from regjax.sweeps.lanes.locks import StoreError
from regjax.sweeps.lanes.options import Engine, Options, options_of
from regjax.sweeps.lanes.outcome import SweepRun, read_outcome, write_outcome
from regjax.sweeps.lanes.places import open_store, record, remove_if_empty, unfinished, write_run
from regjax.sweeps.lanes.plan import (
    Resources,
    Shard,
    check_same,
    choose_shapes,
    chunks_of,
    environment,
    fingerprint,
    grid_changes,
    grid_digest,
)
from regjax.sweeps.lanes.ray_engine import Ray, RayEngine
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.stopping import EarlyStopping, Mode, Stopping, SuccessiveHalving
from regjax.sweeps.lanes.store import Store
from regjax.sweeps.lanes.training import Training, TrainingFunction
from regjax.sweeps.lanes.width import default_memory, default_workers


def run_sweep(
    train: TrainingFunction | Training,
    grid: Grid | Mapping[str, Iterable[Value] | Static],
    *shared: Tree,
    seeds: int | Sequence[int] | None = None,
    metric: str | None = None,
    mode: Mode = "min",
    stopping: Stopping | None = None,
    keep: int | Literal["all"] = 1,
    dtype: str = "float32",
    **options: Any,
) -> SweepRun:
    """Train every lane of the grid, and return what came of it.

    Lanes that differ in numbers alone are mapped over in one compiled program, a chunk of them at a
    time; chunks run on all cores, or are shared by all devices. With `out`, whatever is finished is
    on disk at once, and a sweep that was killed goes on with `resume=True`: on the CPU of the same
    machine and versions its table equals that of an undisturbed run bit for bit. On a GPU XLA
    chooses algorithms by timing them, and two processes may differ in the last digits, unless they
    share a compilation cache (`JAX_COMPILATION_CACHE_DIR`) or `XLA_FLAGS` holds
    `--xla_gpu_deterministic_ops=true`; with either, resumed sweeps were equal on an H200.

    A group of lanes whose training function raises, or returns other metrics than the groups
    before, fails alone, and the table says so. A lane whose state turns NaN is "diverged", with
    the step; arrays of the state that hold a NaN from the start on are not watched. So is a lane
    whose ranking metric is not finite at its end or, if none is named, one with a metric that is
    NaN. Other metrics may be infinite or NaN.

    Args:
        train: a pure function `(hyperparameters, key, *shared, **choices) -> metrics` or a `Fit`,
            or a `Training` in steps.
        grid: the lanes, or a dictionary of lists by name, of which all combinations are run; its
            column `seed` makes the keys, its choices arrive by keyword.
        shared: trees of arrays that all lanes share, never copied per lane.
        seeds: how many seeds, or which, for a grid without a column `seed`; by default one, 0.
        metric: the metric that ranks settings, and that must be finite in a lane.
        mode: "min" if it is to be small, "max" if large.
        stopping: `EarlyStopping` or `SuccessiveHalving`; both need a `Training` and a metric.
        keep: how many of the best settings, by the mean over seeds as in `best`, keep the
            parameters of all their lanes, or "all". Until the last seed of a setting is finished
            its parameters are held too.
        dtype: of the hyperparameters; "float64" computes in 64-bit mode.
        width: lanes at a time on a device; by default chosen by memory and, where the sweep is
            long, by measured speed. Recorded before the first lane.
        workers: programs at work at a time; by default one per core on a CPU, else one.
        memory: bytes that programs may take on a device; by default half of what is free.
        devices: that share every chunk; by default all of this process.
        out: folder of the results: `results.csv`, `results.parquet`, `curves.parquet`,
            `times.csv`, `params/`, `manifest.json`, and the store `sweep.sqlite`. While the sweep
            is at work, the store is in the folder of that name with `.unfinished`.
        resume: go on with the sweep that `out` has begun; begin it if there is none.
        overwrite: replace the run that `out` holds, and forget an unfinished one.
        force: resume although code, data or arguments have changed.
        shard: (i, n) runs the i-th of n equal parts; `merge_shards` joins them.
        engine: "threads" of this process, or "ray" for the machines of a Ray cluster; a `Ray` says
            which cluster, and what a leg takes of it.
        progress: called with a `Progress` after every leg, and closed at the end if it has a
            `close`; True stands for `show_progress()`.

    Raises:
        ValueError: for arguments that cannot be used, before any training; `StoreError` for a
            store that cannot be.
        SweepInterrupted: after Ctrl-C; with `out`, the sweep can be resumed.

    Example:
        >>> import jax
        >>> from regjax.sweeps import Grid, run_sweep
        >>> def train(hyperparameters, key):
        ...     noise = jax.random.normal(key)
        ...     return {"loss": (hyperparameters["lambda_"] - 0.3) ** 2 + 1e-3 * noise}
        >>> grid = Grid.product(lambda_=[0.1, 0.3, 1.0], seed=range(4))
        >>> run = run_sweep(train, grid, metric="loss")
        >>> run.table.shape, run.best().lambda_
        ((12, 6), 0.3)
    """
    how = options_of("run_sweep", options)
    if not isinstance(train, Training):
        function("train", train)
    one_of("dtype", dtype, ("float32", "float64"))
    for i, tree in enumerate(shared):
        arrays(f"shared[{i}]", tree)
    grid = Grid.of(grid, seeds)
    jobs = [
        GroupJob(train, group.choices, tuple(grid.arrays(group.lanes)), shared, dtype)
        for group in grid.groups()
    ]
    # As a plain number it can be stored.
    kept = keep if isinstance(keep, str) or not is_whole(keep) else int(keep)
    return run_jobs(jobs, grid, Rules(metric, mode, stopping, kept), how)


def run_jobs(
    jobs: Sequence[GroupJob],
    grid: Grid,
    rules: Rules,
    options: Options,
    *,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    write: Callable[[SweepRun, pathlib.Path], dict[str, Any]] = write_outcome,
) -> SweepRun:
    """Run a sweep whose groups may differ in training function, data and precision.

    Args:
        jobs: of the groups of the grid, in their order.
        grid: the lanes.
        rules: what is kept and who leaves early.
        options: how it is run.
        arguments: more that shapes results, by name: what a resumed sweep must have too.
        write: writes the files of the finished sweep into the folder it is given, and returns what
            the manifest is to say.
    """
    _check(jobs, rules, options)
    out = None if options.out is None else pathlib.Path(options.out)
    if out is not None:
        out = check_folder(out, overwrite=options.overwrite, resume=options.resume)
    how = {name: getattr(options, name) for name in ("shard", "resume", "overwrite")}
    with open_store(out, **how) as store:
        _run(store, jobs, grid, rules, options, arguments)
        outcome = read_outcome(store, grid, rules)
        if out is not None and options.shard is None:
            replace = {"overwrite": options.overwrite, "resume": options.resume}
            write_run(store, outcome, out, write, **replace)
            # Under its lock, so that nobody begins to work on what is removed.
            store.remove()
            remove_if_empty(unfinished(out))
    return outcome


def _run(
    store: Store,
    jobs: Sequence[GroupJob],
    grid: Grid,
    rules: Rules,
    options: Options,
    arguments: Mapping[str, Any],
) -> None:
    devices = tuple(options.devices or jax.local_devices())
    workers = options.workers or default_workers(devices)
    memory = options.memory or default_memory(devices)
    measure = options.shard is None and options.engine == "threads"
    resources = Resources(devices, workers, memory, options.width, measure)
    freezes = isinstance(rules.stopping, EarlyStopping)
    programs = Programs(jobs, devices, freezes=freezes, at_work=workers + 1)
    with contextlib.ExitStack() as at_end:
        at_end.callback(getattr(options.progress, "close", lambda: None))
        # Before the plan is written: a cluster may not answer.
        executor = _executor(programs, workers, options.engine)
        at_end.callback(executor.close, wait=False)
        started = time.perf_counter()
        if store.fact("plan") is None:
            _begin(store, grid, programs, rules, resources, options.shard, arguments)
        else:
            _take_up(store, grid, programs, rules, resources, options, arguments)
        store.time("plan and compile", time.perf_counter() - started)
        Conductor(store, grid, programs, executor, rules, options.progress).run()


def _executor(programs: Programs, workers: int, engine: Engine) -> Executor:
    if engine == "threads":
        return Threads(programs, workers)
    return RayEngine(programs, _ray(engine), workers)


def _ray(engine: Engine) -> Ray:
    return engine if isinstance(engine, Ray) else Ray()


def _begin(
    store: Store,
    grid: Grid,
    programs: Programs,
    rules: Rules,
    resources: Resources,
    shard: Shard | None,
    arguments: Mapping[str, Any],
) -> None:
    """Plan a new sweep, and write the plan down."""
    groups = grid.groups()
    shapes, failures, measured = choose_shapes(grid, groups, programs, resources, rules.metric)
    if not shapes:
        # Nothing is left to run: the error itself says most.
        raise next(iter(failures.values()))
    plan = {
        "shapes": {str(number): list(shape) for number, shape in shapes.items()},
        "workers": resources.workers,
        "measured": measured,
        "environment": environment(resources.devices),
        "shard": shard,
    }
    facts = {
        "grid": {"columns": grid.columns, "static": sorted(grid.static)},
        "fingerprint": fingerprint(grid, programs, shapes, rules, arguments),
        "plan": plan,
        "rules": record(rules),
    }
    store.begin(facts, chunks_of(grid, groups, shapes, shard), _reasons(failures))


def _take_up(
    store: Store,
    grid: Grid,
    programs: Programs,
    rules: Rules,
    resources: Resources,
    options: Options,
    arguments: Mapping[str, Any],
) -> None:
    """Hold a stored sweep against this one, and put what failed in line again."""
    plan, kept = store.fact("plan"), store.fact("fingerprint")
    if tuple(plan["shard"] or ()) != tuple(options.shard or ()):
        raise StoreError(f"The stored sweep is the shard {plan['shard']}, not {options.shard}.")
    here, before = environment(resources.devices), plan["environment"]
    if len(here["devices"]) != len(before["devices"]) and not options.force:
        # Their number shapes the programs.
        raise StoreError(
            f"The stored sweep shares its chunks among {len(before['devices'])} devices, and here "
            f"are {len(here['devices'])}: name as many with devices, or force it."
        )
    shapes = {int(number): Shape(*shape) for number, shape in plan["shapes"].items()}
    if kept["grid"] != grid_digest(grid):
        changes = grid_changes((store.fact("grid") or {}).get("columns", {}), grid)
        raise StoreError(
            f"The stored sweep has another grid ({changes}): begin anew in another folder."
        )
    found = fingerprint(grid, programs, shapes, rules, arguments)
    if not options.force:
        check_same(kept, found)
    changed = [name for name, value in before.items() if here[name] != value]
    told = f"; {', '.join(changed)} changed, so last digits may" if changed else ""
    event = f"resumed{' by force' if options.force else ''}{told}"
    groups, failed = grid.groups(), store.failures()
    # Those that failed before their first lane have no shape yet, and may fail in the same way.
    planless = [number for number in failed if number not in shapes]
    new, failures, _ = choose_shapes(
        grid, groups, programs, resources, rules.metric, known=shapes, numbers=planless
    )
    done = {result.lane for result in store.results()}
    again = []
    for chosen in (shapes, new):
        of_group: dict[int, list[int]] = {}
        for chunk in chunks_of(grid, groups, chosen, options.shard):
            of_group.setdefault(chunk.group, []).extend(lane for lane, _ in chunk.places())
        for number in failed:
            lanes = [lane for lane in of_group.get(number, []) if lane not in done]
            again += make_chunks(number, sorted(lanes), grid.seeds, chosen[number]) if lanes else []
    store.begin_again({"fingerprint": found}, again, _reasons(failures), event=event)


def _reasons(failures: Mapping[int, Exception]) -> dict[int, str]:
    return {number: f"{type(error).__name__}: {error}" for number, error in failures.items()}


def _check(jobs: Sequence[GroupJob], rules: Rules, options: Options) -> None:
    """Raise ValueError for arguments that cannot be, or do not go together."""
    trainings = [job.train for job in jobs if isinstance(job.train, Training)]
    for training in trainings:
        training.check()
    text("metric", rules.metric)
    one_of("mode", rules.mode, ("min", "max"))
    if not (rules.keep == "all" if isinstance(rules.keep, str) else is_whole(rules.keep, 0)):
        raise ValueError(
            f"keep must be a number of settings from 0, or 'all', got {quoted(rules.keep)}."
        )
    if rules.stopping is not None:
        if not isinstance(rules.stopping, EarlyStopping | SuccessiveHalving):
            raise ValueError(
                "stopping must be an EarlyStopping or a SuccessiveHalving, got "
                f"{quoted(rules.stopping)}."
            )
        rules.stopping.check()
        if rules.metric is None or len(trainings) < len(jobs):
            raise ValueError(f"{type(rules.stopping).__name__} needs a metric and a Training.")
    if options.shard is not None and isinstance(rules.stopping, SuccessiveHalving):
        raise ValueError("SuccessiveHalving compares all lanes: run it without shards.")
