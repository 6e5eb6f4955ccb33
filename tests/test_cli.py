"""The command line, as a user types it."""

import hashlib
import json
import re

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from quick import quick

from regjax.cli import main


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    n = 60
    frame = pl.DataFrame(
        {
            "area": rng.uniform(40, 200, n).round(1),
            "year": rng.integers(1900, 2020, n),
            "heating": rng.choice(["gas", "oil", "pump"], n),
            "note": [f"house {i}" for i in range(n)],
        }
    )
    pump = (frame["heating"] == "pump").cast(pl.Int64)
    price = 3 * frame["area"] + 0.5 * frame["year"] + 40 * pump
    frame = frame.with_columns(price=price + 20 * rng.normal(size=n))
    frame.write_csv(tmp_path / "houses.csv")
    return tmp_path


def run(*arguments, cwd=None):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


SWEEP = ("--target", "price", "--drop", "note", "--lambdas", "1e-3:1:4", "--seeds", "2")


def test_sweep_then_predict(houses, monkeypatch):
    monkeypatch.chdir(houses)
    done = run("sweep", "houses.csv", *SWEEP, "--out", "run")
    assert done.exit_code == 0, done.output
    assert "60 rows, 5 features; regression of 'price'" in done.output
    assert "Chosen lambda per model" in done.output
    for name in ("ridge", "lasso", "elastic_net"):
        assert (houses / "run" / "models" / f"{name}.safetensors").exists()
    coefficients = pl.read_csv("run/coefficients_lasso.csv")
    by_name = dict(zip(coefficients["feature"], coefficients["coefficient"], strict=True))
    assert by_name["area"] == pytest.approx(3, abs=0.3)
    assert len(list((houses / "run" / "figures").iterdir())) == 5
    manifest = json.loads((houses / "run" / "manifest.json").read_text())
    assert manifest["data"]["target"] == "price"
    digest = hashlib.sha256((houses / "houses.csv").read_bytes()).hexdigest()
    source = {"name": "houses.csv", "file_sha256": digest, "drop": ["note"]}
    assert manifest["data"]["source"] == source

    shown = run("predict", "run", "houses.csv")
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert lines[0] == "price"
    written = run("predict", "run", "houses.csv", "--model", "ridge", "--out", "p.parquet")
    assert "60 predictions of ridge" in written.output
    price = pl.read_csv("houses.csv")["price"]
    for predictions in (np.array(lines[1:], float), pl.read_parquet("p.parquet")["price"]):
        assert np.corrcoef(predictions, price)[0, 1] > 0.95


def test_text_target_means_classification(houses, monkeypatch):
    monkeypatch.chdir(houses)
    arguments = ("--target", "heating", "--drop", "note", "--models", "ridge")
    arguments += ("--lambdas", "0.1", "--seeds", "1", "--no-figures")
    done = run("sweep", "houses.csv", *arguments)
    assert done.exit_code == 0, done.output
    assert "classification of 'heating'" in done.output
    shown = run("predict", "runs/houses", "houses.csv").output.split()
    assert set(shown[1:]) <= {"gas", "oil", "pump"}


def test_an_embedded_data_set_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("sweep", "diabetes", "--lambdas", "classic", "--seeds", "1", "--no-figures")
    assert done.exit_code == 0, done.output
    table = pl.read_csv("runs/diabetes/results.csv")
    assert table["lambda_"].unique().sort().to_list() == [1e-4, 1e-3, 1e-2, 0.1, 1.0]
    assert not (tmp_path / "runs" / "diabetes" / "figures").exists()


FAULTS = {
    "no target": (["sweep", "houses.csv"], "--target"),
    "unknown target": (["sweep", "houses.csv", "--target", "cost"], "no column 'cost'"),
    "identifier": (["sweep", "houses.csv", "--target", "price"], "'note'.*--drop NAME"),
    "no file": (["sweep", "hauses.csv", "--target", "price"], "no file 'hauses.csv'"),
    "not a table": (["sweep", "text.csv", "--target", "price"], "cannot be read"),
    "target dropped": (["sweep", "houses.csv", *SWEEP, "--drop", "price"], "cannot be dropped"),
    "folder": (["sweep", ".", "--target", "price"], "folder"),
    "target without data": (["sweep", "--target", "price"], "missing"),
    "negative": (["sweep", "houses.csv", *SWEEP, "--lambdas", "-1"], "at least 0"),
    "NaN": (["sweep", "houses.csv", *SWEEP, "--lambdas", "nan"], "finite"),
    "no grid": (["sweep", "houses.csv", *SWEEP, "--lambdas", "many"], "no grid"),
    "empty grid": (["sweep", "houses.csv", *SWEEP, "--lambdas", ","], "empty"),
    "l1_ratio": (["sweep", "houses.csv", *SWEEP, "--l1-ratio", "2"], "between 0 and 1"),
    "seeds": (["sweep", "houses.csv", *SWEEP, "--seeds", "0"], "seeds must be at least 1"),
    "validation": (["sweep", "houses.csv", *SWEEP, "--validation", "1"], "validation"),
    "model": (["sweep", "houses.csv", *SWEEP, "--models", "forest"], "no model 'forest'"),
    "epochs": (["sweep", "houses.csv", *SWEEP, "--epochs", "0"], "epochs must be at least 1"),
    "no run": (["predict", ".", "houses.csv"], "no run"),
    "occupied": (["sweep", "houses.csv", *SWEEP, "--out", "."], "not empty"),
    "out is a file": (["sweep", "houses.csv", *SWEEP, "--out", "text.csv"], "is a file"),
}


@pytest.mark.parametrize("case", FAULTS, ids=str)
def test_faults_end_with_one_line_and_code_2_and_write_nothing(case, houses, monkeypatch):
    monkeypatch.chdir(houses)
    (houses / "text.csv").write_bytes(b"price,area\n1,caf\xe9\n2,bar\n")
    before = sorted(houses.rglob("*"))
    arguments, message = FAULTS[case]
    done = run(*arguments)
    assert done.exit_code == 2
    errors = [line for line in done.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert re.search(message, errors[0]), errors
    assert sorted(houses.rglob("*")) == before


def test_a_second_run_needs_overwrite(houses, monkeypatch):
    monkeypatch.chdir(houses)
    quick = ("sweep", "houses.csv", *SWEEP, "--models", "ridge", "--no-figures", "--out", "run")
    assert run(*quick).exit_code == 0
    kept = (houses / "run" / "results.csv").read_bytes()
    refused = run(*quick)
    assert refused.exit_code == 2
    assert "already holds a run" in refused.output
    assert (houses / "run" / "results.csv").read_bytes() == kept
    assert run(*quick, "--overwrite").exit_code == 0
    assert (houses / "run" / "results.csv").read_bytes() == kept


def test_predictions_replace_no_file_by_accident(houses, monkeypatch):
    monkeypatch.chdir(houses)
    run("sweep", "houses.csv", *SWEEP, "--models", "ridge", "--no-figures", "--out", "run")
    before = (houses / "houses.csv").read_bytes()
    for more in ((), ("--overwrite",)):
        done = run("predict", "run", "houses.csv", "--out", "houses.csv", *more)
        assert done.exit_code == 2
        assert "exists already" in done.output
    assert (houses / "houses.csv").read_bytes() == before
    assert run("predict", "run", "houses.csv", "--out", "new/p.csv").exit_code == 0
    assert run("predict", "run", "houses.csv", "--out", "new/p.csv").exit_code == 2
    assert run("predict", "run", "houses.csv", "--out", "new/p.csv", "--overwrite").exit_code == 0
    assert "must end in" in run("predict", "run", "houses.csv", "--out", "p.txt").output


@pytest.mark.parametrize("grid", quick(["0", "0.1"], "0"))
def test_grids_of_one_strength_or_none_above_zero(houses, monkeypatch, grid):
    monkeypatch.chdir(houses)
    arguments = ("--target", "price", "--drop", "note", "--seeds", "1", "--lambdas", grid)
    assert run("sweep", "houses.csv", *arguments, "--out", "run").exit_code == 0
    figures = {path.stem for path in (houses / "run" / "figures").iterdir()}
    assert ("loss_over_lambda" in figures) == (grid != "0")


def test_predict_names_wrong_columns(houses, monkeypatch):
    monkeypatch.chdir(houses)
    run("sweep", "houses.csv", *SWEEP, "--models", "ridge", "--no-figures", "--out", "run")
    pl.read_csv("houses.csv").drop("area").write_csv("narrow.csv")
    done = run("predict", "run", "narrow.csv")
    assert done.exit_code == 2
    assert "lacks the column(s) 'area'" in done.output
