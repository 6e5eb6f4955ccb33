"""The claims of the experiments, at a small size, and what all experiments have in common."""

import dataclasses
import importlib
import json
import math
import pathlib
import subprocess
import sys
import types

import equinox as eqx
import jax
import numpy as np
import pytest

import experiments.__main__ as command
from experiments import (
    diabetes_path,
    optimal_ridge_and_double_descent,
    sparse_autoencoder,
    sparse_networks,
)
from experiments.report import Claim, differences, kept_manifest, kept_records
from experiments.sparse_networks import compaction, training

ROOT = pathlib.Path(__file__).parents[1] / "experiments"


def verdicts(module, records):
    return [claim.holds for claim in module.claims(records)]


def test_the_diabetes_path_has_the_knots_of_lars():
    config = diabetes_path.Config(n_lambdas=600)
    records = diabetes_path.run(config, jax.random.key(0))
    assert verdicts(diabetes_path, records) == [True] * 4
    assert diabetes_path.draw(records).axes
    lasso = records[0]
    lasso["knots"][3] += 1e-2
    lasso["coef"][-1][0] += 1e-2
    assert verdicts(diabetes_path, records) == [True, False, False, True]
    lasso["events"][10:] = []
    assert not any(verdicts(diabetes_path, records)[:3])


def test_the_best_ridge_has_no_peak_and_least_squares_has():
    config = optimal_ridge_and_double_descent.Config(
        n_features=20,
        n_samples=(8, 14, 20, 30, 60),
        n_draws=60,
        strengths=(0.0, 0.01, 0.05, 0.3, 1.0, 3.0),
    )
    records = optimal_ridge_and_double_descent.run(config, jax.random.key(0))
    assert verdicts(optimal_ridge_and_double_descent, records) == [True] * 5
    free = [record["no penalty"] for record in records]
    assert free[2] > 5 * free[0] > free[-1]
    best = [record["best strength"] for record in records]
    assert best == sorted(best, reverse=True)
    assert optimal_ridge_and_double_descent.draw(records).axes
    for record in records:
        # As if the risk were what it is not, at theory's strength and without a penalty.
        record["risks"][record["strengths"].index(1.0)] = record["samples"]
        record["no penalty"] *= 2
    assert verdicts(optimal_ridge_and_double_descent, records)[2::2] == [False, False]


@pytest.mark.slow
def test_activation_penalty_makes_a_sparse_code():
    config = sparse_autoencoder.Config(lambdas=(0.0, 0.3), hidden=32, n_steps=300, n_seeds=1)
    dense, sparse = sparse_autoencoder.run(config, jax.random.key(0))
    active = "active units per image"
    assert sparse[active] < dense[active] / 2
    assert sparse["share of variance unexplained"] < 0.6
    assert verdicts(sparse_autoencoder, [dense, sparse])[:3] == [True] * 3
    assert not any(verdicts(sparse_autoencoder, [sparse, dense])[:3])
    assert sparse_autoencoder.draw([dense, sparse]).axes


@pytest.mark.slow
def test_proximal_steps_remove_weights_and_neurons_and_subgradients_do_not():
    config = sparse_networks.Config(
        hidden=64,
        n_epochs=30,
        learning_rate=1e-2,
        n_seeds=2,
        tolerance=0.01,
        l1=(1e-3,),
        group_lasso=(1e-3,),
        l1_subgradient=(1e-3,),
        l2=(1e-3,),
        batch_sizes_timed=(1,),
        n_timings=2,
    )
    records = sparse_networks.run(config, jax.random.key(0))
    by_method = {record["method"]: record for record in records}
    zeros = {method: record["exact zeros (%)"] for method, record in by_method.items()}
    assert zeros["L1, proximal"] > 60
    assert zeros["group lasso, proximal"] > 30
    assert zeros["none"] == zeros["L1, subgradient"] == 0
    # Of 9,500 weights one may stand at 0 after the last step.
    assert zeros["L2"] < 0.05
    assert by_method["group lasso, proximal"]["neurons kept"] < 48
    assert by_method["L2"]["neurons kept"] == 64
    for record in records:
        assert sparse_networks.points_lost(record, by_method["none"])[0] <= 1
        assert record["outputs kept"]
    # Zeros are fewer after a short training, and 64 neurons are no slower than fewer.
    by_method["L2"]["exact zeros (%)"] = 0.0
    assert verdicts(sparse_networks, records)[1:4] == [True] * 3
    by_method["L2"]["exact zeros (%)"] = 0.1
    assert verdicts(sparse_networks, records)[1:4] == [True, False, True]
    assert sparse_networks.draw(records).axes


def test_a_compacted_network_keeps_the_outputs_of_constant_neurons():
    rng = np.random.default_rng(0)
    network = eqx.nn.MLP(5, 10, 4, depth=1, key=jax.random.key(0))
    network = eqx.filter(network, eqx.is_inexact_array)
    network = jax.tree.map(lambda leaf: np.array(leaf), network)
    first, last = network.layers
    first.weight[[0, 1]] = 0
    first.bias[:] = [2, -2, 1, 1]
    last.weight[:, 2] = 0
    small = compaction.compacted(network)
    assert small.layers[0].weight.shape == (1, 5)
    x = rng.normal(size=(3, 5)).astype("float32")
    got, expected = (training.forward(n, x) for n in (small, network))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert compaction.same_outputs(network, small, x)
    last.bias[0] += 1e-3
    assert not compaction.same_outputs(network, small, x)


@pytest.mark.parametrize("name", command.names())
def test_an_experiment_has_what_all_have(name):
    module = importlib.import_module(f"experiments.{name}")
    config = json.loads(json.dumps(dataclasses.asdict(module.Config())))
    manifest, records = kept_manifest(module), kept_records(module)
    # What was committed belongs to what would run.
    assert manifest["config"] == config
    assert manifest["seconds"] > 0
    assert "seed" in config
    assert (ROOT / name / "figure.png").stat().st_size > 10_000
    assert module.draw(records).axes
    assert 0 < module.RTOL < 0.5
    assert module.claims(records)
    for claim in module.claims(records):
        assert all(isinstance(text, str) for text in claim[:4])
        assert all(claim[:3])
        assert isinstance(claim.holds, bool)
    readme = (ROOT / name / "README.md").read_text(encoding="utf-8")
    for part in ("**Claim", f"`python -m experiments.{name}`", "](figure.png)", "**What did not"):
        assert part in readme
    assert len(readme.splitlines()) <= 60


def test_the_page_of_results_is_made_of_the_records():
    modules = [importlib.import_module(f"experiments.{name}") for name in command.names()]
    written = (ROOT / "RESULTS.md").read_text(encoding="utf-8").splitlines()
    made = command.page(modules).splitlines()
    # The third line names the commit and the machine.
    assert written[:2] + written[3:] == made[:2] + made[3:]


@pytest.fixture
def made_up(tmp_path):
    """An experiment with records, and a claim that holds for them beside one that does not."""
    module = types.ModuleType("experiments.diabetes_path")
    module.__file__ = str(tmp_path / "__init__.py")
    module.RTOL = 0.1
    module.claims = lambda records: [
        Claim("|x| is small", "1", str(records[0]["loss"]), "none", True),
        Claim("x is large", "9", "1", "2", False),
    ]
    (tmp_path / "records.json").write_text('[{"loss": 1.0}]')
    (tmp_path / "manifest.json").write_text('{"seconds": 2.6}')
    return module


def test_a_page_has_a_row_per_claim_and_its_verdict(made_up):
    link = "[diabetes_path](diabetes_path)"
    assert command.page([made_up]).splitlines()[-2:] == [
        f"| {link} | \\|x\\| is small | 1 | 1.0 | none | holds | 3 |",
        "|  | x is large | 9 | 1 | 2 | does not hold here |  |",
    ]


@pytest.mark.parametrize(("loss", "status"), [(1.05, 0), (1.2, 1)])
def test_a_check_ends_with_1_where_a_rerun_differs(made_up, loss, status, monkeypatch, tmp_path):
    def rerun(command, check):
        assert command[-1] == "experiments.diabetes_path"
        (tmp_path / "records.json").write_text(json.dumps([{"loss": loss}]))

    monkeypatch.setattr(subprocess, "run", rerun)
    monkeypatch.setattr(command, "describe", lambda: "a machine.")
    monkeypatch.setattr(command.importlib, "import_module", lambda name: made_up)
    monkeypatch.setattr(command, "names", lambda: ["diabetes_path"])
    monkeypatch.setattr(command, "_PAGE", tmp_path / "RESULTS.md")
    monkeypatch.setattr(sys, "argv", ["experiments", "--check"])
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == status
    assert f"| {loss} |" in (tmp_path / "RESULTS.md").read_text()


@pytest.mark.parametrize(
    ("new", "kept", "found"),
    [
        ([{"a": 1.0, "b": [10.0, 0.0]}], [{"a": 1.0, "b": [10.05, 0.05]}], []),
        # Of the largest of its column, in all rows.
        ([{"a": 0.0}, {"a": 10.0}], [{"a": 0.05}, {"a": 10.0}], []),
        ([{"a": 0.0}, {"a": 10.0}], [{"a": 0.2}, {"a": 10.0}], ["a: 0.0 for 0.2"]),
        ([{"a": 0.0, "b": 10.0}], [{"a": 0.05, "b": 10.0}], ["a: 0.0 for 0.05"]),
        ([{"run (s)": 1.0, "each (ms)": [1.0]}], [{"run (s)": 2.0, "each (ms)": [3.0]}], []),
        ([{"a": "x", "b": None}], [{"a": "y", "b": None}], ["a: x for y"]),
        ([{"a": math.nan}], [{"a": math.nan}], []),
        ([{"a": math.nan}], [{"a": 1.0}], ["a: nan for 1.0"]),
        ([{"a": None}], [{"a": 1.0}], ["a: None for 1.0"]),
        ([{"a": True}], [{"a": False}], ["a: True for False"]),
    ],
)
def test_differences_are_those_beyond_the_tolerance(new, kept, found):
    assert differences(new, kept, 0.01) == found


@pytest.mark.parametrize("other", [[{"b": 1.0}], [{"a": 1.0}, {"a": 1.0}], [{"a": [1.0]}]])
def test_records_of_another_shape_differ(other):
    assert len(differences([{"a": 1.0}], other, 0.5)) == 1
