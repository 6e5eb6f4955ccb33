"""The claims of the experiments on learning rate and decay, at a small size."""

import jax
import numpy as np
import pytest
from scipy import stats

from experiments import (
    corrected_decay,
    coupled_vs_decoupled,
    decay_timescale,
    selective_decay,
)
from experiments.effects import interval, jackknife_error, lowest

# Every one of them compiles a training of its own.
pytestmark = pytest.mark.slow

SMALL_GRID = coupled_vs_decoupled.Config(
    hidden=16,
    n_train=160,
    n_epochs=5,
    n_seeds=2,
    learning_rates=(0.004, 0.008, 0.016),
    coupled=(1e-4, 1e-2, 1.0),
    relative=(0.25, 0.5, 1.0),
    independent=(0.002, 0.004, 0.008),
    near=1,
)


def test_interval_is_students():
    values = np.random.default_rng(0).normal(size=7)
    test = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(interval(values, 0.9), test, rtol=1e-12)


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=(9, 1))
    error = values.std(ddof=1) / 3
    assert jackknife_error(lambda x: float(x.mean()), values) == pytest.approx(error, rel=1e-12)


def test_lowest_is_the_vertex_of_a_parabola_and_stays_on_the_grid():
    x = np.linspace(-1, 1, 5)
    assert lowest(x, 3 * (x - 0.1) ** 2) == pytest.approx(0.1)
    assert lowest(x, x) == -1
    assert lowest(x, -x) == 1


def test_scores_of_separability_on_surfaces_that_are_known():
    rate, decay = np.log([1.0, 2, 4, 8, 16]), np.log([1.0, 4, 16, 64, 256])
    u, v = np.meshgrid(rate - rate.mean(), decay - decay.mean(), indexing="ij")
    separable, product = u**2 + v**2, (u + v) ** 2
    assert coupled_vs_decoupled.interaction_share(separable) == pytest.approx(0, abs=1e-12)
    assert coupled_vs_decoupled.best_decay_slope(separable, rate, decay) == pytest.approx(0)
    assert coupled_vs_decoupled.best_decay_slope(product, rate, decay) == pytest.approx(-1)
    expected = (2 * u * v).var() / product.var()
    assert coupled_vs_decoupled.interaction_share(product) == pytest.approx(expected)


@pytest.fixture(scope="module")
def maps():
    records = coupled_vs_decoupled.run(SMALL_GRID, jax.random.key(0))
    return {(record["schedule"], record["method"]): record for record in records}


@pytest.mark.parametrize("schedule", ["fixed", "cosine"])
def test_decay_by_schedule_is_decay_by_learning_rate_with_the_grid_sheared(maps, schedule):
    relative, independent = (
        np.array(maps[schedule, method]["log validation loss"])
        for method in ("learning_rate", "schedule")
    )
    config = SMALL_GRID
    pairs = [
        (i, j, k)
        for i, rate in enumerate(config.learning_rates)
        for j, strength in enumerate(config.relative)
        for k, decay in enumerate(config.independent)
        if np.isclose(rate * strength, decay)
    ]
    assert len(pairs) >= 5
    for i, j, k in pairs:
        assert relative[i, j] == pytest.approx(independent[i, k], rel=1e-3)


def test_maps_of_the_other_forms_are_their_own(maps):
    relative, squared, coupled = (
        np.array(maps["cosine", method]["log validation loss"])
        for method in ("learning_rate", "squared_learning_rate", "coupled")
    )
    assert np.abs(relative - squared).max() > 0.01
    # The strongest L2 stops the learning, whatever the learning rate.
    assert (coupled[:, 2] - coupled[:, 0]).min() > 0.1
    records = list(maps.values())
    assert len(coupled_vs_decoupled.draw(records).axes) == 9
    assert len(coupled_vs_decoupled.claims(records)) == 12


def test_masks_differ_in_what_decays_and_in_nothing_else():
    config = selective_decay.Config(
        hidden=(16, 16), n_train=160, n_epochs=5, n_seeds=2, learning_rate=0.02, lambdas=(0.0, 10.0)
    )
    records = selective_decay.run(config, jax.random.key(0))
    by_mask = {record["decayed"]: record for record in records}
    scale, bias = "mean norm scale", "root mean square of biases"
    for record in records:
        assert np.array(record["log ratios at one lambda"])[:, 0].tolist() == [0, 0]
        assert record[scale][0] == by_mask["weights"][scale][0]
    for column, with_decay, without in (
        (scale, "weights, norms", "weights"),
        (scale, "everything", "weights, biases"),
        (bias, "weights, biases", "weights"),
        (bias, "everything", "weights, norms"),
    ):
        assert by_mask[with_decay][column][1] < 0.6 * by_mask[without][column][1]
    assert len(selective_decay.claims(records)) == 3
    assert selective_decay.draw(records).axes


def test_the_ratio_of_gradient_to_weights_blows_up_unless_decay_is_corrected():
    config = corrected_decay.Config(
        hidden=(16, 16),
        n_steps=1200,
        n_settle=300,
        n_seeds=2,
        sgd_lambdas=(0.03,),
        adam_lambdas=(3.0,),
    )
    records = {r["method"]: r for r in corrected_decay.run(config, jax.random.key(0))}
    grown = {name: r["gradient / weights, end over middle"] for name, r in records.items()}
    assert min(grown["SGDW"], grown["AdamW"]) > 1.2
    assert max(grown["SGDC"], grown["AdamC"]) < 1
    for name in ("SGDW", "SGDC"):
        assert records[name]["ratio over that of steady state"] == pytest.approx(1, abs=0.15)
    assert corrected_decay.draw(list(records.values())).axes


def test_slope_of_the_best_decay_tells_a_constant_timescale_from_a_constant_strength():
    lambdas = 2.0 ** np.arange(-6, 7)
    for power in (0.0, -1.0):
        records = [
            {
                "samples": n,
                "lambdas": lambdas.tolist(),
                "log losses by seed": [
                    (np.log(lambdas / (4 * (n / 100) ** power) * shift) ** 2).tolist()
                    for shift in (0.9, 1.0, 1.1)
                ],
            }
            for n in (50, 100, 200)
        ]
        steepness, error = decay_timescale.slope(records)
        assert steepness == pytest.approx(power, abs=1e-6)
        assert error < 1e-6


def test_timescales_are_steps_over_steps_per_epoch():
    config = decay_timescale.Config(
        hidden=16, n_train=(80, 160), n_epochs=5, n_seeds=2, lambdas=(0.5, 5.0, 50.0)
    )
    records = decay_timescale.run(config, jax.random.key(0))
    for record, n_batches in zip(records, (2, 4), strict=True):
        steps = 1 / (config.learning_rate * np.array(config.lambdas))
        np.testing.assert_allclose(record["timescales in epochs"], steps / n_batches)
        product = record["best lambda"] * record["best timescale in epochs"]
        assert product == pytest.approx(1 / (config.learning_rate * n_batches))
    assert records[1]["least loss"] < records[0]["least loss"]
    assert len(decay_timescale.claims(records)) == 4
    assert decay_timescale.draw(records).axes
