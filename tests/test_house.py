"""The house: imports flow one way, the cores need little, and every public name explains itself."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import regjax

ROOT = pathlib.Path(__file__).parents[1]
HOUSE = ROOT / "regjax"

# A room imports only from rows above its own.
ROWS = [
    ["_arrays", "_inputs", "_pytree"],
    ["_names"],
    ["penalties"],
    ["conventions", "losses", "masks"],
    ["objectives", "diagnostics"],
    ["transforms", "solvers"],
    ["paths", "regression"],
    ["tables"],
    ["datasets"],
    ["sweeps"],
    ["plots", "sklearn"],
    ["cli"],
]
ROW = {room: i for i, row in enumerate(ROWS) for room in row}
CORE = [room for room, i in ROW.items() if i <= ROW["regression"]]
CORE_NEEDS = {"jax", "optax", "chex", "numpy", "regjax"}
EXTRAS = ["matplotlib", "polars", "equinox", "sklearn", "click", "rich", "safetensors"]
OTHERS_FRAMEWORKS = ["flax", "haiku", "torch", "pandas"]

FILES = sorted(HOUSE.rglob("*.py"))

# Types that functions build and hand out, bases, and warnings: nothing one would call.
NEED_NO_EXAMPLE = {
    "Choice",
    "ConvergenceWarning",
    "CrossValidation",
    "Encoding",
    "LaneRun",
    "LeastSquares",
    "Mask",
    "MaskReport",
    "MaskRow",
    "Masked",
    "Metrics",
    "Path",
    "Penalty",
    "Solution",
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


def test_importing_the_library_loads_no_extra():
    code = "import sys, regjax; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "regjax.regression" in loaded
    assert not {*EXTRAS, *OTHERS_FRAMEWORKS} & set(loaded)
    lazy = {f"regjax.{room}" for room, i in ROW.items() if i > ROW["regression"]}
    assert not lazy & set(loaded)


def test_no_dataclass_is_registered_in_the_way_that_jit_mistakes_for_another():
    calls = [
        name(file)
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "register_dataclass"
    ]
    assert calls == []


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
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = regjax.nothing
