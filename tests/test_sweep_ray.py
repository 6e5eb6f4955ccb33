"""Sweeps on a Ray cluster: the same bits as on threads, whoever dies on the way."""

import importlib.util
import os
import pickle
import signal
import socket
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regjax.sweeps import (
    EarlyStopping,
    Fit,
    Grid,
    Ray,
    Static,
    SuccessiveHalving,
    SweepInterrupted,
    Training,
    log_range,
    run_sweep,
)
from regjax.sweeps.lanes import ray_engine
from regjax.sweeps.lanes.legs import EngineError, GroupJob, HostTraining
from regjax.sweeps.lanes.options import Options
from regjax.sweeps.lanes.results import Rules
from regjax.sweeps.lanes.run import run_jobs
from regjax.sweeps.lanes.travel import pack, unpack

# Ray forks to start its processes, after JAX has started threads.
pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = started(Cluster)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def started(cluster):
    """Return a cluster of one machine; Ray allows it half a minute, too short on a busy one."""
    for _ in range(3):
        try:
            return cluster(True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            late = error
    raise late


def data():
    X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    return X, X @ np.arange(5, dtype=np.float32)


def begin(hp, key, X, y):
    # A random key, a dtype that NumPy has not, and one leaf that is large.
    return {
        "w": jax.random.normal(key, (X.shape[1],)),
        "slow": jnp.zeros(X.shape[1], jnp.bfloat16),
        "key": key,
        "ballast": jnp.zeros(20_000),
    }


def step(hp, state, i, key, X, y):
    rest, mine = jax.random.split(state["key"])
    w = state["w"]
    gradient = X.T @ (X @ w - y) / len(y) + hp["lambda_"] * w
    w = w - hp["learning_rate"] * (gradient + 0.1 * jax.random.normal(mine, w.shape))
    slow = (0.9 * state["slow"] + 0.1 * w).astype(jnp.bfloat16)
    return {"w": w, "slow": slow, "key": rest, "ballast": state["ballast"] + w[0]}


def loss(hp, state, key, X, y):
    return {
        "loss": jnp.mean((X @ state["w"] - y) ** 2),
        "slow": jnp.sum(state["slow"].astype(jnp.float32)),
    }


TRAINING = Training(
    begin,
    step,
    loss,
    n_steps=40,
    evaluate_every=10,
    checkpoint_every=20,
    params=lambda state: {"w": state["w"], "slow": state["slow"]},
)
GRID = Grid.product(lambda_=log_range(1e-4, 1, 6), learning_rate=[0.05, 5.0], seed=range(2))


def choice(hp, key, X, y, width, kind):
    w = jnp.sum(X) * hp["lambda_"] + jax.random.normal(key, (width,))
    value = jnp.mean(w**2) * (1 if kind == "a" else 2)
    return Fit({"w": w}, {"loss": value, "curve": jnp.cumsum(w)[:2]})


CHOICES = Grid.product(lambda_=[0.1, 0.2, 0.3], width=Static([2, 3]), kind=["a", "b"], seed=[0, 7])

CASES = {
    "early stopping": (TRAINING, GRID, {"stopping": EarlyStopping(1, 0.1)}),
    "halving": (TRAINING, GRID, {"stopping": SuccessiveHalving(10, 2)}),
    "pure function, choices, float64": (choice, CHOICES, {"dtype": "float64"}),
}


def assert_same(run, other):
    assert run.table.equals(other.table, null_equal=True)
    assert run.failures == other.failures
    assert run.curves().equals(other.curves(), null_equal=True)
    assert run.kept() == other.kept()
    for lane in run.kept():
        mine, theirs = run.params(lane), other.params(lane)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            assert mine[name].tobytes() == theirs[name].tobytes()


def chunks_timed(run):
    return run.times.filter(run.times["what"] == "run")["lanes"].sum()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_bits_are_those_of_threads(case, cluster):
    train, grid, options = CASES[case]
    options = {"metric": "loss", "keep": 3, "width": 4} | options
    on_threads = run_sweep(train, grid, *data(), **options)
    on_ray = run_sweep(train, grid, *data(), engine="ray", **options)
    assert len(on_threads.table) == len(grid)
    assert on_threads.kept()
    assert_same(on_ray, on_threads)


@pytest.mark.slow
def test_the_callers_kind_of_key_is_that_of_the_workers(cluster):
    def train(hp, key):
        return {"loss": jax.random.normal(key) * hp["x"]}

    grid = Grid.product(x=[1.0, 2.0], seed=[3])
    with jax.default_prng_impl("rbg"):
        run = run_sweep(train, grid, engine="ray", workers=1)
        expected = jax.random.normal(jax.random.key(3)) * np.array([1.0, 2.0])
    np.testing.assert_allclose(run.table["loss"], expected, rtol=1e-6)


def once_per_process(path, what):
    """Return a traced function of a value that does something the first time it runs."""

    def host(value):
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return value
        what()
        return value

    def traced(value):
        shape = jax.ShapeDtypeStruct(value.shape, value.dtype)
        return jax.pure_callback(host, shape, value, vmap_method="expand_dims")

    return traced


@pytest.mark.slow
def test_a_worker_killed_in_mid_leg_changes_nothing(cluster, tmp_path):
    fatal = once_per_process(str(tmp_path / "died"), lambda: os.kill(os.getpid(), signal.SIGKILL))

    def fatal_step(hp, state, i, key, X, y):
        at_25 = jax.lax.cond(i == 25, fatal, lambda value: value, state["w"][0])
        return step(hp, state | {"w": state["w"].at[0].set(at_25)}, i, key, X, y)

    training = Training(begin, fatal_step, loss, n_steps=40, evaluate_every=10)
    told = []
    options = {"metric": "loss", "width": 4}
    disturbed = run_sweep(
        training, GRID, *data(), engine="ray", out=tmp_path / "run", progress=told.append, **options
    )
    assert (tmp_path / "died").exists()
    # Now that the file is there, nothing is killed.
    assert_same(disturbed, run_sweep(training, GRID, *data(), **options))
    assert told[-1].steps == len(GRID) * 40
    assert told[-1].done == chunks_timed(disturbed) == len(GRID)


@pytest.mark.slow
def test_a_machine_lost_in_mid_sweep_changes_nothing(cluster):
    ray = pytest.importorskip("ray")
    node = cluster.add_node(num_cpus=2)
    slots, places = [], set()

    def busy(hp, state, i, key, X, y):
        # Long enough that legs are at work when the machine goes.
        spun = jax.lax.fori_loop(0, 200, lambda _, a: jnp.cos(a), state["ballast"])
        state = step(hp, state, i, key, X, y)
        return state | {"ballast": spun}

    training = Training(begin, busy, loss, n_steps=40, evaluate_every=10, checkpoint_every=20)

    class Watched(ray_engine.RayEngine):
        def submit(self, leg):
            slots.append(self.slots)
            return super().submit(leg)

    def watch(progress):
        alive = [n["NodeID"] for n in ray.nodes() if n["Alive"]]
        places.update(alive)
        if len(watched) == 8:
            cluster.remove_node(node, allow_graceful=False)
            while sum(n["Alive"] for n in ray.nodes()) > 1:
                time.sleep(0.1)
            # Slots are counted anew after a while.
            time.sleep(ray_engine._LOOK_SECONDS + 0.1)
        watched.append(progress)

    watched = []
    options = {"metric": "loss", "width": 3, "keep": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("regjax.sweeps.lanes.run.RayEngine", Watched)
        disturbed = run_sweep(training, GRID, *data(), engine="ray", progress=watch, **options)
    assert len(places) == 2
    assert slots[0] == 4
    assert slots[-1] == 2
    assert_same(disturbed, run_sweep(training, GRID, *data(), **options))
    assert watched[-1].steps == len(GRID) * 40
    assert watched[-1].done == chunks_timed(disturbed) == len(GRID)


@pytest.mark.slow
def test_a_training_that_raises_fails_its_group_and_is_not_tried_again(cluster, tmp_path):
    log = tmp_path / "tries"

    def fit(hyperparameters, seed):
        with log.open("a") as file:
            file.write(f"{hyperparameters['x'][0]}\n")
        if hyperparameters["x"][0] == 2:
            raise ValueError("no such x")
        return Fit((), {"loss": hyperparameters["x"] + seed})

    grid = Grid.product(kind=["a", "b"], x=[1.0], seed=[0, 1]) + Grid.product(
        kind=["c"], x=[2.0], seed=[0]
    )
    jobs = [
        GroupJob(HostTraining(fit, f"job {number}"), group.choices, ("x",), (), "float64")
        for number, group in enumerate(grid.groups())
    ]
    run = run_jobs(jobs, grid, Rules("loss"), Options(engine="ray"))
    assert run.failures == {'{"kind": "c"}': "ValueError: no such x"}
    assert run.table["loss"].to_list() == [1.0, 2.0, 1.0, 2.0, None]
    assert sorted(log.read_text().split()) == ["1.0"] * 4 + ["2.0"]


@pytest.mark.slow
def test_after_ctrl_c_a_sweep_goes_on_where_it_was(cluster, tmp_path):
    def interrupt(progress):
        seen.append(progress)
        if len(seen) == 6:
            raise KeyboardInterrupt

    seen = []

    options = {"metric": "loss", "width": 4}
    with pytest.raises(SweepInterrupted):
        run_sweep(
            TRAINING, GRID, *data(), engine="ray", out=tmp_path / "a", progress=interrupt, **options
        )
    told = []
    resumed = run_sweep(
        TRAINING,
        GRID,
        *data(),
        engine="ray",
        out=tmp_path / "a",
        resume=True,
        progress=told.append,
        **options,
    )
    assert told[-1].steps == len(GRID) * 40 - seen[-1].steps > 0
    assert_same(resumed, run_sweep(TRAINING, GRID, *data(), out=tmp_path / "b", **options))
    csv = [(tmp_path / name / "results.csv").read_bytes() for name in "ab"]
    assert csv[0] == csv[1]


MODULE = """
import dataclasses, functools
import jax, jax.numpy as jnp
from regjax.sweeps import Training

@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["w"], meta_fields=["name"]
)
@dataclasses.dataclass
class State:
    w: jax.Array
    name: str

training = Training(
    init=lambda hp, key: State(jnp.ones(2), "a"),
    step=lambda hp, state, i, key: State(state.w * hp["x"], state.name),
    evaluate=lambda hp, state, key: {"loss": jnp.sum(state.w)},
    n_steps=4,
    evaluate_every=2,
)
"""


@pytest.mark.slow
def test_the_code_of_a_training_travels_with_its_types(cluster, tmp_path):
    file = tmp_path / "no_worker_finds_this.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
        run = run_sweep(module.training, Grid.product(x=[1.0, 2.0]), metric="loss", engine="ray")
    assert run.table["loss"].to_list() == [2.0, 32.0]
    assert run.params(0)["w"].tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_other_code_on_a_worker_ends_the_sweep_which_can_be_resumed(cluster, tmp_path, monkeypatch):
    options = {"metric": "loss", "width": 4, "out": tmp_path / "run"}
    with monkeypatch.context() as patch:
        patch.setattr(ray_engine.RayEngine, "_digest", lambda engine, leg: "another")
        with pytest.raises(EngineError, match="another program"):
            run_sweep(TRAINING, GRID, *data(), engine="ray", **options)
    resumed = run_sweep(TRAINING, GRID, *data(), engine="ray", resume=True, **options)
    assert resumed.table["status"].to_list().count("failed") == 0


@pytest.mark.slow
def test_a_leg_that_fits_no_machine_is_refused_before_the_sweep_begins(cluster, tmp_path):
    with pytest.raises(EngineError, match="has 1000 CPUs"):
        run_sweep(choice, CHOICES, *data(), engine=Ray(num_cpus=1000), out=tmp_path / "run")
    # Nothing is there that would have to be resumed.
    assert len(run_sweep(choice, CHOICES, *data(), out=tmp_path / "run").table) == len(CHOICES)


def test_where_no_cluster_is_the_address_is_named(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as taken:
        # Bound, and nobody listens.
        taken.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*taken.getsockname())
        for way in (Ray(address=address), Ray(address=f"ray://{address}")):
            with pytest.raises(EngineError, match=rf"answers at '{way.address}'"):
                run_sweep(choice, CHOICES, *data(), engine=way)
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(EngineError, match="No Ray cluster answers"):
            run_sweep(choice, CHOICES, *data(), engine="ray")


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'regjax\[ray\]'"):
        run_sweep(choice, CHOICES, *data(), engine="ray")


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("dask", "engine must be"),
        (Ray(num_cpus=0), "a CPU or a GPU"),
        (Ray(num_cpus=-1), "a CPU or a GPU"),
        (Ray(max_retries=-1), "max_retries"),
    ],
)
def test_unusable_engines_are_refused(engine, message):
    with pytest.raises(ValueError, match=message):
        run_sweep(choice, CHOICES, *data(), engine=engine)


def test_trees_travel_with_keys_and_types():
    pytest.importorskip("ray")
    key = jax.random.key(3, impl="rbg")
    tree = Fit({"key": key, "none": None, "half": jnp.ones(3, jnp.bfloat16)}, {"x": np.arange(3)})
    there = unpack(pickle.loads(pickle.dumps(pack(tree))))
    assert jax.tree.structure(there) == jax.tree.structure(tree)
    assert there.params["half"].dtype == jnp.bfloat16
    drawn = [jax.random.normal(k) for k in (there.params["key"], key)]
    assert drawn[0] == drawn[1]


def test_an_error_that_cannot_travel_is_told():
    class OddError(Exception):
        pass

    told = ray_engine._portable(OddError("why"))
    assert type(told) is RuntimeError
    assert str(told) == "OddError: why"
    assert type(ray_engine._portable(KeyError("x"))) is KeyError
