"""Settings are ranked by their mean over seeds, wherever runs of a sweep are compared."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regjax.sweeps import Fit, Grid, SuccessiveHalving, Training, run_sweep
from regjax.sweeps.lanes.ranking import Keeper, best_settings, ranked_settings

XS = [0.0, 0.2, 0.4, 0.6]
SEEDS = 8


def noisy_loss(hp, state, key, losses):
    return {"loss": losses[jnp.int32(5 * hp["x"] + 0.5), jax.random.key_data(key)[1]]}


NOISY = Training(
    init=lambda hp, key, losses: jnp.float32(0),
    step=lambda hp, state, index, key, losses: state + 1,
    evaluate=noisy_loss,
    n_steps=9,
)


def test_halving_chooses_as_all_steps_of_all_settings_would():
    grid = Grid.product(x=XS, seed=range(SEEDS))
    rng = np.random.default_rng(0)
    chosen, expected = [], []
    for _ in range(5):
        losses = np.array(XS)[:, None] + 0.5 * rng.normal(size=(len(XS), SEEDS))
        given = {"metric": "loss", "width": len(grid), "workers": 1, "keep": 1}
        rule = SuccessiveHalving(3, 3)
        run = run_sweep(NOISY, grid, losses.astype("float32"), stopping=rule, **given)
        best = run.best()
        chosen.append(best.x)
        expected.append(XS[int(np.argmin(losses.mean(axis=1)))])
        assert len(best.lanes) == SEEDS
        assert np.isfinite(best.standard_error)
        assert sorted(run.kept()) == sorted(best.lanes)
        assert run.table["step"].sum() == SEEDS * (3 * 3 + 9)
    assert chosen == expected
    assert chosen.count(0.0) > 2
    assert len(set(chosen)) > 1


def plain_order(costs, settings):
    def key(setting):
        own = [cost for cost, s in zip(costs, settings, strict=True) if s == setting]
        finite = [cost for cost in own if np.isfinite(cost)]
        mean = np.mean(finite) if finite else np.inf
        return len(own) - len(finite), mean, list(settings).index(setting)

    return sorted(set(settings), key=key)


def drawn(rng, n_settings, n_seeds):
    """Return costs with equal and infinite ones among them, and settings in some order."""
    settings = rng.permutation(np.repeat(np.arange(n_settings), n_seeds)).tolist()
    costs = rng.integers(20, size=len(settings)).astype(float)
    costs[rng.random(len(settings)) < 0.15] = np.inf
    return costs.tolist(), settings


@pytest.mark.parametrize(("n_settings", "n_seeds"), [(1, 3), (7, 1), (12, 4), (40, 5)])
def test_settings_go_on_whole_and_in_the_order_of_a_plain_loop(n_settings, n_seeds):
    rng = np.random.default_rng(n_settings)
    for factor in (2, 3, 50):
        costs, settings = drawn(rng, n_settings, n_seeds)
        order = plain_order(costs, settings)
        assert ranked_settings(dict(enumerate(costs)), settings) == order
        best = set(order[: max(1, n_settings // factor)])
        rule = SuccessiveHalving(1, factor)
        expected = [run for run, setting in enumerate(settings) if setting in best]
        assert rule.survivors(costs, settings).tolist() == expected
        # Without seeds runs are settings.
        alone = rule.survivors(costs).tolist()
        least = sorted(range(len(costs)), key=lambda run: (costs[run], run))
        assert alone == sorted(least[: max(1, len(costs) // factor)])


def test_a_setting_that_lost_a_seed_is_behind_all_that_lost_none():
    costs, settings = [0.0, np.inf, 9.0, 9.0, 1.0, np.inf, np.inf, np.inf], [0, 0, 1, 1, 2, 2, 3, 3]
    assert ranked_settings(dict(enumerate(costs)), settings) == [1, 0, 2, 3]
    assert best_settings(dict(enumerate(costs)), settings, 9) == {0, 1, 2}


@pytest.mark.parametrize("keep", [0, 1, 3, "all"])
def test_what_is_kept_on_the_way_ends_with_the_best_settings(keep):
    rng = np.random.default_rng(0)
    for n_settings, n_seeds, size in itertools.product((1, 5, 20), (1, 4), (1, 3, 7)):
        costs, settings = drawn(rng, n_settings, n_seeds)
        keeper, held = Keeper(keep, settings), set()
        order = rng.permutation(len(costs)).tolist()
        for start in range(0, len(order), size):
            wanted, dropped = keeper.add({run: costs[run] for run in order[start : start + size]})
            assert wanted <= set(order[start : start + size])
            assert dropped <= set(order[:start])
            held = held - dropped | wanted
        if keep == "all":
            assert held == set(order)
            continue
        best = best_settings(dict(enumerate(costs)), settings, keep)
        finite = {run for run, cost in enumerate(costs) if np.isfinite(cost)}
        assert held == {run for run in finite if settings[run] in best}


def test_parameters_of_the_best_settings_are_kept_under_all_seeds():
    def train(hp, key, *, kind):
        loss = hp["x"] + 2 * jax.random.key_data(key)[1]
        lost = (hp["x"] == 1) & (kind == "a")
        return Fit(hp["x"], {"loss": jnp.where(lost, jnp.nan, loss)})

    grid = Grid.product(kind=["a", "b"], x=[1.0, 2.0, 3.0], seed=range(3))
    run = run_sweep(train, grid, metric="loss", width=2, keep=2)
    best = [lane for lane in range(len(grid)) if run.table["x"][lane] in (1.0, 2.0)]
    expected = [n for n in best if (run.table["kind"][n], run.table["x"][n]) != ("a", 1.0)]
    # Of equal means, those of x = 2, the first in the grid.
    expected = [n for n in expected if (run.table["kind"][n], run.table["x"][n]) != ("b", 2.0)]
    assert run.kept() == [grid.ids[n] for n in expected]
    assert run.best().hyperparameters == {"kind": "b", "x": 1.0}
    assert run.ranking()["x"].to_list() == [1.0, 2.0, 2.0, 3.0, 3.0]
