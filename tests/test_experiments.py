"""The claims of the experiments, at a small size."""

import dataclasses
import json
import pathlib

import jax
import pytest

from experiments import l2_and_decay, sparse_autoencoder

ROOT = pathlib.Path(__file__).parents[1] / "experiments"


def test_l2_equals_decay_under_plain_sgd_alone():
    config = dataclasses.replace(l2_and_decay.Config(), n_steps=200)
    records = {r["optimizer"]: r for r in l2_and_decay.run(config, jax.random.key(1))}
    assert records["SGD"]["largest relative gap"] < 1e-14
    for name in ("momentum 0.9", "momentum 0.9, 10 x decay", "Adam"):
        assert records[name]["largest relative gap"] > 1e-3
    assert l2_and_decay.draw(list(records.values())).axes


def test_activation_penalty_makes_a_sparse_code():
    config = sparse_autoencoder.Config(lambdas=(0.0, 0.3), hidden=32, n_steps=300, n_seeds=1)
    dense, sparse = sparse_autoencoder.run(config, jax.random.key(0))
    active = "active units per image"
    unexplained = "share of variance unexplained"
    assert sparse[active] < dense[active] / 2
    assert dense[unexplained] < sparse[unexplained] < 0.6
    assert sparse_autoencoder.draw([dense, sparse]).axes


@pytest.mark.parametrize("name", ["l2_and_decay", "sparse_autoencoder"])
def test_committed_records_belong_to_the_configuration(name):
    module = {"l2_and_decay": l2_and_decay, "sparse_autoencoder": sparse_autoencoder}[name]
    manifest = json.loads((ROOT / name / "manifest.json").read_text())
    config = json.loads(json.dumps(dataclasses.asdict(module.Config())))
    assert manifest["config"] == config
    assert (ROOT / name / "figure.png").stat().st_size > 10_000
    assert json.loads((ROOT / name / "records.json").read_text())
