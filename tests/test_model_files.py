"""Model files and folders of runs that come from anywhere, and the commands that read them."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import safetensors
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import regjax
from regjax import fits
from regjax.cli import main
from regjax.sweeps.fitted import FittedModel, _digest
from regjax.sweeps.least_squares import LeastSquaresModel
from regjax.sweeps.model import Conditioning, Scaler
from regjax.sweeps.softmax import SoftmaxModel
from regjax.tables import encode_table

RNG = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {
        "area": RNG.uniform(40, 120, 30),
        "heat": RNG.choice(["gas", "oil", "pump"], 30),
        "price": RNG.normal(size=30),
        "town": ["a", "b", "c"] * 10,
    }
)
X = np.array([[50.0, 1, 0, 0], [80.0, 0, 1, 0], [65.0, 0, 0, 1]])


def model_of(target):
    encoding = encode_table(FRAME.select("area", "heat", target), target).encoding
    scaler = Scaler(np.array([60.0, 0.3, 0.3, 0.4]), np.array([9.0, 0.5, 0.5, np.inf]))
    conditioning = Conditioning(np.zeros(4), np.ones(4), np.zeros(()), np.ones(()))
    if target == "price":
        params = {"scaler": scaler, "weights": RNG.normal(size=4)}
        params |= {"y_mean": np.array(3.0), "y_scale": np.array(2.0)}
        model = LeastSquaresModel()
    else:
        model = SoftmaxModel("classification", 3)
        params = {"scaler": scaler, "weights": RNG.normal(size=(4, 3)), "intercept": np.ones(3)}
    return FittedModel("lasso", 0.1, model, params, conditioning, encoding)


MODELS = {target: model_of(target) for target in ("price", "town")}


def damaged(data, n, seed):
    """Yield the bytes with one bit flipped, and cut."""
    rng = np.random.default_rng(seed)
    for place in rng.integers(len(data), size=n):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        yield bytes(flipped)
    for part in rng.integers(len(data), size=n // 10):
        yield data[:part]


def check_damage(folder, target, n, seed):
    """Damage a model file; return how often that was refused, and how often it did no harm."""
    path, fitted = folder / "model.safetensors", MODELS[target]
    fitted.save(path)
    expected, refused, same = fitted.predict(X), 0, 0
    for data in damaged(path.read_bytes(), n, seed):
        path.write_bytes(data)
        try:
            loaded = regjax.load(path)
        except ValueError as error:
            refused += "model.safetensors' is not a regjax model file, or is corrupt" in str(error)
            continue
        np.testing.assert_array_equal(loaded.predict(X), expected)
        same += 1
    assert refused + same == n + n // 10
    return same


@pytest.mark.parametrize("target", MODELS)
def test_a_model_with_a_bit_flipped_or_cut_is_refused_or_the_same(target, tmp_path):
    # Blanks at the end of the header are all that may change.
    assert check_damage(tmp_path, target, 80, seed=0) < 5


@pytest.mark.slow
@pytest.mark.parametrize("target", MODELS)
def test_many_models_with_a_bit_flipped_or_cut_are_refused_or_the_same(target, tmp_path):
    assert check_damage(tmp_path, target, 2_500, seed=1) < 125


def forge(path, arrays=None, **changes):
    """Change a model file under a checksum that is right."""
    held = load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        description = json.loads(file.metadata()["regjax"])
    for name, change in (arrays or {}).items():
        (key,) = (key for key in held if key.endswith(f"/{name}"))
        held[key] = change(held[key].copy())
    for name, change in changes.items():
        description[name] = change(description[name])
    text = description if isinstance(description, str) else json.dumps(description)
    save_file(held, path, {"regjax": text, "sha256": _digest(text, held)})


def fill(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


def without_a_class(encoding):
    return {**encoding, "classes": encoding["classes"][:2]}


FORGED = {
    "NaN weight": ({"weights": fill(np.nan)}, {}, "'0/weights' holds NaN or infinity"),
    "infinite weight": ({"weights": fill(np.inf)}, {}, "'0/weights' holds NaN or infinity"),
    "NaN mean": ({"mean": fill(np.nan)}, {}, "'0/scaler/mean' holds NaN"),
    "NaN scale": ({"scale": fill(np.nan)}, {}, "scale' holds NaN"),
    "scale 0": ({"scale": fill(0.0)}, {}, "'0/scaler/scale', a divisor, is not positive"),
    "negative unit": ({"unit": fill(-1.0)}, {}, "'1/unit', a divisor, is not positive"),
    "unit of 0": ({"y_unit": fill(0.0)}, {}, "'1/y_unit', a divisor, is not positive"),
    "too few weights": ({"weights": lambda a: a[:2]}, {}, "do not fit its description"),
    "other type": ({"weights": lambda a: a.astype("float32")}, {}, "do not fit its description"),
    "negative lambda": ({}, {"lambda_": lambda _: -1}, "its lambda is -1"),
    "NaN lambda": ({}, {"lambda_": lambda _: float("nan")}, "its lambda is nan"),
    "lambda of text": ({}, {"lambda_": lambda _: "a"}, "could not convert"),
    "other kind": ({}, {"kind": lambda _: "forest"}, "forest"),
    "older": ({}, {"format": lambda _: "regjax-model-1"}, "it has the format 'regjax-model-1'"),
    "columns of numbers": (
        {},
        {"encoding": lambda e: {**e, "columns": [[1, "number", []]] * 4}},
        "not all text",
    ),
    "kind of a column": (
        {},
        {"encoding": lambda e: {**e, "columns": [[c, "date", []] for c in "abcd"]}},
        "columns of the kind 'date'",
    ),
    "no encoding": ({}, {"encoding": lambda _: None}, "NoneType"),
    "another task": ({}, {"encoding": lambda e: {**e, "task": "ranking"}}, "task"),
    "too few classes": ({}, {"encoding": without_a_class}, "3.* outputs for 2 classes"),
    "no classes": ({}, {"encoding": lambda e: {**e, "classes": []}}, "0 classes"),
    "more outputs": ({}, {"model": lambda m: {**m, "n_outputs": 10**12}}, "outputs|fit"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_models_are_refused_with_the_reason(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    arrays, changes, message = FORGED[kind]
    MODELS["price" if "y_unit" in arrays else "town"].save(path)
    forge(path)
    assert regjax.load(path).name == "lasso"
    forge(path, arrays, **changes)
    with pytest.raises(ValueError, match=f"not a regjax model file, or is corrupt: .*{message}"):
        regjax.load(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "3", "[]", "{}", "null"])
def test_descriptions_of_other_types_are_refused(text, tmp_path):
    path = tmp_path / "model.safetensors"
    for metadata in ({"regjax": text, "sha256": _digest(text, {})}, {"regjax": text}, None):
        save_file({}, path, metadata)
        with pytest.raises(ValueError, match="not a regjax model file, or is corrupt"):
            regjax.load(path)


# --- folders of runs ---


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder with a table and the run of a cross-validation of it."""
    folder = tmp_path_factory.mktemp("written")
    FRAME.drop("town").write_csv(folder / "houses.csv")
    rows = fits.open_data(str(folder / "houses.csv"), "price")
    fits.save_fit(fits.cross_validate(rows, n_lambdas=20), folder / "run")
    return folder


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    copy = shutil.copytree(written, tmp_path / "here")
    monkeypatch.chdir(copy)
    return copy


def command(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), words
    return result


def snapshot(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_swapped_or_changed_files_of_a_run_are_refused_by_name(folder):
    models = folder / "run" / "models"
    a, b = models / "minimum.safetensors", models / "one_standard_error.safetensors"
    assert command("predict", "run", "houses.csv").exit_code == 0
    forge(a, lambda_=lambda value: 2 * value)
    # Each is whole in itself.
    assert regjax.load(a).lambda_ > 0
    done = command("predict", "run", "houses.csv")
    assert done.exit_code == 2
    assert "minimum.safetensors' is corrupt, or was changed" in " ".join(done.output.split())
    shutil.copyfile(b, a)
    with pytest.raises(ValueError, match=r"minimum\.safetensors' is corrupt, or was changed"):
        regjax.load("run", "minimum")
    a.unlink()
    with pytest.raises(ValueError, match=r"minimum\.safetensors' is missing"):
        regjax.load("run", "minimum")
    assert regjax.load("run", "one_standard_error").name == "one_standard_error"


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": 3},
        {"choices": {"../../x": 1}},
        {"best_model": ["minimum"]},
        {"best_model": None},
        {"best_model": {"a": 1}},
        {"files": {}},
        {"files": 3},
        {"files": ["manifest.json"]},
        {"files": {"models/minimum.safetensors": 3}},
    ],
    ids=str,
)
def test_manifests_of_other_types_end_in_one_line(changes, folder):
    from regjax import _manifests

    path = folder / "run" / "manifest.json"
    manifest = _manifests.read_manifest(folder / "run") | changes
    path.write_text(json.dumps({**manifest, "checksum": _manifests._checksum(manifest)}))
    done = command("predict", "run", "houses.csv")
    assert done.exit_code == 2
    assert done.output.count("Error:") == 1


def test_predictions_replace_no_file_of_the_data_or_of_a_run(folder):
    (folder / "parts").mkdir()
    FRAME.drop("town").write_parquet("parts/1.parquet")
    (folder / "link.csv").symlink_to(folder / "houses.csv")
    (folder / "to_run.csv").symlink_to(folder / "run" / "cv.csv")
    (folder / "hard.csv").hardlink_to(folder / "houses.csv")
    before = snapshot(folder)
    for run, data, out in (
        ("run", "houses.csv", "houses.csv"),
        ("run", "houses.csv", "link.csv"),
        ("run", "houses.csv", "hard.csv"),
        ("run", "parts", "parts/1.parquet"),
        ("run", "houses.csv", "run/cv.csv"),
        ("run", "houses.csv", "to_run.csv"),
        ("run/models/minimum.safetensors", "houses.csv", "run/path.csv"),
    ):
        for flags in ((), ("--overwrite",)):
            assert command("predict", run, data, "--out", out, *flags).exit_code == 2
            assert snapshot(folder) == before
    (folder / "mine.csv").write_text("old")
    assert command("predict", "run", "houses.csv", "--out", "mine.csv").exit_code == 2
    done = command("predict", "run", "houses.csv", "--out", "mine.csv", "--overwrite")
    assert done.exit_code == 0, done.output
    assert pl.read_csv("mine.csv").height == FRAME.height
    assert not list(folder.glob(".regjax-*"))


def test_a_sweep_never_replaces_a_run_of_another_kind_by_resuming(folder):
    before = snapshot(folder)
    words = ("sweep", "houses.csv", "--target", "price", "--out", "run", "--resume")
    done = command(*words)
    assert done.exit_code == 2
    assert "another run than the sweep to resume" in " ".join(done.output.split())
    assert snapshot(folder) == before


def test_a_fit_whose_folder_changes_during_the_work_goes_beside_it(folder, monkeypatch):
    fit = fits.cross_validate

    def changing(*given, **options):
        (folder / "run" / "notes.txt").write_text("mine")
        return fit(*given, **options)

    monkeypatch.setattr(fits, "cross_validate", changing)
    words = ("cv", "houses.csv", "--target", "price", "--out", "run", "--no-figures")
    done = command(*words, "--overwrite")
    assert done.exit_code == 0, done.output
    assert (folder / "run" / "notes.txt").read_text() == "mine"
    assert regjax.load("run-2").lambda_ == regjax.load("run").lambda_
