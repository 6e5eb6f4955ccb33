"""The main job from Python: choices, verdicts, units, saved models, refusals."""

import json
import os
import pathlib

import jax
import numpy as np
import polars as pl
import pytest
import safetensors
from quick import quick
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

import regjax
from regjax import sweeps
from regjax.datasets import load_dataset
from regjax.sweeps.catalog import MLPOptions, model_names
from regjax.sweeps.fitted import _digest
from regjax.tables import TableError

LAMBDAS = (0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0)
SMALL = MLPOptions(hidden=8, epochs=30, batch_size=16, learning_rate=1e-2)


@pytest.fixture(scope="module")
def noisy():
    """More features than the noise allows: an interior optimum by construction."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 30)) * np.logspace(-2, 2, 30) + rng.normal(size=30) * 5
    signal = (X - X.mean(axis=0)) / X.std(axis=0)
    y = 3 * signal[:, 0] - 2 * signal[:, 1] + 2 * rng.normal(size=60) + 7
    return X, y


@pytest.fixture(scope="module")
def result(noisy):
    return regjax.sweep(noisy, lambdas=LAMBDAS, seeds=4)


@pytest.fixture(scope="module")
def flowers():
    rng = np.random.default_rng(1)
    centers = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [-1, -1, 1, 0]])
    labels = rng.integers(0, 3, 90)
    X = centers[labels] + rng.normal(size=(90, 4))
    columns = {f"size {i}": column for i, column in enumerate(X.T)}
    site = np.where(rng.random(90) < 0.5, "north", "south")
    kind = np.array(["ox", "daisy", "rose"])[labels]
    return pl.DataFrame({**columns, "site": site, "kind": kind})


@pytest.fixture(scope="module")
def classified(flowers):
    lambdas = [0.0, 1e-2, 0.3]
    return regjax.sweep(flowers, "kind", models=["ridge", "lasso"], lambdas=lambdas, seeds=2)


@pytest.fixture(scope="module")
def perceptrons(flowers):
    models, lambdas = ["mlp_l1", "mlp_l2", "mlp_decay"], [0.0, 1e-2, 0.3]
    return regjax.sweep(flowers, "kind", models=models, lambdas=lambdas, seeds=2, mlp=SMALL)


def test_rows_are_in_grid_order(result):
    assert result.table.height == 3 * len(LAMBDAS) * 4
    first = result.table.head(5)
    assert first["model"].to_list() == ["ridge"] * 5
    assert first["seed"].to_list() == [0, 1, 2, 3, 0]
    assert first["lambda_"].to_list() == [0.0] * 4 + [1e-3]
    assert result.table["model"].unique(maintain_order=True).to_list() == [
        "ridge",
        "lasso",
        "elastic_net",
    ]


def test_the_optimum_is_interior_with_overfitting_below_and_underfitting_above(result):
    for name, choice in result.best().items():
        assert 0 < choice.lambda_ < max(LAMBDAS), name
        assert not choice.at_edge
        verdicts = result.verdicts(name)
        assert verdicts[0] == "overfitting"
        assert verdicts[-1] == "underfitting"
        assert "good" in verdicts
        rows = result.summary().filter(pl.col("model") == name)
        train = rows["train_loss"].to_numpy()
        assert np.all(np.diff(train) > -1e-6)
        assert train[-1] > 0.4  # the variance of the response, halved, is 0.5
        assert train[0] < 0.2


def test_l1_gives_zeros_that_grow_with_lambda_and_l2_gives_none(result):
    for name in result.entries:
        rows = result.summary().filter(pl.col("model") == name)
        zeros = rows["zero_share"].to_numpy()
        norms = rows["weight_norm"].to_numpy()
        assert np.all(np.diff(norms) <= 1e-6)
        if name == "ridge":
            assert np.all(zeros == 0)
        else:
            # The default mixing weight halves the elastic net's threshold.
            assert np.all(np.diff(zeros) >= 0)
            assert zeros[0] == 0
            assert zeros[-1] == 1


def test_one_standard_error_choice_is_the_strongest_within_reach(result):
    summary = result.summary()
    for name in result.entries:
        rows = summary.filter(pl.col("model") == name)
        mean, se = rows["validation_loss"].to_numpy(), rows["validation_loss_se"].to_numpy()
        best = int(np.argmin(mean))
        within = [s for s, m in zip(LAMBDAS, mean, strict=True) if m <= mean[best] + se[best]]
        assert result.best(rule="one_standard_error")[name].lambda_ == max(within)
        assert result.best()[name].lambda_ == LAMBDAS[best]
        assert result.best()[name].standard_error == pytest.approx(se[best])


def test_scores_are_maximised(result):
    rows = result.summary().filter(pl.col("model") == "lasso")
    scores = rows["validation_score"].to_numpy()
    best = result.best("validation_score")["lasso"]
    assert best.lambda_ == LAMBDAS[int(np.argmax(scores))]
    assert best.mean == pytest.approx(scores.max())


def test_standard_error_is_over_seeds(result):
    losses = result.table.filter((pl.col("model") == "ridge") & (pl.col("lambda_") == 0.1))
    values = losses["validation_loss"].to_numpy()
    row = result.summary().filter((pl.col("model") == "ridge") & (pl.col("lambda_") == 0.1))
    assert row["validation_loss"][0] == pytest.approx(values.mean())
    assert row["validation_loss_se"][0] == pytest.approx(values.std(ddof=1) / 2)


def test_lanes_agree_with_scikit_learn_on_the_same_split(result, noisy):
    X, y = noisy
    order = np.asarray(jax.random.permutation(jax.random.split(jax.random.key(2))[0], 60))
    validation, train = order[:12], order[12:]
    mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
    y_mean, y_scale = y[train].mean(), y[train].std()
    Z, z = (X - mean) / scale, (y - y_mean) / y_scale
    peers = {
        "ridge": Ridge(alpha=0.1 * 48, fit_intercept=False),
        "lasso": ElasticNet(alpha=0.1, l1_ratio=1.0, fit_intercept=False, tol=1e-10),
        "elastic_net": ElasticNet(alpha=0.1, l1_ratio=0.5, fit_intercept=False, tol=1e-10),
    }
    for name, peer in peers.items():
        peer.fit(Z[train], z[train])
        row = result.table.row(
            by_predicate=(pl.col("model") == name)
            & (pl.col("lambda_") == 0.1)
            & (pl.col("seed") == 2),
            named=True,
        )
        residual = z[validation] - peer.predict(Z[validation])
        assert row["validation_loss"] == pytest.approx(np.mean(residual**2) / 2, rel=1e-4)
        score = 1 - np.mean(residual**2) / np.var(z[validation])
        assert row["validation_score"] == pytest.approx(score, rel=1e-4)
        lane = result.entries[name].lambdas.index(0.1)
        weights = result.lane_params[name]["weights"][2, lane]
        np.testing.assert_allclose(weights, peer.coef_, atol=1e-5)
        covariance = Z[train].T @ Z[train] / 48
        ridge = {"ridge": 0.1, "lasso": 0.0, "elastic_net": 0.05}[name]
        expected = np.linalg.cond(covariance + ridge * np.eye(30))
        assert row["condition_number"] == pytest.approx(expected, rel=1e-6)


def test_coefficients_are_in_original_units(result, noisy):
    X, _ = noisy
    for name, fitted in result.fitted.items():
        table = fitted.coefficients()
        assert table["feature"].to_list() == [*(f"x{i}" for i in range(30)), "(intercept)"]
        coefficients = table["coefficient"].to_numpy()
        linear = X @ coefficients[:-1] + coefficients[-1]
        np.testing.assert_allclose(fitted.predict(X), linear, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            table["per_standard_deviation"].to_numpy()[:-1], coefficients[:-1] * X.std(axis=0)
        )
        assert name == fitted.name


def test_the_refit_uses_all_rows(result, noisy):
    X, y = noisy
    fitted = result.fitted["lasso"]
    Z, z = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    peer = ElasticNet(alpha=fitted.lambda_, l1_ratio=1.0, tol=1e-10).fit(Z, z)
    np.testing.assert_allclose(fitted.params["weights"], peer.coef_, atol=1e-5)
    assert fitted.lambda_ == result.best()["lasso"].lambda_


def test_the_rule_decides_the_refit(noisy):
    grid = np.geomspace(1e-2, 1, 12)
    result = regjax.sweep(noisy, models=["lasso"], lambdas=grid, seeds=4, rule="one_standard_error")
    chosen = result.best(rule="one_standard_error")["lasso"].lambda_
    assert result.fitted["lasso"].lambda_ == result.best()["lasso"].lambda_ == chosen
    [row] = result.choices().to_dicts()
    assert row["lambda_chosen"] == row["lambda_1se"] == chosen
    assert row["lambda_min"] == result.best(rule="minimum")["lasso"].lambda_ < chosen
    at = result.summary().filter(pl.col("lambda_") == chosen)
    assert row["validation_loss"] == at["validation_loss"][0]


def test_classification_learns_and_agrees_with_scikit_learn(classified, flowers):
    choices = classified.choices()
    assert choices["validation_score"].min() > 0.6
    fitted = classified.fitted["ridge"]
    X = fitted.encoding.encode(flowers)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    peer = LogisticRegression(C=1 / (fitted.lambda_ * len(Z)), tol=1e-10, max_iter=10_000)
    peer.fit(Z, flowers["kind"].to_numpy())
    assert fitted.encoding.classes == tuple(peer.classes_)
    np.testing.assert_allclose(fitted.params["weights"].T, peer.coef_, atol=1e-4)
    np.testing.assert_allclose(fitted.predict_proba(flowers), peer.predict_proba(Z), atol=1e-4)
    np.testing.assert_array_equal(fitted.predict(flowers), peer.predict(Z))


def test_coefficients_of_classes(classified, flowers):
    table = classified.fitted["lasso"].coefficients()
    assert table.columns[1::2] == [f"coefficient[{kind}]" for kind in ("daisy", "ox", "rose")]
    X = classified.fitted["lasso"].encoding.encode(flowers)
    logits = X @ table[:-1, 1::2].to_numpy() + table[-1, 1::2].to_numpy()
    kinds = np.array(["daisy", "ox", "rose"])[logits.argmax(axis=1)]
    np.testing.assert_array_equal(classified.fitted["lasso"].predict(flowers), kinds)


@pytest.mark.slow
def test_perceptrons_differ_by_their_regularizer(perceptrons):
    assert perceptrons.choices()["validation_score"].min() > 0.6
    summary = perceptrons.summary()
    strong = summary.filter(pl.col("lambda_") == 0.3)
    by_name = {row["model"]: row for row in strong.to_dicts()}
    none = summary.filter((pl.col("lambda_") == 0.0) & (pl.col("model") == "mlp_l1")).to_dicts()[0]
    assert none["zero_share"] == 0
    assert by_name["mlp_l1"]["zero_share"] > 0.3
    assert by_name["mlp_l2"]["zero_share"] == by_name["mlp_decay"]["zero_share"] == 0
    for name in ("mlp_l1", "mlp_l2", "mlp_decay"):
        assert by_name[name]["weight_norm"] < none["weight_norm"]
    with pytest.raises(ValueError, match="no coefficients"):
        perceptrons.fitted["mlp_l1"].coefficients()


@pytest.mark.slow
def test_a_perceptron_without_penalty_is_the_same_under_every_regularizer(perceptrons):
    unpenalised = perceptrons.table.filter(pl.col("lambda_") == 0)
    spread = unpenalised.group_by("seed").agg(
        pl.col("train_loss").max() - pl.col("train_loss").min()
    )
    assert spread["train_loss"].max() < 1e-4


@pytest.mark.slow
def test_perceptron_regression_beats_the_mean(noisy):
    X, y = noisy
    result = regjax.sweep((X[:, :2], y), models=["mlp_decay"], lambdas=[1e-2], seeds=2, mlp=SMALL)
    assert result.table["validation_score"].mean() > 0.3
    assert result.fitted["mlp_decay"].predict(X[:, :2]).shape == (60,)


@pytest.mark.parametrize(
    "which", quick(["result", "classified", "perceptrons"], "result", "classified")
)
def test_a_run_is_saved_and_loaded_exactly(which, request, tmp_path):
    result = request.getfixturevalue(which)
    out = sweeps.save_run(result, tmp_path / "run")
    assert pl.read_parquet(out / "results.parquet").equals(result.table)
    text = pl.read_csv(out / "results.csv", schema=result.table.schema)
    assert text.equals(result.table)  # decimal text, and yet every bit
    assert not [name for name in text.columns if "second" in name or "time" in name]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["sha256"] == result.data.fingerprint
    assert manifest["settings"]["seeds"] == sorted(set(result.table["seed"]))
    summary = pl.read_csv(out / "summary.csv", schema=result.summary().schema)
    assert summary.equals(result.summary())
    X = result.data.X
    for name, fitted in result.fitted.items():
        loaded = regjax.load(out, name)
        np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
        assert (loaded.lambda_, loaded.encoding) == (fitted.lambda_, fitted.encoding)
        again = regjax.load(out / "models" / f"{name}.safetensors")
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    best = min(result.best().values(), key=lambda choice: choice.mean)
    assert regjax.load(out).name == best.model


def test_a_sweep_is_reproducible_bit_for_bit(result, noisy):
    again = regjax.sweep(noisy, lambdas=LAMBDAS, seeds=4)
    assert again.table.equals(result.table)


def test_a_row_does_not_depend_on_the_other_seeds(result, noisy):
    alone = regjax.sweep(noisy, lambdas=LAMBDAS, seeds=[2])
    assert alone.table.equals(result.table.filter(pl.col("seed") == 2))


def test_a_saved_run_is_not_overwritten_by_accident(result, tmp_path):
    out = sweeps.save_run(result, tmp_path / "run")
    with pytest.raises(ValueError, match="already holds a run.*--overwrite"):
        sweeps.save_run(result, out)
    sweeps.save_run(result, out, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    for name, extra in (("foreign", {}), ("webapp", {"manifest.json": "{}"})):
        foreign = tmp_path / name
        foreign.mkdir()
        for file, text in ({"thesis.tex": "important"} | extra).items():
            (foreign / file).write_text(text)
        with pytest.raises(ValueError, match="more than a run"):
            sweeps.save_run(result, foreign, overwrite=True)
        assert (foreign / "thesis.tex").read_text() == "important"
    (out / "notes.txt").write_text("important")
    with pytest.raises(ValueError, match="more than a run"):
        sweeps.save_run(result, out, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        sweeps.save_run(result, foreign / "thesis.tex")


def test_a_failure_while_writing_leaves_the_old_run_and_nothing_else(result, tmp_path):
    out = sweeps.save_run(result, tmp_path / "run")
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def broken(result, folder):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        sweeps.save_run(result, out, overwrite=True, draw=broken)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_cannot_be_moved_in_leaves_the_old_one(result, tmp_path, monkeypatch):
    out = sweeps.save_run(result, tmp_path / "run")
    kept = (out / "manifest.json").read_bytes()
    rename = os.rename

    def stubborn(source, target):
        if ".new-" in pathlib.Path(source).name:
            raise OSError("busy")
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", stubborn)
        with pytest.raises(OSError, match="busy.*The new run is whole in"):
            sweeps.save_run(result, out, overwrite=True)
    assert (out / "manifest.json").read_bytes() == kept
    # Neither run is lost.
    (beside,) = (path for path in tmp_path.iterdir() if path != out)
    assert regjax.load(beside, "ridge").lambda_ == result.fitted["ridge"].lambda_


def test_a_run_behind_a_link_is_replaced_where_it_lies(result, tmp_path):
    out = sweeps.save_run(result, tmp_path / "run")
    (tmp_path / "link").symlink_to(out)
    sweeps.save_run(result, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert regjax.load(tmp_path / "link").name in result.entries


def path_of(result, folder):
    result.fitted["ridge"].save(folder / "whole.safetensors")
    return folder / "whole.safetensors"


def test_torn_and_foreign_model_files_are_refused(result, tmp_path):
    path = tmp_path / "model.safetensors"
    result.fitted["ridge"].save(path)
    whole = path.read_bytes()
    for content in (b"", b"not a model", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a regjax model file, or is corrupt"):
            regjax.load(path)
    for change in ({"kind": "forest"}, {"format": "other"}, {"model": {"task": 1}}, None):
        arrays = load_file(path_of(result, tmp_path))
        with safetensors.safe_open(path_of(result, tmp_path), framework="numpy") as file:
            told = json.loads(file.metadata()["regjax"])
        if change is None:
            arrays = {name: array[:1] if array.ndim else array for name, array in arrays.items()}
        text = json.dumps(told | (change or {}))
        save_file(arrays, path, {"regjax": text, "sha256": _digest(text, arrays)})
        with pytest.raises(ValueError, match="not a regjax model file, or is corrupt"):
            regjax.load(path)
    for manifest in ("[]", "{}", "torn"):
        (tmp_path / "manifest.json").write_text(manifest)
        with pytest.raises(ValueError, match="no run"):
            regjax.load(tmp_path)
    out = sweeps.save_run(result, tmp_path / "run")
    with pytest.raises(ValueError, match="no model 'mlp_l1'; it has ridge, lasso"):
        regjax.load(out, "mlp_l1")


def test_predictions_refuse_other_shapes(result):
    with pytest.raises(ValueError, match=r"\(n_rows, 30\)"):
        result.fitted["ridge"].predict(np.ones((2, 29)))
    with pytest.raises(ValueError, match="NaN"):
        result.fitted["ridge"].predict(np.full((2, 30), np.nan))
    with pytest.raises(ValueError, match="classification"):
        result.fitted["ridge"].predict_proba(np.ones((2, 30)))


@pytest.mark.slow
def test_perceptrons_keep_digits_that_float32_would_lose(noisy):
    X, y = noisy
    signal = (X[:, 0] - X[:, 0].mean()) / X[:, 0].std()
    X = np.column_stack([1.6e9 + 500 * signal, 1e25 * X[:, 1]])
    result = regjax.sweep((X, 1e9 + y), models=["mlp_decay"], lambdas=[1e-2], seeds=2, mlp=SMALL)
    assert result.table["validation_score"].mean() > 0.3
    predicted = result.fitted["mlp_decay"].predict(X)
    assert np.corrcoef(predicted, y)[0, 1] > 0.7


def test_a_single_seed_tells_no_standard_error(noisy, tmp_path):
    result = regjax.sweep(noisy, models=["ridge"], lambdas=LAMBDAS, seeds=1)
    assert result.summary()["validation_loss_se"].null_count() == len(LAMBDAS)
    assert result.choices()["lambda_1se"].to_list() == [None]
    assert result.verdicts("ridge").count("good") == 1
    with pytest.raises(ValueError, match="two seeds"):
        result.best(rule="one_standard_error")
    with pytest.raises(ValueError, match="two seeds"):
        regjax.sweep(noisy, seeds=1, rule="one_standard_error")
    sweeps.save_run(result, tmp_path / "run")


def test_edges_of_the_grid(noisy):
    X, _ = noisy
    strong = regjax.sweep(noisy, models=["ridge"], lambdas=[1e-6, 1e-5], seeds=2)
    assert strong.best()["ridge"].at_edge
    clean = (X[:, :2], X[:, 0] / X[:, 0].std() + X[:, 1] / X[:, 1].std())
    none = regjax.sweep(clean, models=["ridge"], lambdas=[0.0, 0.1, 1.0], seeds=2)
    assert none.best()["ridge"].lambda_ == 0
    assert not none.best()["ridge"].at_edge


def test_embedded_diabetes_by_name():
    result = regjax.sweep("diabetes", models=["lasso"], lambdas=[1e-2, 0.1], seeds=1)
    assert result.data.encoding.target == "progression"
    assert result.table["validation_score"][0] > 0.3


def test_constant_columns_get_the_coefficient_zero(noisy):
    X, y = noisy
    X = np.column_stack([X[:, :3], np.full(60, 0.1)])
    result = regjax.sweep((X, y), models=["ridge"], lambdas=[0.0, 0.1], seeds=2)
    assert result.fitted["ridge"].coefficients()["coefficient"][3] == 0
    assert np.isfinite(result.table["validation_loss"].to_numpy()).all()


def test_more_features_than_rows(noisy):
    X, y = noisy
    result = regjax.sweep((X[:20], y[:20]), models=["lasso"], lambdas=[0.05, 0.3], seeds=2)
    assert (result.table["status"] == "converged").all()
    assert np.isfinite(result.table["validation_loss"].to_numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ["forest"]}, "no model 'forest'; models are ridge"),
        ({"models": []}, "no model"),
        ({"lambdas": []}, "empty"),
        ({"lambdas": [-1.0]}, "at least 0"),
        ({"lambdas": [np.nan]}, "finite"),
        ({"lambdas": [0.1, 0.1]}, "twice"),
        ({"l1_ratio": 1.5}, "between 0 and 1"),
        ({"seeds": 0}, "at least one"),
        ({"seeds": [1, 1]}, "distinct"),
        ({"validation_fraction": 0.0}, "in \\(0, 1\\)"),
        ({"validation_fraction": 0.999}, "at least 2 and 1"),
        ({"rule": "best"}, "minimum"),
        ({"seeds": True}, "truth value"),
        ({"target": "y"}, "no columns to name"),
        ({"mlp": MLPOptions(epochs=0)}, "epochs must be positive"),
        ({"mlp": MLPOptions(learning_rate=-1.0)}, "learning-rate must be positive"),
    ],
)
def test_bad_arguments_are_refused_before_any_training(arguments, message, noisy, monkeypatch):
    monkeypatch.setattr("regjax.sweeps.job.run_models", None)
    with pytest.raises(ValueError, match=message):
        regjax.sweep(noisy, **arguments)


def test_bad_data_is_refused_before_any_training(noisy, monkeypatch):
    monkeypatch.setattr("regjax.sweeps.job.run_models", None)
    X, y = noisy
    frame, _ = load_dataset("diabetes")
    with pytest.raises(ValueError, match="--target"):
        regjax.sweep(frame)
    with pytest.raises(TableError, match="no column"):
        regjax.sweep(frame, "cost")
    with pytest.raises(TableError, match="constant"):
        regjax.sweep((X, np.ones(60)))
    with pytest.raises(TableError, match="Missing"):
        regjax.sweep((np.where(X > 4, np.nan, X), y))


def test_metric_names_are_checked(result):
    with pytest.raises(ValueError, match="no metric 'loss'"):
        result.best("loss")
    with pytest.raises(ValueError, match="rule"):
        result.best(rule="median")


def test_model_groups():
    assert model_names(["mlp", "ridge"]) == ["mlp_l1", "mlp_l2", "mlp_decay", "ridge"]
    assert set(model_names(["all"])) == set(sweeps.MODELS)
