"""What the options of `regjax sweep FILE.py:NAME` say: grids, sizes, the training of a file."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from regjax.sweeps import Grid, Static, Training, Uniform, log_range

_KINDS = ("log", "lin", "int")
_WORDS = {"true": True, "false": False, "none": None}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Draw(NamedTuple):
    """How lanes are drawn from ranges: "random" or "sobol", and how many."""

    how: str
    n: int


def parse_grid(
    settings: Sequence[str], static: Sequence[str], seeds: int | None, draw: Draw | None
) -> Grid:
    """Return the grid of `NAME=VALUES` settings under so many seeds.

    Example:
        >>> grid = parse_grid(["lambda_=0.01:1:3", "width=8,16"], ["width"], 2, None)
        >>> len(grid), grid.row(0)
        (12, {'lambda_': 0.01, 'width': 8, 'seed': 0})
        >>> len(parse_grid(["x=lin:0:1", "kind=a,b"], [], None, Draw("random", 5)))
        10
    """
    axes = _axes(settings)
    for name in static:
        if isinstance(axes.get(name, Uniform(0, 1)), Uniform):
            raise ValueError(f"--static names {name!r}, for which --set lists no values.")
        axes[name] = Static(axes[name])
    if "seed" not in axes:
        axes["seed"] = range(1 if seeds is None else seeds)
    elif seeds is not None:
        raise ValueError("--seeds and --set seed=... say the same: leave one out.")
    ranges: Any = {name: axis for name, axis in axes.items() if isinstance(axis, Uniform)}
    if not ranges and draw is not None:
        raise ValueError(f"--{draw.how} draws from ranges: give one as --set lambda_=log:1e-5:1.")
    if ranges and draw is None:
        raise ValueError(
            f"--set {next(iter(ranges))} names a range to draw from: say how many lanes with "
            "--random N or --sobol N."
        )
    lists = Grid.product(**{name: axis for name, axis in axes.items() if name not in ranges})
    if draw is None:
        return lists
    if draw.n < 1:
        raise ValueError(f"--{draw.how} must be at least 1, got {draw.n}.")
    drawn = Grid.random if draw.how == "random" else Grid.sobol
    return drawn(draw.n, **ranges) * lists


def parse_values(name: str, text: str) -> list[Any] | Uniform:
    """Return values, evenly spaced numbers, or a range to draw from.

    Example:
        >>> parse_values("lambda_", "0.01:1:3"), parse_values("kind", "adamw,none,true,2")
        ([0.01, 0.1, 1.0], ['adamw', None, True, 2.0])
        >>> parse_values("lambda_", "log:0.01:1")
        Uniform(low=0.01, high=1.0, log=True, whole=False)
    """
    parts = text.split(":")
    if parts[0] in _KINDS and len(parts) > 1:
        low, high = (_number(part) for part in [*parts[1:], "", ""][:2])
        if len(parts) != 3 or low is None or high is None:
            raise ValueError(
                f"--set {name}={text} is no range to draw from: write {parts[0]}:low:high."
            )
        return Uniform(low, high, log=parts[0] == "log", whole=parts[0] == "int")
    if len(parts) > 1 and _number(parts[0]) is not None:
        low, high, n = (_number(part) for part in [*parts, "", ""][:3])
        if len(parts) != 3 or low is None or high is None or n is None or not n.is_integer():
            raise ValueError(
                f"--set {name}={text} is no range: write low:high:n for n numbers evenly spaced "
                "in the logarithm."
            )
        return list(log_range(low, high, int(n)))
    values = [_value(part.strip()) for part in text.split(",") if part.strip()]
    if not values:
        raise ValueError(f"--set {name}= holds no value: write {name}=0.01,0.1,1.")
    return values


def parse_bytes(text: str | None) -> int | None:
    """Return a number of bytes.

    Example:
        >>> parse_bytes("2GB"), parse_bytes("512 MiB")
        (2000000000, 536870912)
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?)(i?)b?\s*", text.lower())
    size = None if found is None else _number(found[1])
    if found is None or size is None or not 1 <= size < 1e15:
        raise ValueError(f"--memory takes a size as in 2GB or 500MB, not {text!r}.")
    power = _BYTES[found[2]]
    if found[3]:
        power = 1024 ** list(_BYTES).index(found[2])
    return int(size * power)


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Return (i, n) of `i/n`."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None:
        raise ValueError(f"--shard takes a part as in 1/4, not {text!r}.")
    return int(found[1]), int(found[2])


def parse_keep(text: str) -> Any:
    """Return a number of lanes, or "all"."""
    if text == "all":
        return text
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"--keep takes a number of lanes or all, not {text!r}.")
    return int(text)


class Users:
    """The file of the user: its functions, and where in it something went wrong."""

    def __init__(self, target: str) -> None:
        path, _, self.name = target.rpartition(":")
        if not path or not self.name:
            raise ValueError(
                f"Name the function of {target!r} that trains: {target.rstrip(':')}:NAME."
            )
        self.file = pathlib.Path(path).resolve()
        if not self.file.is_file():
            raise ValueError(f"There is no file {path!r}.")
        self._module = self._load()

    def training(self) -> Callable[..., Any] | Training:
        """Return the training function, or the `Training`."""
        return self._named(self.name, (Training,))

    def arrays(self, name: str | None) -> tuple[Any, ...]:
        """Return the arrays that all lanes share: what the function `name`, or `data`, returns."""
        if name is None and not callable(getattr(self._module, "data", None)):
            return ()
        found = self.run(self._named(name or "data", ()))
        return tuple(found) if type(found) in (tuple, list) else (found,)

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function; what it raises in the user's code becomes one line that says where."""
        try:
            return function()
        except Exception as error:
            told = self._where(error)
            if told is None:
                raise
            raise ValueError(told) from error

    def _load(self) -> ModuleType:
        stem = self.file.stem
        known = sys.modules.get(stem)
        if known is not None and getattr(known, "__file__", None) != str(self.file):
            raise ValueError(
                f"A module {stem!r} is loaded already: give {self.file.name} another name."
            )
        if str(self.file.parent) not in sys.path:
            sys.path.insert(0, str(self.file.parent))
        spec = importlib.util.spec_from_file_location(stem, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[stem] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[stem]
            where = self._where(error) or f"{type(error).__name__}: {error}"
            raise ValueError(f"{self.file.name} cannot be imported: {where}") from error
        return module

    def _named(self, name: str, kinds: tuple[type, ...]) -> Any:
        found = getattr(self._module, name, None)
        if callable(found) or isinstance(found, kinds):
            return found
        own = [
            key
            for key, value in vars(self._module).items()
            if isinstance(value, Training) or getattr(value, "__module__", None) == self.file.stem
        ]
        raise ValueError(
            f"{self.file.name} has no function {name!r}; it has {', '.join(sorted(own)) or 'none'}."
        )

    def _where(self, error: BaseException) -> str | None:
        """Return the innermost line of the file that was at work, and the error."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == str(self.file)]
        what = f"{type(error).__name__}: {error}"
        if isinstance(error, SyntaxError) and error.filename == str(self.file):
            return f"{self.file.name}:{error.lineno}: {type(error).__name__}: {error.msg}"
        return f"{self.file.name}:{own[-1].lineno} in {own[-1].name}: {what}" if own else None


def _axes(settings: Sequence[str]) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise ValueError(f"--set takes NAME=VALUES as in lambda_=1e-5:1:20, not {setting!r}.")
        if name in axes:
            raise ValueError(f"--set names {name!r} twice.")
        axes[name] = parse_values(name, text)
    return axes


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
