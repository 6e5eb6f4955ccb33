"""The house: imports flow one way, the cores need little, and every public name explains itself."""

import ast
import functools
import importlib
import inspect
import json
import pathlib
import pickle
import rlcompleter
import subprocess
import sys

import pytest

import regjax

ROOT = pathlib.Path(__file__).parents[1]
HOUSE = ROOT / "regjax"

# A room imports only from rows above its own.
ROWS = [
    ["_messages", "_warnings"],
    ["_arrays", "_inputs", "_manifests", "_pytree"],
    ["_folders"],
    ["_names", "_sharding"],
    ["penalties"],
    ["conventions", "losses", "masks"],
    ["objectives", "diagnostics"],
    ["transforms", "solvers"],
    ["paths", "regression"],
    ["tables"],
    ["datasets"],
    ["sweeps"],
    ["fits"],
    ["plots", "sklearn"],
    ["cli"],
    ["__main__"],
]
ROW = {room: i for i, row in enumerate(ROWS) for room in row}
CORE = [room for room, i in ROW.items() if i <= ROW["regression"]]
CORE_NEEDS = {"jax", "optax", "chex", "numpy", "regjax"}
EXTRAS = ["matplotlib", "polars", "equinox", "sklearn", "click", "rich", "safetensors"]
OTHERS_FRAMEWORKS = ["flax", "haiku", "torch", "pandas"]

FILES = sorted(HOUSE.rglob("*.py"))

# Types that functions build and hand out, bases, and warnings: nothing one would call.
NEED_NO_EXAMPLE = {
    "BestLane",
    "Choice",
    "ConvergenceWarning",
    "CrossValidation",
    "CrossValidationFit",
    "Encoding",
    "EngineError",
    "Fit",
    "LaneRun",
    "LeastSquares",
    "Mask",
    "MaskReport",
    "MaskRow",
    "Masked",
    "Metrics",
    "ParquetStream",
    "Path",
    "PathFit",
    "Penalty",
    "Progress",
    "Solution",
    "StoreError",
    "SweepInterrupted",
    "SweepRun",
    "Table",
    "TableError",
    "WeightStatistics",
}


def room_of(file):
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def room_files(rooms):
    return [file for file in FILES if room_of(file) in rooms]


def name(file):
    return str(file.relative_to(HOUSE))


def imports(tree):
    """Return the modules imported anywhere below a node, `from a import b` as `a` and `a.b`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written from the root"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms_imported(file):
    parts = [module.split(".") for module in imports(ast.parse(file.read_text()))]
    return {part[1] for part in parts if part[0] == "regjax" and len(part) > 1}


def at_import_time(body):
    """Yield the statements that run on import: not those of functions or for type checkers."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ClassDef | ast.If | ast.Try | ast.With):
            yield from at_import_time(node.body)
            yield from at_import_time(getattr(node, "orelse", []))
        else:
            yield node


# --- who stands on whom ---


def test_every_room_has_its_row():
    assert {room_of(file) for file in FILES} - {"__init__"} <= set(ROW)
    assert set(CORE) <= {room_of(file) for file in FILES}


@pytest.mark.parametrize("file", room_files(ROW), ids=name)
def test_a_room_imports_only_from_the_rows_above(file):
    own = room_of(file)
    for room in rooms_imported(file) - {own}:
        assert room in ROW, f"{name(file)} imports regjax.{room}, which is no room of the house"
        assert ROW[room] < ROW[own], f"{name(file)} imports regjax.{room}"


def test_the_imports_are_seen():
    regression = HOUSE / "regression.py"
    assert rooms_imported(regression) == {"_arrays", "_inputs", "penalties", "solvers"}
    tree = ast.parse("def f():\n    from regjax import cli\n    import regjax.plots")
    assert imports(tree) == {"regjax", "regjax.cli", "regjax.plots"}


@pytest.mark.parametrize("file", room_files(CORE), ids=name)
def test_the_cores_need_jax_optax_chex_and_numpy_alone(file):
    body = at_import_time(ast.parse(file.read_text()).body)
    packages = {module.split(".")[0] for node in body for module in imports(node)}
    assert packages <= CORE_NEEDS | sys.stdlib_module_names
    assert "__future__" in packages or file.name == "__init__.py"


def test_no_dataclass_is_registered_in_the_way_that_jit_mistakes_for_another():
    calls = [
        name(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "register_dataclass"
    ]
    assert calls == []


# --- what is loaded, and when ---

# What a lasso path must not cost: jax, and whatever else is not NumPy.
HEAVY = {"jax", "jaxlib", "optax", "chex", "scipy", *EXTRAS, *OTHERS_FRAMEWORKS}
# In one process, step by step, and what is loaded after each.
STEPS = f"""
import json, sys
import regjax
print(json.dumps(list(sys.modules)))

import numpy as np
X = np.random.default_rng(0).normal(size=(442, 10))
assert regjax.lasso_path(X, X[:, 0]).coef.shape == (100, 10)
assert regjax.paths.lasso_cv(X, X[:, 0]).coef[0] > 0
assert regjax.elastic_net_cv(X, X[:, 0], l1_ratio=[0.5, 1.0], folds=3).coef[0] > 0
assert regjax.ridge_path(X, X[:, 0]).coef.shape == (100, 10)
wide = X.reshape(34, 130)
assert regjax.lasso_cv(wide, wide[:, 0]).coef[0] > 0
print(json.dumps(list(sys.modules)))

import {", ".join(f"regjax.{room}" for room in CORE)}
print(json.dumps(list(sys.modules)))
"""
# What is told of the extras where none is there: by names of the package, and by its rooms.
BARE = f"""
import json, sys
sys.modules.update(dict.fromkeys({EXTRAS}))
import importlib, inspect, regjax
from regjax import *
assert L1 is regjax.penalties.L1

def hint(room, load, *given):
    try:
        load(*given)
    except ModuleNotFoundError as error:
        assert f"regjax.{{room}} needs {{error.name}}; install" in str(error), error
        return [room, str(error).rsplit(maxsplit=1)[1]]

lazy = regjax._HOMES.keys() - set(regjax.__all__)
print(json.dumps([found for name in lazy if (found := hint(name, getattr, regjax, name))]))
inspect.getmembers(regjax)
modules = [(room, f"regjax.{{room}}{{part}}") for room in regjax._EXTRAS for part in ("", "._part")]
print(json.dumps([hint(room, importlib.import_module, module) for room, module in modules]))
"""


@functools.cache
def told_by(code):
    """Return what each line says that a process of its own prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_importing_the_library_loads_nothing_else():
    loaded = set(told_by(STEPS)[0])
    assert {module for module in loaded if module.split(".")[0] == "regjax"} == {"regjax"}
    assert not {*HEAVY, "numpy"} & loaded


def test_paths_and_their_cross_validation_run_on_numpy_alone():
    loaded = set(told_by(STEPS)[1])
    assert "numpy" in loaded
    assert not HEAVY & loaded
    rooms = {module.split(".")[1] for module in loaded if module.startswith("regjax.")}
    assert rooms <= {"_inputs", "_messages", "_warnings", "paths"}


def test_the_cores_load_no_extra():
    loaded = set(told_by(STEPS)[2])
    assert "regjax.regression" in loaded
    assert not {*EXTRAS, *OTHERS_FRAMEWORKS} & loaded
    lazy = {f"regjax.{room}" for room, i in ROW.items() if i > ROW["regression"]}
    assert not lazy & loaded


def test_without_the_extras_the_rest_is_whole():
    sweep = ["datasets", "fits", "load", "sweep", "sweeps", "tables"]
    own = {room: f"'regjax[{room}]'" for room in ("plots", "sklearn")}
    assert dict(told_by(BARE)[0]) == own | dict.fromkeys(sweep, "'regjax[sweep]'")


def test_whatever_is_imported_without_an_extra_names_it():
    expected = [[room, f"'regjax[{extra}]'"] for room, (extra, _) in regjax._EXTRAS.items()]
    assert told_by(BARE)[1] == [hint for hint in expected for _ in range(2)]


def test_type_checkers_see_the_table_of_rooms():
    found = {}
    for node in ast.walk(ast.parse((HOUSE / "__init__.pyi").read_text())):
        for alias in node.names if isinstance(node, ast.ImportFrom) else []:
            # `import a as a` is how a stub says that a name is public.
            assert alias.asname == alias.name
            assert alias.name not in found
            home = alias.name if node.module == "regjax" else node.module.removeprefix("regjax.")
            found[alias.name] = home
    assert found == regjax._HOMES
    assert regjax.__all__ == sorted(found)
    rooms = {room_of(file) for file in FILES}
    assert {room for room in rooms if room[0] != "_"} - {"cli"} == set(found.values())


@pytest.mark.parametrize("key", regjax.__all__)
def test_every_name_is_what_its_room_calls_so(key):
    home = importlib.import_module(f"regjax.{regjax._HOMES[key]}")
    value = getattr(regjax, key)
    assert value is (home if regjax._HOMES[key] == key else getattr(home, key))
    if inspect.isclass(value) or inspect.isfunction(value):
        assert pickle.loads(pickle.dumps(value)) is value


def test_importing_all_and_listing():
    names = {}
    exec("from regjax import *", names)
    assert names.keys() - {"__builtins__"} == set(regjax.__all__)
    assert {*regjax.__all__, "__version__", "__doc__"} <= set(dir(regjax))
    assert not {"sys", "importlib", "annotations", "Any"} & set(dir(regjax))
    completer = rlcompleter.Completer({"regjax": regjax})
    assert "regjax.lasso_cv(" in completer.attr_matches("regjax.lasso_")


@pytest.mark.parametrize("room", regjax._EXTRAS)
def test_rooms_of_an_extra_say_what_they_load(room):
    body = [
        node
        for file in room_files([room])
        for node in at_import_time(ast.parse(file.read_text()).body)
    ]
    packages = {module.split(".")[0] for node in body for module in imports(node)}
    _, needs = regjax._EXTRAS[room]
    assert packages - CORE_NEEDS - sys.stdlib_module_names == set(needs)


# --- names and their texts ---


def modules():
    """Return the rooms that exist, by name, the package itself among them."""
    rooms = [room for room in ROW if room_files([room]) and room[0] != "_" and room != "cli"]
    return {"regjax": regjax, **{r: importlib.import_module(f"regjax.{r}") for r in rooms}}


def public_names(module):
    """Return `__all__`, or without one the functions and classes that a module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    ]


MODULES = modules()
PUBLIC = [(room, key) for room, module in MODULES.items() for key in public_names(module)]


@pytest.mark.parametrize("room", MODULES)
def test_public_names_are_there_and_listed_once(room):
    keys = public_names(MODULES[room])
    assert len(keys) == len(set(keys))
    assert keys
    for key in keys:
        assert getattr(MODULES[room], key) is not None


@pytest.mark.parametrize(("room", "key"), PUBLIC)
def test_public_names_have_a_text_and_an_example(room, key):
    value = getattr(MODULES[room], key)
    if inspect.ismodule(value):
        assert value.__doc__
        return
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return
    text = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert text, f"{room}.{key} has no docstring"
    # NamedTuples and dataclasses make up a text from their fields.
    assert not text.startswith(f"{key}("), f"{room}.{key} has no docstring"
    if key not in NEED_NO_EXAMPLE:
        assert ">>>" in text, f"the docstring of {room}.{key} has no example"


def test_no_exception_is_left_over():
    classes = [getattr(MODULES[room], key) for room, key in PUBLIC if key in NEED_NO_EXAMPLE]
    assert {value.__name__ for value in classes} == NEED_NO_EXAMPLE
    assert all(inspect.isclass(value) for value in classes)
    assert all(">>>" not in value.__doc__ for value in classes)


def test_names_that_do_not_exist_raise_as_usual():
    with pytest.raises(AttributeError, match="module 'regjax' has no attribute 'nothing'"):
        _ = regjax.nothing
