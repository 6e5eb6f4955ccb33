"""Linear regressions of a sweep: every lane against its definition, on every kind of table."""

import dataclasses
import functools
import warnings

import jax
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import regjax
from regjax.paths import ConvergenceWarning, elastic_net_path
from regjax.sweeps import least_squares

RATIOS = {"ridge": 0.0, "lasso": 1.0, "elastic_net": 0.3}
GRID = (0.1, 0.0, 2.0, 1e-3)  # in no order
SEEDS = [0, 5]
SHAPES = {
    "tall": (50, 6),
    "square, after the split": (25, 20),
    "wide": (25, 40),
    "very wide": (25, 150),
    "dependent": (50, 8),
}


def _data(case):
    rng = np.random.default_rng(3)
    X = 4 + rng.normal(size=SHAPES[case]) * np.logspace(-3, 3, SHAPES[case][1])
    if case == "dependent":
        X[:, 4] = X[:, 0]
        X[:, 5] = X[:, 1] / X[:, 1].std() - X[:, 2] / X[:, 2].std()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, 1e3 + 50 * (Z[:, 0] - Z[:, 2] + rng.normal(size=len(X)))


@functools.cache
def _split(seed, n_samples):
    with jax.enable_x64(True):
        key = jax.random.split(jax.random.key(seed))[0]
        order = np.asarray(jax.random.permutation(key, n_samples))
    n_validation = round(0.2 * n_samples)
    return order[n_validation:], order[:n_validation]


@pytest.fixture(scope="module", params=SHAPES)
def swept(request):
    X, y = _data(request.param)
    result = regjax.sweep((X, y), lambdas=GRID, l1_ratio=RATIOS["elastic_net"], seeds=SEEDS)
    return X, y, result


def _lanes(swept):
    """Yield model, strength, row of the table, weights, and the standardised split of each lane."""
    X, y, result = swept
    for row in result.table.to_dicts():
        train, validation = _split(row["seed"], len(y))
        mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
        y_mean, y_scale = y[train].mean(), y[train].std()
        parts = {
            name: ((X[rows] - mean) / scale, (y[rows] - y_mean) / y_scale)
            for name, rows in (("train", train), ("validation", validation))
        }
        place = SEEDS.index(row["seed"]), GRID.index(row["lambda_"])
        yield row, result.lane_params[row["model"]]["weights"][place], parts


def test_lanes_stand_at_their_optimum(swept):
    for row, weights, parts in _lanes(swept):
        Z, z = parts["train"]
        l1 = row["lambda_"] * RATIOS[row["model"]]
        l2 = row["lambda_"] * (1 - RATIOS[row["model"]])
        descent = Z.T @ (z - Z @ weights) / len(z) - l2 * weights
        active = weights != 0
        off = np.where(active, np.abs(descent - l1 * np.sign(weights)), np.abs(descent) - l1)
        assert off.max() < 3e-6, row
        assert row["status"] == "converged"
        assert 0 <= row["duality_gap"] <= 1e-10


def test_without_a_penalty_the_solution_of_least_norm_is_found(swept):
    seen = 0
    for row, weights, parts in _lanes(swept):
        if row["lambda_"] == 0:
            expected = np.linalg.lstsq(*parts["train"], rcond=1e-10)[0]
            np.testing.assert_allclose(weights, expected, atol=1e-7 * np.abs(expected).max())
            seen += 1
    assert seen == 3 * len(SEEDS)


def test_losses_scores_and_weights_are_measured_as_documented(swept):
    for row, weights, parts in _lanes(swept):
        for name, (Z, z) in parts.items():
            square = np.mean((z - Z @ weights) ** 2)
            assert row[f"{name}_loss"] == pytest.approx(square / 2, rel=1e-6, abs=1e-9)
            assert row[f"{name}_score"] == pytest.approx(1 - square / np.var(z), rel=1e-6)
        assert row["weight_norm"] == pytest.approx(np.sqrt(np.sum(weights**2)), rel=1e-12)
        assert row["zero_share"] == np.mean(weights == 0)


def test_kkt_residual_is_the_proximal_step_that_is_left(swept):
    for row, weights, parts in _lanes(swept):
        Z, z = parts["train"]
        step_size = len(z) / np.linalg.norm(Z, 2) ** 2
        l1 = row["lambda_"] * RATIOS[row["model"]]
        l2 = row["lambda_"] * (1 - RATIOS[row["model"]])
        v = weights - step_size * Z.T @ (Z @ weights - z) / len(z)
        shrunk = np.sign(v) * np.maximum(np.abs(v) - step_size * l1, 0)
        left = weights - shrunk / (1 + step_size * l2)
        assert row["kkt_residual"] == pytest.approx(np.max(np.abs(left)) / step_size, abs=1e-11)


def test_condition_numbers_are_numpys(swept):
    for row, weights, parts in _lanes(swept):
        Z, z = parts["train"]
        l2 = row["lambda_"] * (1 - RATIOS[row["model"]])
        # Centred columns sum to 0, so as many rows as columns are one too few.
        deficient = np.linalg.matrix_rank(Z, rtol=1e-8) < len(weights)
        if l2 == 0 and deficient:
            assert row["condition_number"] == np.inf
        else:
            expected = np.linalg.cond(Z.T @ Z / len(z) + l2 * np.eye(len(weights)))
            assert row["condition_number"] == pytest.approx(expected, rel=1e-6)


def test_the_kkt_residual_tells_a_solution_from_another():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    fit = least_squares.LeastSquaresModel().fit_path(np.array([0.5, 0.01]), 0.5, X, y)
    l1, l2 = np.array([0.25, 0.005]), np.array([0.25, 0.005])
    Z, z = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    for move in (1e-3, -1e-3):
        weights = fit.params["weights"] + move
        gradient = (weights @ Z.T - z) @ Z / 30
        moved = least_squares._kkt_residual(weights, gradient, l1, l2, 2.0)
        assert (moved > 1e-4).all()
    assert (fit.metrics["kkt_residual"] < 1e-6).all()


def test_the_refit_is_the_same_problem_on_all_rows(swept):
    X, y, result = swept
    Z, z = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    for name, fitted in result.fitted.items():
        lambda_, ratio, weights = fitted.lambda_, RATIOS[name], fitted.params["weights"]
        descent = Z.T @ (z - Z @ weights) / len(z) - lambda_ * (1 - ratio) * weights
        bound = np.where(weights != 0, lambda_ * ratio * np.sign(weights), descent)
        assert np.abs(descent).max() <= lambda_ * ratio + 3e-6
        np.testing.assert_allclose(descent, bound, atol=3e-6)
        outputs = y.mean() + y.std() * (Z @ weights)
        np.testing.assert_allclose(fitted.predict(X), outputs, rtol=1e-10)


def test_seeds_beyond_32_bits_draw_rows_of_their_own():
    X, y = _data("tall")
    seeds = [5, 2**32 + 5]
    result = regjax.sweep((X, y), models=["ridge"], lambdas=[0.1], seeds=seeds)
    for seed, mean in zip(seeds, result.lane_params["ridge"]["y_mean"][:, 0], strict=True):
        assert mean == pytest.approx(y[_split(seed, len(y))[0]].mean(), rel=1e-12)
    assert np.ptp(result.lane_params["ridge"]["y_mean"]) > 0


def test_a_column_that_only_held_out_rows_vary_gets_the_coefficient_zero():
    X, y = _data("tall")
    _, validation = _split(0, len(y))
    X[:, 3] = 7.1
    X[validation[0], 3] = 9.0
    result = regjax.sweep((X, y), lambdas=[0.0, 0.01], seeds=[0])
    for name in RATIOS:
        assert (result.lane_params[name]["weights"][0, :, 3] == 0).all()
        assert (result.lane_params[name]["weights"][0, :, 0] != 0).all()
        rows = result.table.filter(pl.col("model") == name)
        assert (rows["status"] == "converged").all()
        assert np.isfinite(rows["validation_loss"].to_numpy()).all()
        assert rows["condition_number"][0] == np.inf


@pytest.mark.parametrize("level", [0.0, 123.456, 1e6])
def test_a_response_that_is_constant_in_training_is_predicted_by_it(level):
    X, y = _data("tall")
    _, validation = _split(0, len(y))
    y = np.full(len(y), level)
    y[validation[0]] += 5.0
    result = regjax.sweep((X, y), lambdas=[0.0, 0.01], seeds=[0])
    assert (result.table["status"] == "converged").all()
    assert result.table["train_score"].is_nan().all()
    loss = 25 / (2 * len(validation))
    np.testing.assert_allclose(result.table["validation_loss"], loss, rtol=1e-6)


def test_a_table_whose_training_rows_have_no_varying_column():
    _, y = _data("tall")
    _, validation = _split(0, len(y))
    X = np.full((len(y), 2), 0.3)
    X[validation] = 1.0
    X[validation[0], 1] = 2.0
    result = regjax.sweep((X, y), lambdas=[0.0, 0.5], seeds=[0])
    assert (result.table["status"] == "converged").all()
    assert (result.table["kkt_residual"] == 0).all()
    for name in RATIOS:
        assert not result.lane_params[name]["weights"].any()
    by_model = result.table.filter(pl.col("model") == "ridge")
    assert by_model["condition_number"].to_list() == [np.inf, 1.0]


def test_lanes_that_miss_the_tolerance_say_so_and_nothing_is_printed(monkeypatch, recwarn):
    def stopped(*data, **settings):
        path = elastic_net_path(*data, **settings)
        warnings.warn("1 of 2 solutions have a duality gap", ConvergenceWarning, stacklevel=1)
        return dataclasses.replace(path, status=np.array([0, 1]), duality_gap=np.array([0.0, 1e-3]))

    monkeypatch.setattr(least_squares, "elastic_net_path", stopped)
    result = regjax.sweep(_data("tall"), models=["lasso"], lambdas=[1e-3, 0.1], seeds=[0])
    assert result.table["status"].to_list() == ["duality gap above 1e-10", "converged"]
    assert result.table["duality_gap"].to_list() == [1e-3, 0.0]
    assert not recwarn.list


def test_a_path_compiles_nothing_and_tells_its_progress_by_seed():
    told = []
    result = regjax.sweep(
        _data("tall"),
        models=["lasso"],
        lambdas=[0.1, 1.0],
        seeds=3,
        progress=told.append,
    )
    assert [(news.done, news.lanes) for news in told] == [(2, 6), (4, 6), (6, 6)]
    runs = result.seconds.filter(result.seconds["what"] == "run")
    assert runs["lanes"].to_list() == [2, 2, 2]
    assert (runs["seconds"] > 0).all()


def test_model_files_hold_what_they_always_held(tmp_path):
    result = regjax.sweep(_data("tall"), models=["ridge"], lambdas=[0.1], seeds=1)
    result.fitted["ridge"].save(tmp_path / "model.safetensors")
    held = load_file(tmp_path / "model.safetensors")
    parts = {
        "scaler/mean": (6,),
        "scaler/scale": (6,),
        "weights": (6,),
        "y_mean": (),
        "y_scale": (),
    }
    conditioning = {"offset": (6,), "unit": (6,), "y_offset": (), "y_unit": ()}
    expected = {f"0/{name}": shape for name, shape in parts.items()}
    expected |= {f"1/{name}": shape for name, shape in conditioning.items()}
    assert {name: array.shape for name, array in held.items()} == expected
    assert {array.dtype for array in held.values()} == {np.dtype(np.float64)}
