"""The commands path and cv, and predictions from what they leave."""

import json
import re

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import regjax
from regjax import fits
from regjax.cli import main

N = 60


@pytest.fixture
def houses(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "area": rng.uniform(40, 200, N).round(1),
            "year": rng.integers(1900, 2020, N),
            "heating": rng.choice(["gas", "oil", "pump"], N),
            "town": rng.choice(["north", "south", "east", "west"], N),
            "weight": rng.integers(1, 4, N),
            "note": [f"house {i}" for i in range(N)],
            "floors": rng.integers(1, 4, N),
        }
    )
    price = 3 * frame["area"] + 0.5 * frame["year"] + 20 * rng.normal(size=N)
    frame = frame.with_columns(price=price)
    frame.write_csv(tmp_path / "houses.csv")
    frame.write_csv(tmp_path / "houses.tsv", separator="\t")
    frame.write_parquet(tmp_path / "houses.parquet")
    (tmp_path / "parts").mkdir()
    frame[:20].write_parquet(tmp_path / "parts" / "1.parquet")
    frame[20:].write_parquet(tmp_path / "parts" / "2.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


HOUSES = ("--target", "price", "--drop", "note", "--drop", "town", "--drop", "weight")
QUICK = ("--n-lambdas", "10", "--no-figures")
FILES = ["houses.csv", "houses.tsv", "houses.parquet", "parts"]


def test_cv_prints_and_writes_what_it_chose(houses):
    done = run("cv", "houses.csv", *HOUSES, "--folds", "4")
    assert done.exit_code == 0, done.output
    frame = pl.read_csv("houses.csv").drop("note", "town", "weight")
    fit = fits.cross_validate(fits.open_data(frame, "price"), folds=4)
    for words in (
        "60 rows, 6 features; regression of 'price'",
        "Choices by 4 folds, l1_ratio = 1",
        f"{fit.cv.lambda_:.4g}",
        f"{fit.cv.lambda_1se:.4g}",
        f"{fit.choices()['r2'][0]:.3f}",
    ):
        assert words in done.output, words
    rows = done.output.split("Chosen features")[1].splitlines()[4:]
    shown = [row.split()[0] for row in rows if row.split()]
    chosen = fit.coefficients()["feature"].to_list()[:-1]
    assert shown[: len(chosen)] == chosen
    run_folder = houses / "runs" / "houses-cv"
    assert {file.name for file in (run_folder / "figures").iterdir()} == {"path.png", "cv.png"}
    np.testing.assert_array_equal(
        regjax.load(run_folder).predict(frame), fit.fitted["minimum"].predict(frame)
    )
    assert max(map(len, done.output.splitlines())) <= 80


def test_path_prints_and_writes_its_strengths(houses):
    done = run("path", "houses.csv", *HOUSES, "--l1-ratio", "0.5")
    assert done.exit_code == 0, done.output
    strengths = pl.read_csv("runs/houses-path/strengths.csv")
    assert strengths.height == 100
    assert f"{strengths['lambda_'][0]:.3g}" in done.output
    entry = done.output.split("Features by entry")[1].splitlines()
    assert entry[4].split()[0] == "area"
    assert (houses / "runs" / "houses-path" / "figures" / "path.png").exists()
    refused = run("predict", "runs/houses-path", "houses.csv")
    assert refused.exit_code == 2
    assert "chose no model" in refused.output


@pytest.mark.parametrize("data", FILES)
@pytest.mark.parametrize("command", ["cv", "path"])
def test_any_form_of_the_table_goes_in_and_predicts(command, data, houses):
    one = ("--lambdas", "5") if command == "path" else ()
    done = run(command, data, *HOUSES, *QUICK, *one, "--out", "run")
    assert done.exit_code == 0, done.output
    model = regjax.load("run")
    frame = pl.read_csv("houses.csv")
    expected = model.predict(frame)
    for new in FILES:
        shown = run("predict", "run", new)
        assert shown.exit_code == 0, shown.output
        np.testing.assert_allclose(np.array(shown.output.split()[1:], float), expected)
    assert np.corrcoef(expected, frame["price"])[0, 1] > 0.9


def test_the_model_of_either_choice_predicts(houses):
    choose = ("--choose", "one_standard_error")
    assert run("cv", "houses.csv", *HOUSES, *QUICK, *choose, "--out", "run").exit_code == 0
    written = run("predict", "run", "houses.csv", "--out", "p.csv")
    assert "60 predictions of one_standard_error in p.csv" in written.output
    other = run("predict", "run", "houses.csv", "--out", "q.parquet", "--model", "minimum")
    assert "60 predictions of minimum in q.parquet" in other.output
    sparse, best = pl.read_csv("p.csv")["price"], pl.read_parquet("q.parquet")["price"]
    assert sparse.to_list() != best.to_list()
    file = run("predict", "run/models/minimum.safetensors", "houses.csv")
    np.testing.assert_array_equal(np.array(file.output.split()[1:], float), best)


OPTIONS = {
    "weights": ["--weight", "weight"],
    "groups": ["--groups", "town", "--folds", "4"],
    "time": ["--time-ordered"],
    "repeats": ["--repeats", "2", "--seed", "7"],
    "mixes": ["--l1-ratio", "0.1,0.9"],
    "ridge": ["--l1-ratio", "0"],
    "raw": ["--no-standardize"],
    "signs": ["--positive"],
    "grid": ["--lambdas", "1e-2:10:4"],
    "least squares too": ["--lambdas", "0,1"],
}


@pytest.mark.parametrize("case", OPTIONS, ids=str)
def test_every_option_changes_the_fit(case, houses):
    frame = ("--target", "price", "--drop", "note")
    plain = run("cv", "houses.csv", *frame, *QUICK, "--out", "plain")
    done = run("cv", "houses.csv", *frame, *QUICK, *OPTIONS[case], "--out", "run")
    assert plain.exit_code == done.exit_code == 0, done.output
    errors = [pl.read_csv(f"{folder}/cv.csv") for folder in ("plain", "run")]
    assert not errors[0].equals(errors[1])


def test_integers_that_look_like_classes_are_quantities_if_told(houses):
    arguments = ("houses.csv", "--target", "floors", "--drop", "note", *QUICK, "--out", "run")
    refused = run("cv", *arguments)
    assert refused.exit_code == 2
    assert "--task regression" in refused.output
    assert run("cv", *arguments, "--task", "regression").exit_code == 0


def test_no_feature_is_said_to_be_none(houses):
    rng = np.random.default_rng(1)
    pl.DataFrame(rng.normal(size=(40, 3)), schema=["a", "b", "y"]).write_csv("noise.csv")
    done = run("cv", "noise.csv", "--target", "y", "--choose", "one_standard_error", *QUICK)
    assert done.exit_code == 0, done.output
    empty = run("cv", "noise.csv", "--target", "y", "--lambdas", "100", "--out", "o")
    assert "nothing predicts better than the mean" in empty.output


def test_many_features_are_counted_and_not_shown(houses):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 40))
    names = [f"x{j}" for j in range(40)]
    pl.DataFrame(X, schema=names).with_columns(y=pl.Series(X.sum(axis=1))).write_csv("wide.csv")
    done = run("path", "wide.csv", "--target", "y", *QUICK)
    assert "20 more are in the folder's tables." in done.output


def test_names_are_taken_as_they_are(houses):
    names = {"area": "[red]area", "year": "$year$", "floors": "面積", "heating": "a=b"}
    pl.read_csv("houses.csv").rename(names).write_csv("[odd].csv")
    done = run("cv", "[odd].csv", *HOUSES)
    assert done.exit_code == 0, done.output
    for words in ("[odd].csv", "[red]area", "$year$", "the font of the figures lacks"):
        assert words in done.output, words
    assert "[red]area" in pl.read_csv("runs/[odd]-cv/coefficients.csv", glob=False)["feature"]
    assert run("predict", "runs/[odd]-cv", "[odd].csv").exit_code == 0
    (houses / "[parts]").mkdir()
    pl.read_csv("[odd].csv", glob=False).write_parquet("[parts]/[1].parquet")
    assert run("path", "[parts]", *HOUSES, *QUICK).exit_code == 0
    assert run("cv", "[parts]/[1].parquet", *HOUSES, *QUICK).exit_code == 0
    assert run("predict", "runs/[odd]-cv", "[parts]").exit_code == 0


FAULTS = {
    "text target": (["cv", "houses.csv", "--target", "heating", "--drop", "note"], "regjax sweep"),
    "unknown target": (["path", "houses.csv", "--target", "cost"], "no column 'cost'"),
    "no target": (["cv", "houses.csv"], "--target"),
    "no target of parts": (["cv", "parts"], "--target"),
    "identifier": (["path", "houses.csv", "--target", "price"], "'note'.*--drop NAME"),
    "no file": (["cv", "hauses.csv", "--target", "price"], "no file 'hauses.csv'"),
    "no parquet": (["cv", "empty", "--target", "price"], "no Parquet file"),
    "weight": (["cv", "houses.csv", *HOUSES, "--weight", "mass"], "no column 'mass'"),
    "weight dropped": (["cv", "houses.csv", *HOUSES, "--weight", "weight"], "must be different"),
    "groups of parts": (["cv", "parts", *HOUSES, "--groups", "town"], "one file"),
    "repeats of parts": (["cv", "parts", *HOUSES, "--repeats", "2"], "one file"),
    "folds": (["cv", "houses.csv", *HOUSES, "--folds", "61"], "between 2"),
    "one fold": (["cv", "houses.csv", *HOUSES, "--folds", "1"], "folds must be at least 2"),
    "folds of parts": (["cv", "parts", *HOUSES, "--folds", "1"], "at least 2"),
    "repeats": (["cv", "houses.csv", *HOUSES, "--repeats", "0"], "at least 1"),
    "seed": (["cv", "houses.csv", *HOUSES, "--seed", "-1"], "seed|non-negative"),
    "mixes": (["cv", "houses.csv", *HOUSES, "--l1-ratio", "a,b"], "takes numbers"),
    "mix": (["cv", "houses.csv", *HOUSES, "--l1-ratio", "2"], "between 0 and 1"),
    "mix of a path": (["path", "houses.csv", *HOUSES, "--l1-ratio", "-1"], "between 0 and 1"),
    "negative": (["path", "houses.csv", *HOUSES, "--lambdas", "-1"], "at least 0"),
    "grid": (["path", "houses.csv", *HOUSES, "--lambdas", "many"], "no grid"),
    "no strengths": (["path", "houses.csv", *HOUSES, "--n-lambdas", "0"], "at least 1"),
    "too many": (["path", "houses.csv", *HOUSES, "--n-lambdas", "1000000000000"], "at most 10000"),
    "zero in bounds": (
        ["path", "houses.csv", *HOUSES, "--lambdas", "0,1", "--positive"],
        "very small lambda",
    ),
    "occupied": (["cv", "houses.csv", *HOUSES, "--out", "."], "not empty"),
    "out is a file": (["path", "houses.csv", *HOUSES, "--out", "houses.csv"], "is a file"),
    "no run": (["predict", "empty", "houses.csv"], "no run"),
    "no such run": (["predict", "nowhere", "houses.csv"], "no run"),
    "no model file": (["predict", "houses.csv", "houses.csv"], "not a regjax model file"),
    "no data": (["predict", "run", "nowhere.csv"], "no file"),
    "data of none": (["predict", "run", "empty"], "no Parquet file"),
    "unknown model": (["predict", "run", "houses.csv", "--model", "lasso"], "it has minimum, one"),
    "narrow": (["predict", "run", "narrow.csv"], "lacks the column.s. 'area'; it has 'year'"),
    "narrow parts": (["predict", "run", "narrow"], "lacks the column.s. 'area', 'year'"),
    "other types": (["predict", "run", "typed.csv"], "'area' holds '.*' in data row 1, where"),
    "other levels": (["predict", "run", "levels.csv"], "'coal'.*never seen"),
    "gaps": (
        ["predict", "run", "gaps.csv"],
        r"column.s. 'area' \(1\), .*: leave such rows out \(--drop-missing\), or fill",
    ),
}


@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_faults_end_with_one_line_and_code_2_and_write_nothing(case, houses):
    arguments, message = FAULTS[case]
    (houses / "empty").mkdir()
    if arguments[0] == "predict":
        frame = pl.read_csv("houses.csv")
        table = fits.open_data(frame, "price", drop=["note", "town", "weight"])
        fits.save_fit(fits.cross_validate(table, n_lambdas=5), "run")
        frame.drop("area").write_csv("narrow.csv")
        (houses / "narrow").mkdir()
        frame.drop("area", "year").write_parquet("narrow/1.parquet")
        frame.with_columns(area=pl.lit("wide")).write_csv("typed.csv")
        frame.with_columns(heating=pl.lit("coal")).write_csv("levels.csv")
        gap = pl.when(pl.int_range(N) == 3).then(None).otherwise(pl.col("area"))
        frame.with_columns(area=gap).write_csv("gaps.csv")
    before = sorted(houses.rglob("*"))
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    errors = [line for line in done.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors
    assert sorted(houses.rglob("*")) == before


def test_help_names_every_command():
    shown = run("--help").output
    for command in ("cv", "path", "predict", "sweep"):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE)
        assert run(command, "--help").exit_code == 0


def test_every_command_takes_the_options_of_reading_and_predict_repeats_them(houses):
    frame = pl.read_csv("houses.csv").select("area", "town", "price")
    gap = pl.when(pl.int_range(N) % 20 == 7).then(None).otherwise(pl.col("area"))
    text = frame.with_columns(area=gap, code=pl.int_range(N) % 3).with_columns(
        pl.col("area", "price").cast(pl.String).str.replace(".", ",", literal=True)
    )
    text.with_columns(pl.concat_str("area", pl.lit(" m²"))).write_csv("given.csv", separator="|")
    options = ("--separator", "|", "--decimal", ",", "--unit", "m²", "--categorical", "code")
    target = ("--target", "price", "--drop-missing", "--no-figures")
    small = {"sweep": ("--models", "lasso", "--lambdas", "0.1", "--seeds", "1")}
    for command in ("cv", "path", "sweep"):
        strength = small.get(command, ("--lambdas", "1"))
        done = run(command, "given.csv", *target, *options, *strength, "--out", command)
        assert done.exit_code == 0, done.output
        assert "3 of 60 rows miss values and are left out." in " ".join(done.output.split())
        manifest = json.loads((houses / command / "manifest.json").read_text())
        kept = manifest["data"]["read_options"]
        assert (kept["decimal"], kept["units"], kept["categorical"]) == (",", ["m²"], ["code"])
        refused = run("predict", command, "given.csv")
        assert refused.exit_code == 2
        assert "Missing values in column(s) 'area' (3), the first in data row 8" in refused.stderr
        found = run("predict", command, "given.csv", "--drop-missing")
        assert found.exit_code == 0, found.output
        assert "3 of 60 rows miss values and are left out." in found.stderr
        assert len(found.stdout.splitlines()) == 58
        text.drop_nulls().write_csv("points.csv", separator="|")
        plain = run("predict", command, "points.csv")
        assert plain.stdout == found.stdout
    bad = text.drop_nulls().with_columns(area=pl.lit("1.5"))
    bad.write_csv("bad.csv", separator="|")
    refused = run("predict", "cv", "bad.csv")
    assert "'area' holds '1.5' in data row 1, where the model takes numbers" in refused.stderr
    assert run("predict", "cv", "bad.csv", "--decimal", ".").exit_code == 0
    assert "said of text files" in run("predict", "cv", "houses.parquet", *options[:2]).stderr
    assert "--decimal" in run("cv", "given.csv", *target, "--decimal", ";").stderr
    assert "which is missing" in run("sweep", *options[:2]).stderr
