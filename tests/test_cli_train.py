"""`regjax sweep FILE.py:NAME` and `regjax sweep merge`, as a user types them."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import polars as pl
import pytest
from click.testing import CliRunner

import regjax.sweeps
from regjax.cli import main
from regjax.cli._settings import Draw, parse_bytes, parse_grid, parse_shard
from regjax.sweeps import Grid, Static, Uniform, log_range
from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.progress import ShowProgress

TRAIN = """
import jax
import jax.numpy as jnp
import numpy as np
from regjax.sweeps import Fit, Training


def data():
    X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    return X, X @ np.arange(4, dtype="float32")


def other_data():
    return {"scale": np.float32(3.0)}


def begin(hp, key, X, y):
    return jnp.cos(jax.random.key_data(key)[1] + jnp.arange(4.0))


def step(hp, w, i, key, X, y):
    return w - hp["learning_rate"] * (X.T @ (X @ w - y) / len(y) + hp["lambda_"] * w)


def measure(hp, w, key, X, y):
    return {"validation_loss": jnp.mean((X @ w - y) ** 2), "norm": jnp.sum(w**2)}


training = Training(begin, step, measure, n_steps=40, evaluate_every=10, checkpoint_every=20)
slow = Training(begin, step, measure, n_steps=30_000, evaluate_every=1000, checkpoint_every=5000)


def function(hp, key, X, y, optimizer="adamw", width=1):
    if optimizer == "bad":
        raise RuntimeError("no such optimizer")
    w = hp["lambda_"] * begin(hp, key, X, y) * width
    return Fit({"w": w}, {"validation_loss": jnp.mean((X @ w - y) ** 2)})


def scaled(hp, key, shared):
    return {"value": hp["x"] * shared["scale"]}


def wrong(hp, key, X, y):
    return {"validation_loss": X @ jnp.ones(7)}


def broken_data():
    raise OSError("the disk is away")
"""

NAMES = ("--set", "lambda_=0.01:1:3", "--set", "learning_rate=0.05,0.1")
STEPS = ("train.py:training", *NAMES, "--seeds", "2", "--metric", "validation_loss")
# Two lanes at a time in one program: many legs, so that a signal finds it at work.
SLOW = ("train.py:slow", *NAMES, "--metric", "norm", "--width", "2", "--workers", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("train", "torn", "typo", "json"):
        module = sys.modules.get(name)
        if getattr(module, "__file__", "").startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def run(*arguments):
    result = CliRunner().invoke(main, ["sweep", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_training_in_steps(folder):
    done = run(*STEPS, "--out", "run", "--keep", "2")
    assert done.exit_code == 0, done.output
    assert "12 lanes in 1 program" in done.output
    assert re.search(r"12 of 12 lanes, .* lane-steps/s, best \S+, in 0:00:\d\d", done.output)
    assert "Lanes of least validation_loss" in done.output
    table = pl.read_csv("run/results.csv")
    assert table.columns[:4] == ["id", "lambda_", "learning_rate", "seed"]
    assert len(table) == 12
    best = table.sort("validation_loss")
    first = re.search(r"^ +([\d.]+) +([\d.]+) +(\d) +40 ", done.output, re.MULTILINE)
    row = best.row(0, named=True)
    assert [float(text) for text in first.groups()] == [
        row["lambda_"],
        row["learning_rate"],
        row["seed"],
    ]
    means = table.group_by("lambda_", "learning_rate").agg(pl.col("validation_loss").mean())
    least = means.sort("validation_loss").row(0)
    choice = re.search(r"best mean +(\S+) +(\S+) +(\S+)", done.output)
    assert [float(text) for text in choice.groups()] == pytest.approx(least, rel=1e-3)
    assert "one s.e." in done.output
    assert "12 lanes: 12 done" in done.output
    kept = {file.stem for file in (folder / "run" / "params").iterdir()}
    ranked = means.sort("validation_loss")[:2]
    assert kept == set(table.join(ranked, ["lambda_", "learning_rate"], "semi")["id"])
    assert pl.read_parquet("run/curves.parquet")["step"].unique().sort().to_list() == [
        10,
        20,
        30,
        40,
    ]


def test_choices_statics_and_a_group_that_fails(folder):
    done = run(
        *("train.py:function", "--set", "lambda_=0.1,0.2", "--set", "optimizer=adamw,bad,adam"),
        *("--set", "width=2,3", "--static", "width", "--metric", "validation_loss"),
        *("--mode", "max", "--dtype", "float64"),
    )
    assert done.exit_code == 1, done.output
    assert re.search(r'Error: 4 of 12 lanes failed, those of .*"optimizer": "bad"', done.output)
    assert "12 lanes in 6 programs, to runs/function" in done.output
    assert "Lanes of largest validation_loss" in done.output
    assert re.search(r'Failed: .*"bad".*: RuntimeError: no such optimizer', done.output)
    assert "12 lanes: 8 done, 4 failed" in done.output
    table = pl.read_csv("runs/function/results.csv")
    lost = table.filter(pl.col("status") == "failed")
    assert lost["optimizer"].unique().to_list() == ["bad"]


def test_diverged_lanes_are_counted(folder):
    done = run(
        *("train.py:training", "--set", "lambda_=0.1", "--set", "learning_rate=0.1,1e6"),
        *("--metric", "validation_loss"),
    )
    assert "2 lanes: 1 diverged, 1 done" in done.output or "1 done, 1 diverged" in done.output
    every = run(
        *("train.py:training", "--set", "lambda_=0.1", "--set", "learning_rate=1e6"),
        *("--metric", "validation_loss", "--out", "all"),
    )
    assert every.exit_code == 1
    assert "1 lane: 1 diverged" in every.output
    assert "Error: All 1 lane diverged, of lambda_=0.1, learning_rate=1e+06." in every.output
    assert done.exit_code == 0


def test_data_come_from_a_function_of_the_file(folder):
    done = run("train.py:scaled", "--set", "x=1,2", "--data", "other_data", "--metric", "value")
    assert done.exit_code == 0, done.output
    assert pl.read_csv("runs/scaled/results.csv")["value"].to_list() == [3.0, 6.0]


def test_early_stopping_and_halving(folder):
    stopped = run(*STEPS, "--early-stopping", "1", "--out", "a")
    assert stopped.exit_code == 0, stopped.output
    halved = run(*STEPS, "--halving", "10:2", "--out", "b")
    assert halved.exit_code == 0, halved.output
    steps = pl.read_csv("b/results.csv")["step"].value_counts().sort("step").rows()
    # Six settings under two seeds: three go on, then one.
    assert steps == [(10, 6), (20, 4), (40, 2)]


def test_shards_and_merge(folder):
    for i in (1, 2):
        done = run(*STEPS, "--width", "2", "--shard", f"{i}/2", "--out", "parts")
        assert done.exit_code == 0, done.output
        assert "join them with: regjax sweep merge parts" in done.output
        if i == 1:
            early = run("merge", "parts")
            assert early.exit_code == 2
            assert "lacks the shard 2 of 2" in early.output
    merged = run("merge", "parts")
    assert merged.exit_code == 0, merged.output
    assert "12 lanes: 12 done" in merged.output
    assert run("merge", "parts").exit_code == 2
    assert run(*STEPS, "--width", "2", "--out", "whole").exit_code == 0
    csv = [(folder / name / "results.csv").read_bytes() for name in ("parts", "whole")]
    assert csv[0] == csv[1]
    assert json.loads((folder / "parts" / "manifest.json").read_text())["merged"] == 2


def test_a_second_run_needs_overwrite_or_resumes(folder):
    assert run(*STEPS, "--out", "run").exit_code == 0
    kept = (folder / "run" / "results.csv").read_bytes()
    refused = run(*STEPS, "--out", "run")
    assert refused.exit_code == 2
    assert "already holds a run" in refused.output
    for flag in ("--resume", "--overwrite"):
        assert run(*STEPS, "--out", "run", flag).exit_code == 0
        assert (folder / "run" / "results.csv").read_bytes() == kept
    other = ("train.py:training", *NAMES, "--seeds", "3", "--metric", "validation_loss")
    changed = run(*other, "--out", "run", "--resume")
    assert changed.exit_code == 2
    assert "another grid" in changed.output


FAULTS = {
    "no file": (["tain.py:f", "--set", "x=1"], "no file 'tain.py'"),
    "no name": (["train.py", "--set", "x=1"], "train.py:NAME"),
    "empty name": (["train.py:", "--set", "x=1"], "train.py:NAME"),
    "no function": (["train.py:f", "--set", "x=1"], "no function 'f'; it has .*slow.*training"),
    "no set": (["train.py:function"], "Missing option '--set'"),
    "no equals": (["train.py:function", "--set", "x"], "NAME=VALUES"),
    "bad name": (["train.py:function", "--set", "a-b=1"], "NAME=VALUES"),
    "twice": (["train.py:function", "--set", "x=1", "--set", "x=2"], "'x' twice"),
    "no value": (["train.py:function", "--set", "x="], "no value"),
    "value twice": (["train.py:function", "--set", "x=1,1"], "a lane twice"),
    "range": (["train.py:function", "--set", "x=1:2"], "low:high:n"),
    "range of text": (["train.py:function", "--set", "x=1:b:3"], "low:high:n"),
    "endless range": (["train.py:function", "--set", "x=1:2:inf"], "low:high:n"),
    "long range": (["train.py:function", "--set", "x=1:2:99999999999"], "at most|10,000,000"),
    "many seeds": (["train.py:function", "--set", "x=1", "--seeds", "9" * 12], "10,000,000"),
    "many draws": (["train.py:function", "--set", "x=lin:0:1", "--random", "9" * 12], "10,000,000"),
    "many lanes": (
        ["train.py:function", "--set", "x=1:2:9999", "--set", "y=1:2:9999"],
        "99,990,001|more than 10,000,000 lanes",
    ),
    "huge memory": (["train.py:function", "--set", "x=1", "--memory", "9" * 400], "2GB"),
    "huge keep": (["train.py:function", "--set", "x=1", "--keep", "9" * 400], "number of lanes"),
    "huge shard": (["train.py:function", "--set", "x=1", "--shard", "1/" + "9" * 400], "as in 1/4"),
    "huge halving": (["train.py:training", *NAMES, "--halving", "9" * 400], "as in 100:3"),
    "odd digits": (["train.py:training", *NAMES, "--halving", "²"], "as in 100:3"),
    "address": (["train.py:function", "--set", "x=1", "--out", "gs://b/run"], "file system.*gs://"),
    "low 0": (["train.py:function", "--set", "x=0:1:3"], "0 < low < high"),
    "NaN": (["train.py:function", "--set", "x=nan"], "finite"),
    "no draw": (["train.py:function", "--set", "x=lin:0:1"], "--random N or --sobol N"),
    "no range": (["train.py:function", "--set", "x=1,2", "--random", "3"], "--random draws"),
    "bad range": (["train.py:function", "--set", "x=log:0:1", "--random", "3"], "low > 0"),
    "torn range": (["train.py:function", "--set", "x=log:1", "--random", "3"], "log:low:high"),
    "two draws": (
        ["train.py:function", "--set", "x=lin:0:1", "--random", "3", "--sobol", "4"],
        "exclude each other",
    ),
    "static": (["train.py:function", "--set", "x=1", "--static", "y"], "--static names 'y'"),
    "seeds": (["train.py:function", "--set", "seed=1", "--seeds", "2"], "say the same"),
    "no seeds": (["train.py:function", "--set", "x=1", "--seeds", "0"], "empty"),
    "memory": (["train.py:function", "--set", "x=1", "--memory", "much"], "2GB"),
    "shard": (["train.py:function", "--set", "x=1", "--shard", "1of2"], "as in 1/4"),
    "shard 3/2": (["train.py:function", "--set", "lambda_=1", "--shard", "3/2"], "1 <= i <= n"),
    "keep": (["train.py:function", "--set", "x=1", "--keep", "most"], "number of lanes or all"),
    "halving": (["train.py:training", *NAMES, "--halving", "a"], "as in 100:3"),
    "both": (
        ["train.py:training", *NAMES, "--halving", "9", "--early-stopping", "1"],
        "exclude each other",
    ),
    "stopping a function": (
        ["train.py:function", "--set", "lambda_=1", "--early-stopping", "1"],
        "needs a metric and a Training",
    ),
    "metric": (
        ["train.py:training", *NAMES, "--metric", "loss"],
        "no scalar 'loss'",
    ),
    "width": (["train.py:training", *NAMES, "--width", "0"], "width must be at least 1"),
    "no hyperparameter": (
        ["train.py:training", "--set", "x=1"],
        r"train.py:\d+ in step: KeyError: 'learning_rate'",
    ),
    "raises": (["train.py:wrong", "--set", "x=1"], r"train.py:\d+ in wrong: .*"),
    "data": (
        ["train.py:function", "--set", "lambda_=1", "--data", "broken_data"],
        r"train.py:\d+ in broken_data: OSError: the disk is away",
    ),
    "no data": (["train.py:function", "--set", "x=1", "--data", "d"], "no function 'd'"),
    "torn file": (["torn.py:f", "--set", "x=1"], r"torn.py cannot be imported: torn.py:2: Syntax"),
    "import": (["typo.py:f", "--set", "x=1"], r"typo.py:1 in <module>: ModuleNotFoundError"),
    "taken name": (["json.py:f", "--set", "x=1"], "give json.py another name"),
    "occupied": (["train.py:function", "--set", "x=1", "--out", "."], "holds more than a run"),
    "merge": (["merge", "nothing"], "holds no shards"),
}


@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_faults_end_with_one_line_and_code_2(case, folder):
    (folder / "torn.py").write_text("def f(hp, key):\n    return {\n")
    (folder / "typo.py").write_text("import nunpy\n")
    (folder / "json.py").write_text("def f(hp, key):\n    return {}\n")
    arguments, message = FAULTS[case]
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    errors = [line for line in done.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors
    assert "Traceback" not in done.output
    assert not list(folder.glob("runs/*/results.csv"))


def test_without_ray_the_remedy_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run(*STEPS, "--engine", "ray")
    assert done.exit_code == 2
    assert "pip install 'regjax[ray]'" in done.output


def test_the_help_names_all_three_commands():
    shown = run("--help").output
    for words in ("[DATA]", "FILE.py:NAME", "merge DIR", "--target", "--set NAME=VALUES"):
        assert words in shown
    assert "--set" not in run("diabetes", "--help").output
    assert "--target" not in run("train.py:f", "--help").output
    assert "--overwrite" in run("merge", "--help").output


def test_grids_from_settings():
    grid = parse_grid(
        ["lambda_=1e-5:1:4", "optimizer=adamw,none,true", "width=8,16"], ["width"], 2, None
    )
    expected = Grid.product(
        lambda_=log_range(1e-5, 1, 4),
        optimizer=["adamw", None, True],
        width=Static([8, 16]),
        seed=range(2),
    )
    assert grid == expected
    assert parse_grid(["x=-1,2e3", "seed=4,7"], [], None, None) == Grid.product(
        x=[-1.0, 2000.0], seed=[4, 7]
    )


@pytest.mark.parametrize("how", ["random", "sobol"])
def test_grids_that_are_drawn(how):
    settings = ["lambda_=log:1e-5:1", "x=lin:-1:1", "depth=int:1:4", "kind=a,b"]
    grid = parse_grid(settings, [], 3, Draw(how, 8))
    drawn = {"random": Grid.random, "sobol": Grid.sobol}[how](
        8,
        lambda_=Uniform(1e-5, 1, log=True),
        x=Uniform(-1, 1),
        depth=Uniform(1, 4, whole=True),
    )
    assert grid == drawn * Grid.product(kind=["a", "b"], seed=range(3))
    assert set(grid.columns["depth"]) <= {1.0, 2.0, 3.0, 4.0}


def test_sizes_and_shards():
    assert parse_bytes(None) is None
    assert [parse_bytes(text) for text in ("10", "2GB", "1.5 kb", "1MiB", "3g")] == [
        10,
        2 * 10**9,
        1500,
        2**20,
        3 * 10**9,
    ]
    assert parse_shard("2/8") == (2, 8)


TABLE = ("diabetes", "--models", "lasso", "--lambdas", "0.1,1", "--seeds", "3", "--no-figures")


@pytest.mark.parametrize(
    "arguments",
    [
        TABLE,
        pytest.param((*STEPS, "--width", "2", "--workers", "1"), marks=pytest.mark.slow),
    ],
    ids=["table", "training"],
)
def test_after_ctrl_c_it_is_said_what_is_saved_and_how_to_resume(arguments, folder, monkeypatch):
    monkeypatch.setattr(os, "_exit", sys.exit)
    assert run(*arguments, "--out", "whole").exit_code == 0
    show, pressed = ShowProgress.__call__, []

    def press(self, progress):
        show(self, progress)
        if progress.done and not pressed:
            pressed.append(progress.done)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ShowProgress, "__call__", press)
    stopped = run(*arguments, "--out", "a run", "--overwrite")
    assert stopped.exit_code == 130
    first, command = stopped.output.splitlines()[-2:]
    assert first == (
        "Interrupted: all that was finished is saved in a run.unfinished. Resume with:"
    )
    words = shlex.split(command)
    assert words == ["regjax", "sweep", *arguments, "--out", "a run", "--resume"]
    assert run(*words[2:]).exit_code == 0
    results = [(folder / name / "results.csv").read_bytes() for name in ("whole", "a run")]
    assert results[0] == results[1]


@pytest.mark.parametrize("arguments", [TABLE, STEPS], ids=["table", "training"])
def test_ctrl_c_before_anything_is_saved_says_so(arguments, folder, monkeypatch):
    def press(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(regjax.sweeps, "sweep" if arguments is TABLE else "run_sweep", press)
    stopped = run(*arguments, "--out", "run")
    assert stopped.exit_code == 130
    assert stopped.output.splitlines()[-1] == "Interrupted: nothing was saved."


def test_a_model_that_fails_is_named(folder, monkeypatch):
    def broken(*given):
        raise ArithmeticError("no such number")

    monkeypatch.setattr(LeastSquaresModel, "fit_path", broken)
    done = run(*TABLE, "--out", "run")
    assert done.exit_code == 1
    assert re.search('Error: diabetes: A model failed: .*"lasso".*no such number', done.output)


# --- processes of their own ---

COMMAND = (sys.executable, "-c", "from regjax.cli import main; main()", "sweep")


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def wait_until_at_work(process):
    for line in process.stdout:
        if re.match(r"\d+ of \d+ lanes", line):
            return
    raise AssertionError(process.stderr.read())


@pytest.mark.slow
def test_after_ctrl_c_and_after_a_kill_it_goes_on(folder):
    assert run(*SLOW, "--out", "whole").exit_code == 0
    with start(*SLOW, "--out", "a run", "--overwrite") as process:
        wait_until_at_work(process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    first, command = errors.splitlines()[-2:]
    assert first.startswith("Interrupted")
    words = shlex.split(command)
    assert words == ["regjax", "sweep", *SLOW, "--out", "a run", "--resume"]
    assert not (folder / "a run").exists()
    with start(*words[2:]) as process:
        wait_until_at_work(process)
        process.kill()
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    refused = run(*SLOW, "--out", "a run")
    assert refused.exit_code == 2
    assert "unfinished sweep: go on with resume" in refused.output
    resumed = run(*words[2:])
    assert resumed.exit_code == 0, resumed.output
    results = [(folder / name / "results.csv").read_bytes() for name in ("whole", "a run")]
    assert results[0] == results[1]
    assert not (folder / "a run.unfinished").exists()


@pytest.mark.slow
def test_the_ray_engine_writes_the_same_bytes(folder, monkeypatch):
    pytest.importorskip("ray")
    # Not the cluster of another test.
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert run(*STEPS, "--width", "3", "--out", "threads").exit_code == 0
    done = finish(*STEPS, "--width", "3", "--workers", "2", "--engine", "ray", "--out", "ray")
    assert done.returncode == 0, done.stderr
    assert "os.fork" not in done.stderr
    csv = [(folder / name / "results.csv").read_bytes() for name in ("threads", "ray")]
    assert csv[0] == csv[1]
    assert pl.read_csv("ray/results.csv")["validation_loss"].is_finite().all()
