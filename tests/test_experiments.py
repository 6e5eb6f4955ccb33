"""The claims of the experiments, at a small size."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from experiments import (
    diabetes_path,
    l2_and_decay,
    optimal_ridge_and_double_descent,
    sparse_autoencoder,
    sparse_networks,
    where_optimizers_end,
)

MODULES = {
    "diabetes_path": diabetes_path,
    "l2_and_decay": l2_and_decay,
    "optimal_ridge_and_double_descent": optimal_ridge_and_double_descent,
    "sparse_autoencoder": sparse_autoencoder,
    "sparse_networks": sparse_networks,
    "where_optimizers_end": where_optimizers_end,
}
ROOT = pathlib.Path(__file__).parents[1] / "experiments"


def test_l2_equals_decay_under_plain_sgd_alone():
    config = dataclasses.replace(l2_and_decay.Config(), n_steps=200)
    records = {r["optimizer"]: r for r in l2_and_decay.run(config, jax.random.key(1))}
    assert records["SGD"]["largest relative gap"] < 1e-14
    for name in ("momentum 0.9", "momentum 0.9, 10 x decay", "Adam"):
        assert records[name]["largest relative gap"] > 1e-3
    assert l2_and_decay.draw(list(records.values())).axes


def test_the_diabetes_path_has_the_knots_of_lars():
    config = diabetes_path.Config(n_lambdas=600)
    lasso, mixed, ridge = diabetes_path.run(config, jax.random.key(0))
    assert lasso["steps of the paper"]
    # The rounding of the digits that are written down.
    assert lasso["largest error of a knot"] < 6e-4
    assert max(r["largest error of the end"] for r in (lasso, mixed, ridge)) < 6e-4
    assert ridge["steps"] == 0 < mixed["steps"]
    assert diabetes_path.draw([lasso, mixed, ridge]).axes


def test_the_best_ridge_has_no_peak_and_least_squares_has():
    config = optimal_ridge_and_double_descent.Config(
        n_features=20, n_samples=(8, 14, 20, 30, 60), n_draws=60, strengths=(0.0, 0.3, 1.0, 3.0)
    )
    records = optimal_ridge_and_double_descent.run(config, jax.random.key(0))
    free = [record["no penalty"] for record in records]
    best = [record["best strength"] for record in records]
    assert free[2] > 5 * free[0] > free[-1]
    assert best == sorted(best, reverse=True)
    assert all(record["best strength, in units of theory's"] == 1.0 for record in records)
    for record in records:
        theory, error = record["no penalty, theory"], record["standard errors"][-1]
        assert theory is None or abs(record["no penalty"] - theory) < 4 * error


def test_activation_penalty_makes_a_sparse_code():
    config = sparse_autoencoder.Config(lambdas=(0.0, 0.3), hidden=32, n_steps=300, n_seeds=1)
    dense, sparse = sparse_autoencoder.run(config, jax.random.key(0))
    active = "active units per image"
    unexplained = "share of variance unexplained"
    assert sparse[active] < dense[active] / 2
    assert dense[unexplained] < sparse[unexplained] < 0.6
    assert sparse_autoencoder.draw([dense, sparse]).axes


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
        decay=(0.1,),
        batch_sizes_timed=(1,),
        n_timings=2,
    )
    # Compacted networks are compared with the whole ones on the way.
    records = sparse_networks.run(config, jax.random.key(0))
    by_method = {record["method"]: record for record in records}
    zeros = {method: record["exact zeros (%)"] for method, record in by_method.items()}
    assert zeros["L1, proximal"] > 60
    assert zeros["group lasso, proximal"] > 30
    assert zeros["none"] == zeros["L1, subgradient"] == zeros["AdamW"] == 0
    assert by_method["group lasso, proximal"]["neurons kept"] < 48
    assert by_method["AdamW"]["neurons kept"] == 64
    for record in records:
        assert record["points lost"] <= 1
        assert record["largest difference when compacted"] <= 1e-6
    assert sparse_networks.draw(records).axes


def test_a_compacted_network_keeps_the_outputs_of_constant_neurons():
    rng = np.random.default_rng(0)
    network = sparse_networks.eqx.nn.MLP(5, 10, 4, depth=1, key=jax.random.key(0))
    network = sparse_networks.eqx.filter(network, sparse_networks.eqx.is_inexact_array)
    network = jax.tree.map(lambda leaf: np.array(leaf), network)
    first, last = network.layers
    first.weight[[0, 1]] = 0
    first.bias[:] = [2, -2, 1, 1]
    last.weight[:, 2] = 0
    small = sparse_networks.compacted(network)
    assert small.layers[0].weight.shape == (1, 5)
    x = rng.normal(size=(3, 5)).astype("float32")
    got, expected = (sparse_networks.forward(n, x) for n in (small, network))
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_optimizers_end_where_theory_says():
    config = where_optimizers_end.Config(n_steps=20_000)
    records = where_optimizers_end.run(config, jax.random.key(0))
    distances = {r["optimizer"]: (r["distance, 2-D"], r["distance, 4-D"]) for r in records}
    for name in ("sgd_l2", "sgdw", "adam_l2", "prox_sgd, L1", "prox_adam, L1"):
        assert max(distances[name]) < 1e-9
    for name in ("adamw", "lionw", "adamw, cautious"):
        assert max(distances[name]) < 2e-3
    assert distances["muonw, exact polar factor"][1] < 1e-4
    assert distances["adamw, target norm"][0] < 1e-3
    by_name = {record["optimizer"]: record for record in records}
    optimum, lambda_ = np.array(config.optimum), config.lambda_
    soft = np.sign(optimum) * np.maximum(np.abs(optimum) - lambda_, 0)
    for name, closed_form in (
        ("sgdw", optimum / (1 + lambda_)),
        ("adamw", np.clip(optimum, -1 / lambda_, 1 / lambda_)),
        ("prox_adam, L1", soft),
    ):
        np.testing.assert_allclose(by_name[name]["expected in 4-D"], closed_form, atol=1e-9)
    assert where_optimizers_end.draw(records).axes


@pytest.mark.parametrize("name", list(MODULES))
def test_committed_records_belong_to_the_configuration(name):
    module = MODULES[name]
    manifest = json.loads((ROOT / name / "manifest.json").read_text())
    config = json.loads(json.dumps(dataclasses.asdict(module.Config())))
    assert manifest["config"] == config
    assert (ROOT / name / "figure.png").stat().st_size > 10_000
    assert json.loads((ROOT / name / "records.json").read_text())


def test_the_gallery_shows_the_figure_of_the_experiment():
    shown = ROOT.parent / "docs" / "figures" / "where_optimizers_end.png"
    assert shown.read_bytes() == (ROOT / "where_optimizers_end" / "figure.png").read_bytes()
