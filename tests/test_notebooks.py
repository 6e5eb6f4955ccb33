"""The notebooks run from top to bottom, are kept with their figures, and use public names alone."""

import ast
import base64
import importlib
import io
import json
import os
import pathlib
import re
import sys

import numpy as np
import pytest
from matplotlib import image

import regjax

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = [
    "what_a_penalty_does",
    "ridge_lasso_elastic_net",
    "decay_against_l2",
    "zeros_that_are_zeros",
    "a_thousand_models",
    "the_bayesian_reading",
]
# Beside the standard library; ipywidgets alone may be missing.
PACKAGES = {
    "ipywidgets",
    "jax",
    "matplotlib",
    "numpy",
    "numpyro",
    "optax",
    "polars",
    "regjax",
    "sklearn",
}
MOST_BYTES = 400_000
# Their output is another one in every front end, and is not kept.
SLIDER = "slider"


def read(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell):
    """Return the text of a cell without the lines that are for the notebook alone."""
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def is_slider(cell):
    return SLIDER in cell["metadata"].get("tags", [])


def outputs(notebook):
    return [o for cell in code_cells(notebook) if not is_slider(cell) for o in cell["outputs"]]


def figures(found):
    """Return the PNG figures among outputs, as bytes."""
    kept = [o["data"]["image/png"] for o in found if "image/png" in o.get("data", {})]
    return [base64.b64decode("".join(text)) for text in kept]


def complaints(found):
    """Return what outputs hold of errors and warnings."""
    return [o for o in found if o["output_type"] == "error" or o.get("name") == "stderr"]


def imported(tree):
    """Yield module and name of every import; the name is None where a whole module is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.module, alias.name


def dotted(node):
    """Return `a.b.c` of such an expression, or an empty text."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_public(path):
    """Return whether a dotted name of regjax is one that a reader may use."""
    parts = path.split(".")
    home = regjax
    for part in parts[1:]:
        module = f"{home.__name__}.{part}"
        listed = getattr(home, "__all__", None)
        if part.startswith("_") or (listed is not None and part not in listed):
            return False
        value = getattr(home, part, None)
        if value is None:
            return False
        if getattr(value, "__name__", None) != module:
            # A function or a class, or what it has.
            return True
        home = importlib.import_module(module)
    return True


def private_names(text):
    """Return the names of regjax that a program uses and that are not public."""
    tree = ast.parse(text)
    paths = [module if name is None else f"{module}.{name}" for module, name in imported(tree)]
    paths += [dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return sorted({p for p in paths if p.split(".")[0] == "regjax" and not is_public(p)})


# --- what is kept ---


def test_the_folder_holds_these_and_its_readme_names_them():
    assert sorted(file.stem for file in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    text = (FOLDER / "README.md").read_text()
    assert re.findall(r"\]\((\w+)\.ipynb\)", text) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_kept_outputs_are_of_one_run_without_complaints(name):
    notebook = read(name)
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    found = outputs(notebook)
    assert complaints(found) == []
    assert [cell for cell in code_cells(notebook) if is_slider(cell) and cell["outputs"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_kept_figures_show_something(name):
    shown = [image.imread(io.BytesIO(data)) for data in figures(outputs(read(name)))]
    assert len(shown) >= 3
    for pixels in shown:
        # Ink, which a figure without a drawing in it has next to nothing of.
        assert np.mean(pixels[:, :, :3].min(axis=2) < 0.9) > 0.01
    tables = [o for o in outputs(read(name)) if "<table" in str(o.get("data", {}).get("text/html"))]
    assert tables


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_small_and_tells_nothing_of_where_it_ran(name):
    file = FOLDER / f"{name}.ipynb"
    assert file.stat().st_size < MOST_BYTES
    notebook = read(name)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    for cell in notebook["cells"]:
        assert cell["metadata"].keys() <= {"tags"}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    places = r"/(?:tmp|home|root|work|Users|usr)/"
    assert re.findall(places, json.dumps(notebook)) == []


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_other_notebooks(name):
    cells = read(name)["cells"]
    text = "".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    linked = set(re.findall(r"\]\((\w+)\.ipynb\)", text))
    place = NAMES.index(name)
    assert linked == {*NAMES[max(0, place - 1) : place], *NAMES[place + 1 : place + 2]}


# --- what they use ---


@pytest.mark.parametrize("name", NAMES)
def test_only_public_names_are_used(name):
    text = "\n".join(source(cell) for cell in code_cells(read(name)))
    assert private_names(text) == []
    packages = {module.split(".")[0] for module, _ in imported(ast.parse(text))}
    assert packages <= PACKAGES | sys.stdlib_module_names
    assert "regjax" in packages
    assert not re.search(r"REGJAX_SMOKE.*REGJAX_SMOKE", text, re.DOTALL), "it is read once"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from regjax.paths._lanes import as_folds", ["regjax.paths._lanes.as_folds"]),
        ("from regjax.paths import as_path", ["regjax.paths.as_path"]),
        ("import regjax._inputs", ["regjax._inputs"]),
        ("import regjax\nregjax.paths._threads.run()", ["regjax.paths._threads"]),
        ("import regjax\nregjax._HOMES['L1']", ["regjax._HOMES"]),
        ("from regjax.sweeps.lanes.run import run_sweep", ["regjax.sweeps.lanes.run.run_sweep"]),
        ("from regjax import L1, masks\nmasks.weights\nL1(0.1).prox", []),
        ("import regjax\nregjax.lasso_path(X, y).coef\nregjax.plots.geometry(X, y)", []),
        ("from numpy import _core", []),
    ],
)
def test_names_that_are_not_public_are_seen(text, found):
    hits = private_names(text)
    assert bool(hits) == bool(found)
    assert set(found) <= set(hits)


# --- that they run ---


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom(name, shared_cache, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = importlib.import_module("nbformat")
    monkeypatch.setenv("REGJAX_SMOKE", "1")
    # Compiling takes longest, and no number is looked at.
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    # The kernel's own shows figures in the notebook; that of the tests shows none.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    kept = len(figures(outputs(notebook)))
    client = nbclient.NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    found = outputs(notebook)
    assert complaints(found) == []
    assert len(figures(found)) == kept
