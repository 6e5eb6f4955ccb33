"""Experiments on the statistics of ridge and lasso, at a small size."""

import functools

import jax
import numpy as np
import pytest

from experiments import bias_variance_over_lambda, lasso_statistics
from experiments.lasso_statistics.freedom import degrees_of_freedom
from experiments.lasso_statistics.recovery import recovery, weak_threshold
from experiments.lasso_statistics.signs import sign_recovery

SMALL = lasso_statistics.Config(
    freedom_draws=300,
    strengths=(500, 100, 20),
    sign_samples=200,
    sign_draws=60,
    values=(0.4, 4 / 3),
    sign_lambdas=30,
    group_designs=8,
    group_draws=5,
    group_noises=(0.025,),
    group_lambdas=4,
    ratios=(0.5,),
    recovery_features=60,
    recovery_sizes=6,
    recovery_designs=2,
    recovery_draws=8,
)


@functools.cache
def small_records():
    return lasso_statistics.run(SMALL, jax.random.key(0))


def test_the_claims_about_the_lasso_hold_at_a_small_size():
    records = small_records()
    *claims, threshold = lasso_statistics.claims(records)
    assert [claim.text for claim in claims if not claim.holds] == []
    # 60 features are too few for two digits.
    assert abs(records[3]["k / n at one half"][0] - 0.386) < 0.06
    assert threshold.expected == "0.386"
    assert lasso_statistics.draw(records).axes


def test_the_claims_about_the_lasso_fail_for_other_records():
    freedom, signs, groups, found = small_records()
    worse = [
        freedom | {"active variables": [1 + active for active in freedom["active variables"]]},
        signs | {"shares, equal signs": [0.9, 0.9], "shares, opposite signs": [0.9, 0.9]},
        groups
        | {
            "cases": [
                case | {"draws with one variable": [0.2] * 3, "draws with all three": [0.2] * 3}
                for case in groups["cases"]
            ],
            "largest difference, in units of the bound": 1.1,
        },
        found | {"k / n at one half": [0.45]},
    ]
    assert not any(claim.holds for claim in lasso_statistics.claims(worse))


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.1, 0.189), (0.25, 0.267), (0.5, 0.386), (0.7, 0.499), (0.9, 0.678)]
)
def test_the_weak_threshold_has_its_published_values(ratio, expected):
    assert abs(weak_threshold(ratio) - expected) < 5e-4


def test_degrees_of_freedom_are_those_of_another_set_of_draws():
    # 1,500 draws of another program: 2.35 active variables, covariance 2.35, and so on.
    record = degrees_of_freedom((500, 300, 100, 20), 600, np.random.default_rng(1))
    off = np.subtract(record["degrees of freedom"], [2.35, 3.59, 5.68, 8.13])
    assert (np.abs(off) < 4 * np.array(record["standard errors"])).all()
    np.testing.assert_allclose(record["active variables"], [2.35, 3.56, 5.64, 8.06], atol=0.12)


def test_signs_are_found_in_half_of_the_draws_where_the_condition_fails():
    record = sign_recovery((0.0, 1.2), 200, 60, 30, np.random.default_rng(2))
    assert record["shares, equal signs"][0] == 1 == min(record["shares, opposite signs"])
    assert 0.3 < record["shares, equal signs"][1] < 0.7


def test_few_coefficients_are_recovered_and_many_are_not():
    shares = recovery((0.5,), 40, 5, 1, 6, np.random.default_rng(3))["shares"][0]
    assert shares[0] == 1
    assert shares[-1] == 0


@functools.cache
def small_curves():
    config = bias_variance_over_lambda.Config(
        n_samples=40, n_features=12, n_active=3, n_validation=50, n_draws=200, n_lambdas=15
    )
    return bias_variance_over_lambda.run(config, jax.random.key(0))


def test_bias_and_variance_add_up():
    for record in small_curves():
        total = np.add(record["squared bias"], record["variance"])
        np.testing.assert_allclose(record["excess risk"], total, rtol=1e-12)
        # 15 strengths, all of the same draws.
        error = 4 * np.array(record["s.e. of validation loss less excess risk"])
        assert (np.abs(record["validation loss"] - total - record["noise"]) < error).all()
    ridge = small_curves()[0]
    theory, error = np.array(ridge["excess risk, theory"]), np.array(ridge["s.e. of excess risk"])
    assert (np.abs(ridge["excess risk"] - theory) < 4 * error).all()
    # Without a penalty it is the variance of least squares alone.
    assert ridge["squared bias"][-1] < 0.02 * ridge["variance"][-1]


def test_the_claims_about_the_choice_of_the_strength_hold_at_a_small_size():
    records = small_curves()
    claims = bias_variance_over_lambda.claims(records)
    assert [claim.text for claim in claims if not claim.holds] == []
    assert bias_variance_over_lambda.draw(records).axes
    ridge, lasso = records
    for record in records:
        least, parsimonious = (
            np.array(record[f"strengths chosen, {name}"]) for name in ("minimum", "one s.e.")
        )
        assert (parsimonious >= least).all()
    assert ridge["false positives"]["minimum"] == 9 > lasso["false positives"]["minimum"]


def test_the_claims_about_bias_and_variance_fail_for_other_records():
    worse = []
    for record in small_curves():
        flipped = {name: record[name][::-1] for name in ("squared bias", "variance")}
        risks = record["risk of the choice"]
        flipped["risk of the choice"] = {
            "oracle": risks["one s.e."],
            "minimum": risks["one s.e."],
            "one s.e.": risks["oracle"],
        }
        flipped["validation loss"] = sorted(record["validation loss"])
        flipped["excess risk, theory"] = [1.1 * risk for risk in record["excess risk"]]
        flipped["excess risk"] = [*record["excess risk"][:-1], 0.0]
        flipped["false positives"] = {"oracle": 1.0, "minimum": 1.0, "one s.e.": 1.0}
        worse.append(record | flipped)
    assert not any(claim.holds for claim in bias_variance_over_lambda.claims(worse))
