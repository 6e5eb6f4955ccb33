"""Four statements about the lasso: its degrees of freedom, signs, groups and what it recovers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from experiments.lasso_statistics.figure import draw
from experiments.lasso_statistics.freedom import degrees_of_freedom
from experiments.lasso_statistics.grouping import grouping
from experiments.lasso_statistics.recovery import recovery, weak_threshold
from experiments.lasso_statistics.signs import sign_recovery
from experiments.report import Claim, Record

__all__ = ["RTOL", "Config", "claims", "draw", "run"]


@dataclasses.dataclass(frozen=True)
class Config:
    """`python -m experiments.lasso_statistics`, about 25 s on 2 cores.

    `strengths` are those of `RSS / 2 + lambda_ ||b||_1` on the diabetes data, `values` those of the
    irrepresentable condition, `mixes` those of the elastic net, `ratios` n / p.
    """

    seed: int = 0
    freedom_draws: int = 3000
    strengths: tuple[float, ...] = (900, 700, 500, 300, 200, 100, 50, 20, 10, 5, 2)
    sign_samples: int = 1000
    sign_draws: int = 2000
    values: tuple[float, ...] = (
        0.0,
        0.4,
        0.7,
        0.8,
        0.9,
        0.95,
        0.975,
        1.0,
        1.025,
        1.05,
        1.1,
        1.2,
        4 / 3,
    )
    sign_lambdas: int = 100
    group_samples: int = 100
    group_designs: int = 50
    group_draws: int = 20
    group_noises: tuple[float, ...] = (0.25, 0.025)
    mixes: tuple[float, ...] = (1.0, 0.5)
    group_lambdas: int = 31
    group_least: float = 1e-3
    ratios: tuple[float, ...] = (0.1, 0.25, 0.5, 0.7, 0.9)
    recovery_features: int = 200
    recovery_sizes: int = 12
    recovery_designs: int = 3
    recovery_draws: int = 8


# Signs and recoveries are counts of draws, and one draw may fall on the other side.
RTOL = 1e-2


def run(config: Config, key: jax.Array) -> list[Record]:
    """Return a record for each of the four questions."""
    c = config
    seeds = np.random.SeedSequence(np.asarray(jax.random.key_data(key)).tolist()).spawn(4)
    freedom, signs, groups, found = (np.random.default_rng(seed) for seed in seeds)
    return [
        degrees_of_freedom(c.strengths, c.freedom_draws, freedom),
        sign_recovery(c.values, c.sign_samples, c.sign_draws, c.sign_lambdas, signs),
        grouping(
            c.mixes,
            c.group_noises,
            c.group_samples,
            c.group_designs,
            c.group_draws,
            c.group_lambdas,
            c.group_least,
            groups,
        ),
        recovery(
            c.ratios,
            c.recovery_features,
            c.recovery_sizes,
            c.recovery_designs,
            c.recovery_draws,
            found,
        ),
    ]


def claims(records: Sequence[Record]) -> list[Claim]:
    """Return what the four papers say, beside what the draws gave."""
    freedom, signs, groups, found = records
    return [*_of_freedom(freedom), *_of_signs(signs), *_of_groups(groups), *_of_recovery(found)]


def _of_freedom(record: Record) -> list[Claim]:
    df, active = np.array(record["degrees of freedom"]), np.array(record["active variables"])
    off = np.abs(df - active) / record["standard errors of the difference"]
    return [
        Claim(
            "degrees of freedom are the mean number of active variables, at every strength",
            "a difference of 0",
            f"at most {np.max(off):.1f} standard errors, {np.max(np.abs(df - active)):.2f}",
            "3 standard errors",
            bool(np.max(off) <= 3),
        )
    ]


def _of_signs(record: Record) -> list[Claim]:
    n = record["lanes"]
    *_, last = record["values"]
    violated, met = record["shares, equal signs"][-1], record["shares, opposite signs"][-1]
    allowed = 3 * np.sqrt(0.25 / n)
    inside = [v <= 0.8 for v in record["values"]]
    least = float(np.min(np.array(record["shares, equal signs"])[inside]))
    return [
        Claim(
            f"with the condition violated ({last:.2f}) the signs are found in half of the draws",
            "50 %",
            f"{100 * violated:.1f} % of {n}",
            f"3 standard errors, {100 * allowed:.1f} %",
            bool(abs(violated - 0.5) <= allowed),
        ),
        Claim(
            "with the same design and other signs, for which it is met (0), in all",
            "100 %",
            f"{100 * met:.1f} %",
            "1 %",
            met >= 0.99,
        ),
        Claim(
            "with the condition met at up to 0.8 in all",
            "100 %",
            f"at least {100 * least:.1f} %",
            "1 %",
            least >= 0.99,
        ),
    ]


def _of_groups(record: Record) -> list[Claim]:
    strengths = np.array(record["strengths, in units of the largest"])
    at = int(np.argmin(np.abs(strengths - 0.1)))
    found = []
    for case in record["cases"]:
        picks = case["mix"] == 1
        draws = case["draws with one variable" if picks else "draws with all three"][at]
        members, share = case["variables of the group"][at], case["largest share, median"][at]
        found.append(
            Claim(
                f"of variables equal up to a noise of {case['noise']:g} "
                + ("the lasso tends to keep one of three" if picks else "the elastic net keeps all")
                + ", at 0.1 of the largest strength",
                f"{'1 variable' if picks else '3 variables'} in most draws",
                f"in {100 * draws:.0f} %; {members:.2f} on average, the largest with a share of "
                f"{share:.2f}",
                "none",
                draws > 0.5,
            )
        )
    over = record["largest difference, in units of the bound"]
    return [
        *found,
        Claim(
            "theorem 1's bound on the difference of two coefficients holds in all lanes",
            "at most 1 times the bound",
            f"{over:.2f}",
            "none",
            over <= 1,
        ),
    ]


def _of_recovery(record: Record) -> list[Claim]:
    found = []
    for ratio, share in zip(record["n / p"], record["k / n at one half"], strict=True):
        theory = weak_threshold(ratio)
        found.append(
            Claim(
                f"weak threshold k / n at n / p = {ratio:g}",
                f"{theory:.3f}",
                f"{share:.3f}",
                "0.02",
                abs(share - theory) <= 0.02,
            )
        )
    return found
