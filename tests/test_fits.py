"""Paths and cross-validation of tables: the numbers of `regjax.paths`, under the columns' names."""

import hashlib
import json

import numpy as np
import polars as pl
import pytest

import regjax
from regjax import fits
from regjax.paths import k_folds, time_ordered_folds
from regjax.tables import TableError

N = 90


def houses():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "area": rng.uniform(40, 200, N),
            "year": rng.integers(1900, 2020, N),
            "heating": rng.choice(["gas", "oil", "pump"], N),
            "noise": rng.normal(size=N) * 1e-3,
            "flat": np.full(N, 7.3),
            "weight": rng.integers(0, 4, N),
            "town": rng.choice([f"town {i}" for i in range(9)], N),
        }
    )
    pump = (frame["heating"] == "pump").cast(pl.Int64)
    price = 3 * frame["area"] + 0.5 * frame["year"] + 40 * pump
    return frame.with_columns(price=price + 20 * rng.normal(size=N))


FRAME = houses()
PLAIN = {"drop": ["weight", "town"]}
ROLES = {"weight": "weight", "groups": "town"}


def write_parts(folder):
    for i, part in enumerate((FRAME[:30], FRAME[30:35], FRAME[35:])):
        part.write_parquet(folder / f"{i}.parquet")
    return folder


def weighted_moments(table):
    w = np.ones(len(table.y)) if table.sample_weight is None else table.sample_weight
    mean = w @ table.X / w.sum()
    deviation = np.sqrt(w @ np.square(table.X - mean) / w.sum())
    y_mean = w @ table.y / w.sum()
    return w, mean, deviation, w @ np.square(table.y - y_mean) / w.sum()


@pytest.mark.parametrize("roles", [PLAIN, ROLES], ids=["plain", "weights and groups"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_fit_is_the_path_of_its_matrix_under_the_names_of_its_columns(
    roles, l1_ratio, standardize
):
    table = fits.open_data(FRAME, "price", **roles)
    settings = {"l1_ratio": l1_ratio, "standardize": standardize, "n_lambdas": 7}
    fit = fits.fit_path(table, **settings)
    path = regjax.elastic_net_path(table.X, table.y, sample_weight=table.sample_weight, **settings)
    names = ("area", "year", "heating=gas", "heating=oil", "heating=pump", "noise", "flat")
    assert fit.path.feature_names == names
    np.testing.assert_array_equal(fit.path.coef, path.coef)
    w, mean, deviation, variance = weighted_moments(table)
    np.testing.assert_allclose(fit.mean, mean)
    np.testing.assert_allclose(fit.scale[:-1], deviation[:-1], rtol=1e-10)
    assert fit.scale[-1] == 0
    squares = np.square(table.y - path.predict(table.X)) @ w / w.sum()
    np.testing.assert_allclose(fit.r2, 1 - squares / variance, atol=1e-12)
    strengths = fit.strengths()
    assert strengths["nonzeros"].to_list() == [np.count_nonzero(row) for row in path.coef]
    assert fit.fitted == {}


@pytest.mark.parametrize("rule", ["minimum", "one_standard_error"])
@pytest.mark.parametrize(
    ("roles", "settings"),
    [
        (PLAIN, {"folds": 4, "seed": 3}),
        (PLAIN, {"folds": 3, "repeats": 2}),
        (PLAIN, {"folds": 3, "time_ordered": True}),
        (ROLES, {"folds": 4, "l1_ratio": [0.2, 1.0]}),
    ],
    ids=["folds", "repeated", "time", "groups, mixes"],
)
def test_a_cross_validation_is_that_of_its_matrix(roles, settings, rule):
    table = fits.open_data(FRAME, "price", **roles)
    fit = fits.cross_validate(table, n_lambdas=20, rule=rule, **settings)
    if settings.get("time_ordered"):
        splits = time_ordered_folds(N, 3)
    else:
        asked = {name: settings[name] for name in ("repeats", "seed") if name in settings}
        splits = k_folds(N, settings["folds"], groups=table.groups, **asked)
    cv = regjax.elastic_net_cv(
        table.X,
        table.y,
        folds=splits,
        l1_ratio=settings.get("l1_ratio", 1.0),
        n_lambdas=20,
        sample_weight=table.sample_weight,
        standardize=True,
    )
    np.testing.assert_array_equal(fit.cv.fold_errors, cv.fold_errors)
    choices = fit.choices()
    assert choices["lambda_"].to_list() == [cv.lambda_, cv.lambda_1se]
    assert choices["nonzeros"].to_list() == [np.count_nonzero(c) for c in (cv.coef, cv.coef_1se)]
    assert choices["is_chosen"].to_list() == [rule == "minimum", rule != "minimum"]
    *_, variance = weighted_moments(table)
    np.testing.assert_allclose(choices["r2"], 1 - choices["mean_error"] / variance)
    assert choices["mean_error"][0] == cv.mean_error.min()
    np.testing.assert_allclose(fit.fitted["minimum"].predict(FRAME), cv.predict(table.X))
    sparse = table.X @ cv.coef_1se + cv.intercept_1se
    np.testing.assert_allclose(fit.fitted["one_standard_error"].predict(FRAME), sparse)
    errors = fit.errors()
    assert errors.height == cv.mean_error.size
    np.testing.assert_array_equal(errors["mean_error"], cv.mean_error.ravel())
    by_fold = np.stack([errors[f"fold_{k + 1}"] for k in range(len(splits))])
    np.testing.assert_allclose(by_fold.mean(axis=0), errors["mean_error"])
    counted = errors.filter(errors["l1_ratio"] == cv.l1_ratio)["nonzeros"]
    assert counted.to_list() == np.count_nonzero(cv.path.coef, axis=1).tolist()


def test_groups_stay_together_and_roles_are_no_features():
    table = fits.open_data(FRAME, "price", **ROLES)
    assert not {"weight", "town"} & set(table.encoding.feature_names)
    np.testing.assert_array_equal(table.sample_weight, FRAME["weight"].to_numpy())
    assert table.groups.tolist() == FRAME["town"].to_list()
    assert fits.cross_validate(table, folds=9, n_lambdas=3).cv.fold_errors.shape[1] == 9
    with pytest.raises(ValueError, match="number of groups, 9"):
        fits.cross_validate(table, folds=10)


def test_chosen_features_stand_largest_first_in_both_units():
    fit = fits.cross_validate(fits.open_data(FRAME, "price", **PLAIN))
    table, cv = fit.coefficients(), fit.cv
    assert table["feature"][-1] == "(intercept)"
    rows = {row["feature"]: row for row in table.to_dicts()}
    size = np.abs([row["minimum_per_standard_deviation"] for row in table.to_dicts()[:-1]])
    assert (np.diff(size) <= 0).all()
    for j, name in enumerate(fit.path.feature_names):
        if cv.coef[j] == 0 == cv.coef_1se[j]:
            assert name not in rows
            continue
        assert rows[name]["minimum"] == pytest.approx(cv.coef[j])
        assert rows[name]["one_standard_error"] == pytest.approx(cv.coef_1se[j])
        scaled = cv.coef_1se[j] * fit.scale[j]
        assert rows[name]["one_standard_error_per_standard_deviation"] == pytest.approx(scaled)
    assert rows["(intercept)"]["minimum"] == pytest.approx(cv.intercept)
    assert "flat" not in rows


def test_a_folder_of_parquet_files_gives_the_same_fit_as_the_table(tmp_path):
    parts = write_parts(tmp_path)
    roles = {"weight": "weight", "drop": ["town"]}
    stream, table = (fits.open_data(data, "price", **roles) for data in (parts, FRAME))
    streamed, whole = fits.fit_path(stream, n_lambdas=9), fits.fit_path(table, n_lambdas=9)
    np.testing.assert_allclose(streamed.path.lambdas, whole.path.lambdas)
    np.testing.assert_allclose(streamed.path.coef, whole.path.coef, atol=1e-5)
    np.testing.assert_allclose(streamed.r2, whole.r2, atol=1e-8)
    np.testing.assert_allclose(streamed.scale, whole.scale, rtol=1e-8)
    assert streamed.path.feature_names == whole.path.feature_names
    cv = fits.cross_validate(stream, n_lambdas=9, folds=3, seed=1)
    again = fits.cross_validate(stream, n_lambdas=9, folds=3, seed=1)
    np.testing.assert_array_equal(cv.cv.fold_errors, again.cv.fold_errors)
    other = fits.cross_validate(stream, n_lambdas=9, folds=3, seed=2)
    assert (cv.cv.fold_errors != other.cv.fold_errors).any()
    np.testing.assert_allclose(cv.path.coef, whole.path.coef, atol=1e-5)
    expected = cv.cv.coef @ table.X.T + cv.cv.intercept
    np.testing.assert_allclose(cv.fitted["minimum"].predict(FRAME), expected)


@pytest.mark.parametrize("kind", ["path", "one strength", "cv", "streamed cv"])
def test_a_fit_is_saved_and_loaded(kind, tmp_path):
    table = fits.open_data(FRAME, "price", **PLAIN)
    if kind == "path":
        fit = fits.fit_path(table, n_lambdas=5)
    elif kind == "one strength":
        fit = fits.fit_path(table, lambdas=[2.0])
    else:
        (tmp_path / "data").mkdir()
        where = write_parts(tmp_path / "data") if kind == "streamed cv" else FRAME
        fit = fits.cross_validate(
            fits.open_data(where, "price", **PLAIN), rule="one_standard_error"
        )

    def draw(drawn, folder):
        assert drawn is fit
        (folder / "path.png").write_bytes(b"picture")

    out = fits.save_fit(fit, tmp_path / "run", draw=draw)
    tables = {"path": {"strengths"}, "one strength": {"strengths"}}
    tables = {"path"} | tables.get(kind, {"cv", "choices", "coefficients"})
    assert {file.stem for file in out.glob("*.csv")} == tables
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["n_samples"] == N
    assert manifest["data"]["sha256"] == fit.data.fingerprint
    assert manifest["settings"]["standardize"] is True
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(manifest["files"]) | {"manifest.json"} == found
    assert list(manifest["files"]) == sorted(manifest["files"])
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest

    path = pl.read_csv(out / "path.csv")
    row = path.filter((path["feature"] == "area") & (path["lambda_"] == fit.path.lambdas[-1]))
    assert row["coefficient"].item() == fit.path.coef[-1, 0]
    assert row["per_standard_deviation"].item() == fit.path.coef[-1, 0] * fit.scale[0]
    assert path.filter(path["feature"] != "(intercept)").height == np.count_nonzero(fit.path.coef)
    start = path.filter(path["feature"] == "(intercept)")
    np.testing.assert_array_equal(start["coefficient"], fit.path.intercept)
    # Per standard deviation the intercept is the prediction at the means of the features.
    at_mean = fit.path.predict(fit.mean[None])[:, 0]
    np.testing.assert_allclose(start["per_standard_deviation"], at_mean)

    if kind == "path":
        with pytest.raises(ValueError, match="chose no model: run regjax cv"):
            regjax.load(out)
    else:
        default = fit.fitted["path" if kind == "one strength" else "one_standard_error"]
        for name, model in {None: default, **fit.fitted}.items():
            loaded = regjax.load(out, name)
            np.testing.assert_array_equal(loaded.predict(FRAME), model.predict(FRAME))
            assert loaded.lambda_ == model.lambda_
        with pytest.raises(ValueError, match="no model 'lasso'; it has"):
            regjax.load(out, "lasso")
        file = next((out / "models").iterdir())
        with pytest.raises(ValueError, match="single model"):
            regjax.load(file, "minimum")
    with pytest.raises(ValueError, match="already holds a run"):
        fits.save_fit(fit, out)
    fits.save_fit(fit, out, overwrite=True)
    written = (out / "manifest.json").read_text()
    (out / "manifest.json").write_text(json.dumps({"format": "regjax-run-1"}))
    with pytest.raises(ValueError, match="older version: remove it"):
        fits.save_fit(fit, out, overwrite=True)
    (out / "manifest.json").write_text(written)
    (out / "mine.txt").write_text("important")
    with pytest.raises(ValueError, match="more than a run"):
        fits.save_fit(fit, out, overwrite=True)


FAULTS = {
    "text target": ({"target": "heating"}, {}, "'gas', 'oil', 'pump'.*use regjax sweep\\.$"),
    "classes": ({"target": "year4"}, {}, "or --task regression if these are quantities"),
    "no target": ({}, {}, "Name the column to predict"),
    "weights of text": ({"target": "price", "weight": "town"}, {}, "instead of numbers"),
    "negative weights": ({"target": "price", "weight": "noise"}, {}, "at least 0"),
    "no weight": ({"target": "price", "weight": "zero"}, {}, "all 0"),
    "one role twice": ({"target": "price", "weight": "town", "groups": "town"}, {}, "different"),
    "unknown groups": ({"target": "price", "groups": "city"}, {}, "no column 'city'"),
    "folds": ({"target": "price"}, {"folds": 1}, "between 2 and the number of rows"),
    "rule": ({"target": "price"}, {"rule": "best"}, "one_standard_error"),
    "two orders": ({"target": "price", "groups": "town"}, {"time_ordered": True}, "no groups"),
    "light fold": ({"target": "price", "weight": "first"}, {}, "weight 0"),
}


@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_what_cannot_be_used_is_refused(case):
    frame = FRAME.with_columns(
        year4=FRAME["year"] % 4, zero=pl.lit(0), first=(pl.int_range(N) == 0).cast(pl.Int8)
    )
    names, settings, message = FAULTS[case]
    with pytest.raises(ValueError, match=message):
        fits.cross_validate(fits.open_data(frame, **names), **settings)


def test_one_column_too_large_to_be_squared_is_refused(tmp_path):
    frame = FRAME.with_columns(area=FRAME["area"] * 1e300)
    frame.write_parquet(tmp_path / "houses.parquet")
    for data in (frame, tmp_path):
        with pytest.raises(ValueError, match=r"large.* to be squared"):
            fits.cross_validate(fits.open_data(data, target="price", **PLAIN))


STREAM_FAULTS = {
    "groups": ({"groups": "town"}, {}, "Groups need the rows in memory"),
    "repeats": (PLAIN, {"repeats": 2}, "need the rows in memory"),
    "time": (PLAIN, {"time_ordered": True}, "need the rows in memory"),
    "text target": ({"target": "heating"}, {}, "instead of numbers"),
    "constant target": ({"target": "flat", **PLAIN}, {}, "constant"),
}


@pytest.mark.parametrize("case", STREAM_FAULTS, ids=str)
def test_what_a_stream_cannot_do_is_refused(case, tmp_path):
    names, settings, message = STREAM_FAULTS[case]
    parts = write_parts(tmp_path)

    def fit():
        fits.cross_validate(fits.open_data(parts, **{"target": "price"} | names), **settings)

    with pytest.raises(ValueError, match=message):
        fit()


def test_a_stream_needs_a_target_and_features_of_different_names(tmp_path):
    with pytest.raises(TableError, match="--target"):
        fits.open_data(write_parts(tmp_path))
    pl.DataFrame({"a": ["x", "y", "z"], "a=x": [1, 2, 3], "y": [1, 2, 4]}).write_parquet(
        tmp_path / "one.parquet"
    )
    (tmp_path / "twice").mkdir()
    (tmp_path / "one.parquet").rename(tmp_path / "twice" / "one.parquet")
    with pytest.raises(TableError, match="Several features are named 'a=x'"):
        fits.open_data(tmp_path / "twice", "y")


def test_signs_can_be_kept_and_sweeps_refuse_weights():
    table = fits.open_data(FRAME.with_columns(-FRAME["area"]), "price", **PLAIN)
    assert (fits.fit_path(table, positive=True).path.coef >= 0).all()
    assert (fits.fit_path(table).path.coef < 0).any()
    with pytest.raises(ValueError, match="no weights and no groups"):
        regjax.sweep(fits.open_data(FRAME, "price", **ROLES))


def test_an_edge_is_told_only_where_smaller_strengths_could_help():
    table = fits.open_data(FRAME, "price", **PLAIN)
    assert fits.cross_validate(table, lambdas=[50.0, 10.0]).at_edge
    assert not fits.cross_validate(table, lambdas=[50.0, 0.0]).at_edge
    assert not fits.cross_validate(table, lambdas=[10.0]).at_edge
