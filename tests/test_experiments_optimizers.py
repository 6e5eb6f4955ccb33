"""The claims of the experiments on optimizers, at a small size."""

import pathlib

import jax
import numpy as np
import pytest

from experiments import (
    equivalences,
    rotational_equilibrium,
    routes_to_l1,
    what_adamw_minimises,
)
from experiments.rotational_equilibrium import theory as equilibria
from experiments.what_adamw_minimises import theory as minima

# Every one of them compiles a training of its own.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]


def verdicts(module, records):
    return {claim.text: claim.holds for claim in module.claims(records)}


# --- equivalences ---


@pytest.fixture(scope="module")
def pairs():
    config = equivalences.Config(
        n_steps=200, least_strength=1e-2, n_strengths=41, n_network_steps=60
    )
    return equivalences.run(config, jax.random.key(1))


def test_what_is_equal_is_so_to_rounding_and_what_is_not_is_far_apart(pairs):
    holds = verdicts(equivalences, pairs)
    # The constant of proposition 3 is wrong in print.
    assert [text for text in holds if not holds[text]] == [
        text for text in holds if "as printed" in text
    ]
    assert len(holds) == len(pairs) == 15
    assert equivalences.draw(pairs).axes


def test_a_pair_that_comes_apart_or_together_is_seen(pairs):
    for record in pairs:
        equal = record["largest gap"] <= equivalences.ROUNDING
        changed = dict(record, **{"largest gap": 1e-10 if equal else 1e-3})
        if record["relation"] == equivalences.SECOND_ORDER:
            changed["gaps"] = np.sqrt(record["gaps"]).tolist()
        (claim,) = equivalences.claims([changed])
        assert not claim.holds


def test_one_step_of_adam_prox_nears_adamw_by_the_square_of_the_rate(pairs):
    (record,) = (r for r in pairs if r["relation"] == equivalences.SECOND_ORDER)
    ratios = np.divide(record["gaps"][:-1], record["gaps"][1:])
    np.testing.assert_allclose(ratios[-1], 4, rtol=0.03)
    assert np.all(np.diff(np.abs(ratios - 4)) < 0)


def test_the_posterior_mode_under_a_laplace_prior_has_zeros(pairs):
    (alive,) = (r["x"][0] for r in pairs if r["pair"] == "Laplace prior, L1")
    assert 0 < alive < equivalences.Config().n_features


# --- what AdamW minimises ---


@pytest.fixture(scope="module")
def ends():
    config = what_adamw_minimises.Config(n_steps=20_000, n_matrix_steps=3000)
    return what_adamw_minimises.run(config, jax.random.key(0))


def test_optimizers_end_where_theory_says(ends):
    distances = {}
    for record in ends:
        distances.setdefault(record["optimizer"], []).append(record["distance"])
    for name in ("sgd_l2", "sgdw", "adam_l2", "prox_sgd, L1", "prox_adam, L1"):
        assert max(distances[name]) < 1e-9
    for name in ("adamw", "lionw", "adamw, cautious"):
        assert max(distances[name]) < 2e-3
    assert max(distances["exact muonw"] + distances["exact muonw, wide"]) < 1e-4
    # In the plane; in space Adam is slow along the trade-off that the norm makes.
    assert distances["adamw, target norm"][0] < 1e-3
    assert what_adamw_minimises.draw(ends).axes


def test_theory_is_what_can_be_written_down(ends):
    config = what_adamw_minimises.Config()
    optimum, lambda_ = np.array(config.optimum), config.lambda_
    expected = {r["optimizer"]: r["expected"] for r in ends if r["loss"] in ("space", "wide")}
    soft = np.sign(optimum) * np.maximum(np.abs(optimum) - lambda_, 0)
    for name, closed_form in (
        ("sgdw", optimum / (1 + lambda_)),
        ("adamw", np.clip(optimum, -1 / lambda_, 1 / lambda_)),
        ("prox_adam, L1", soft),
        ("exact muonw, wide", np.minimum([3, 2, 0.5, 0.2], 2 / lambda_)),
    ):
        np.testing.assert_allclose(expected[name], closed_form, atol=1e-9)


def test_newton_schulz_leaves_muon_outside_the_ball_and_within_its_own(ends):
    (muon,) = (r for r in ends if r["optimizer"] == "muonw")
    wall = 1 / what_adamw_minimises.Config().lambda_
    assert 1.05 * wall < max(muon["end"]) <= minima.largest_singular_value() * wall
    holds = verdicts(what_adamw_minimises, [muon])
    assert list(holds.values()) == [False, True]
    muon["end"][0] = 1.3 * wall
    assert list(verdicts(what_adamw_minimises, [muon]).values()) == [False, False]


def test_the_gallery_shows_the_figure_of_the_experiment():
    shown = ROOT / "docs" / "figures" / "what_adamw_minimises.png"
    kept = ROOT / "experiments" / "what_adamw_minimises" / "figure.png"
    assert shown.read_bytes() == kept.read_bytes()


# --- rotational equilibrium ---


@pytest.fixture(scope="module")
def turns():
    config = rotational_equilibrium.Config(
        n_seeds=1,
        n_steps=12_000,
        size=64,
        strengths=(1.0, 3.0),
        starts=(0.5, 1.5),
        n_network_steps=200,
        hidden=32,
    )
    return rotational_equilibrium.run(config, jax.random.key(0))


def test_random_walks_come_to_rest_where_theory_says(turns):
    walks = [record for record in turns if record["weights"] == "random walk"]
    for record in walks:
        for quantity in ("norm", "rotation"):
            assert record[quantity] == pytest.approx(record[f"{quantity}, theory"], rel=0.05)
    # Norms came from both sides, and rotation did not follow the size of the gradient.
    rotations = {}
    for record in walks:
        if record["start"] != 1:
            first = record["norms"][0] / record["norm, theory"]
            assert first > 1.05 if record["start"] > 1 else first < 0.97
        elif record["lambda"] == walks[-1]["lambda"] or "L2" not in record["optimizer"]:
            rotations.setdefault(record["optimizer"], {})[record["gradient scale"]] = record
    adam_l2 = rotations["Adam, L2"]
    assert adam_l2[0.25]["rotation"] > 2 * adam_l2[4.0]["rotation"]
    assert rotational_equilibrium.draw(turns).axes


def test_the_claims_of_rotations_are_read_from_the_records(turns):
    holds = verdicts(rotational_equilibrium, turns)
    about_walks = {text: held for text, held in holds.items() if "network" not in text}
    assert len(about_walks) == 12
    assert all(about_walks.values())
    changed = [dict(record, norm=1.06 * record["norm"]) for record in turns]
    for record in changed:
        if record["gradient scale"] == 4:
            record["rotation"] *= 1.2
    assert not any(
        held
        for text, held in verdicts(rotational_equilibrium, changed).items()
        if "network" not in text
    )
    level = [dict(record, rotation=1.0) for record in turns]
    for text, held in verdicts(rotational_equilibrium, level).items():
        assert "layers" not in text or held == ("Adam, L2" not in text)


def test_signs_of_lion_are_correlated_as_theory_has_it():
    """The norm at rest from the correlations of a simulated walk of signs."""
    b1, b2 = 0.9, 0.97
    gradients = np.random.default_rng(0).normal(size=(6000, 400))
    momentum, signs = np.zeros(400), []
    for g in gradients:
        signs.append(np.sign((1 - b1) * g + b1 * momentum))
        momentum = b2 * momentum + (1 - b2) * g
    # The variance of a sum over many steps is their number times the sum of correlations.
    sums = np.reshape(signs, (10, 600, 400)).sum(axis=1)
    total = np.mean(sums[1:] ** 2) / 600
    at_rest = equilibria.lion(0.01, 0.5, 1.0, 100, b1, b2)
    # A window of 600 steps cuts off what reaches across its ends, about 1 / (1 - b2) of them.
    assert at_rest.norm == pytest.approx(np.sqrt(0.01 * 100 * total / (2 * 0.5)), rel=0.05)


# --- routes to L1 ---


@pytest.fixture(scope="module")
def routes():
    config = routes_to_l1.Config(
        problems=("sparse regression", "sparse regression, minibatches"),
        strength=0.3,
        n_samples=40,
        n_features=12,
        n_nonzero=3,
        batch_size=20,
        n_seeds=1,
        n_steps=1500,
        learning_rates=(0.01, 0.1),
        n_lbfgs_steps=60,
    )
    return routes_to_l1.run(config, jax.random.key(0))


def test_proximal_routes_end_in_the_lasso_with_its_zeros(routes):
    assert max(record["duality gap"] for record in routes) < 1e-13
    exact = [record for record in routes if "minibatches" not in record["problem"]]
    for record in exact:
        if record["route"] in ("ISTA", "FISTA", "prox_adam"):
            assert abs(record["above the optimum"]) < 1e-12
            assert record["right zeros"] == record["zeros of the lasso"] > 0
            assert record["wrong zeros"] == 0
            assert record["above"][0] > 1e-3
        elif record["route"] == "spred, L-BFGS":
            assert abs(record["above the optimum"]) < 1e-9
        elif record["route"] == "prox_adamw":
            assert record["above the optimum"] > 1e-3
        if "subgradient" in record["route"]:
            assert record["right zeros"] == record["wrong zeros"] == 0
            assert record["above the optimum"] > 0
    assert routes_to_l1.draw(routes).axes


def test_the_claims_of_routes_are_read_from_the_records(routes):
    holds = verdicts(routes_to_l1, routes)
    for text in (
        "L1 in the loss leaves no exact zero",
        "ISTA and FISTA end in the lasso",
        "ISTA and FISTA have the lasso's zeros",
        "prox_adam ends in the lasso",
        "prox_adam has the lasso's zeros",
        "prox_adamw does not end in the lasso",
    ):
        assert holds[text]
    changed = [dict(record, **{"wrong zeros": 1.0, "above the optimum": 1e-5}) for record in routes]
    for record in changed:
        record["steps"] = 10 if record["route"] == "ISTA" else None
    assert not any(verdicts(routes_to_l1, changed).values())
