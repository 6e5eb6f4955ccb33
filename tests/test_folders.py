"""Folders of runs: what is not the run's own stays, and of two runs one is always whole."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from regjax import _folders
from regjax._folders import check_folder, unused, write_folder
from regjax._manifests import MANIFEST, check_file, is_run, read_manifest, sha256_of, walk

ROOT = pathlib.Path(__file__).parents[1]
FILES = {"results.csv": "x\n{}\n", "models/a.bin": "model {}", "models/deep/b.bin": "b {}"}
# Below the folder that holds `run`; the values are what no command may take away.
AROUND = {
    "thesis.txt": "my thesis",
    "run.txt": "beside",
    "run.unfinished/thesis.txt": "a thesis in the folder of an unfinished sweep",
    "run.new/mine.txt": "mine",
    "elsewhere/data.csv": "data",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Spare the tests the look at all packages."""
    monkeypatch.setattr("regjax._manifests._environment", dict)


def writer(version, files=FILES):
    def write(folder):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.format(version))
        (folder / "figures" / "empty").mkdir(parents=True)
        return {"version": version}

    return write


def save(out, version, **options):
    return write_folder(out, writer(version), **options)


def put(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def whole_runs(folder):
    """Return the versions of the runs below a folder of which all files are as written."""
    found = {}
    for manifest in folder.rglob(MANIFEST):
        run = manifest.parent
        if is_run(run):
            files = read_manifest(run)["files"]
            if all((run / n).is_file() and sha256_of(run / n) == d for n, d in files.items()):
                found[run.name] = read_manifest(run)["version"]
    return found


def foreign_texts(folder, texts):
    """Return how often each text is below a folder."""
    held = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    return {text: held.count(text) for text in texts}


def test_a_run_is_written_with_the_digests_of_its_files(tmp_path):
    out = save(tmp_path / "run", 1)
    manifest = read_manifest(out)
    assert manifest["files"] == {name: sha256_of(out / name) for name in sorted(FILES)}
    assert manifest["version"] == 1
    assert {name for name, _ in walk(out)} == {*FILES, MANIFEST}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(ValueError, match="already holds a run"):
        save(out, 2)
    save(out, 2, overwrite=True)
    assert whole_runs(tmp_path) == {"run": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# --- whatever ends the process ---

CALLS = ("rename", "unlink", "rmdir", "mkdir", "listdir", "scandir", "lstat")


class Faults:
    """Counts calls of the file system, and raises at one of them, or from it on."""

    def __init__(self, at, error, stays):
        self.at, self.error, self.stays, self.count = at, error, stays, 0

    def patch(self, monkeypatch):
        for name in CALLS:
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, function):
        def call(*args, **kwargs):
            self.count += 1
            if self.count == self.at or (self.stays and self.count > self.at):
                raise self.error("stopped here")
            return function(*args, **kwargs)

        return call


@pytest.mark.parametrize(
    ("error", "stays"),
    [(OSError, False), (KeyboardInterrupt, False), (KeyboardInterrupt, True)],
    ids=["error", "interrupt", "end"],
)
@pytest.mark.parametrize("added", [False, True], ids=["", "added meanwhile"])
def test_of_two_runs_one_is_whole_wherever_replacing_ends(
    monkeypatch, tmp_path, error, stays, added
):
    mine = {"notes.txt": "a note", "models/mine.bin": "my model", "results.csv.bak": "saved"}
    texts = [*AROUND.values(), *(mine.values() if added else ())]
    at, lost_new = 0, 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        put(folder, AROUND)
        out = folder / "run"
        save(out, 1)
        (folder / "run.link").symlink_to(folder / "elsewhere")

        def write(target, out=out):
            record = writer(2)(target)
            if added:
                put(out, mine)
            return record

        # What begins when the new run is whole.
        faults, ended = Faults(at, error, stays), None
        with monkeypatch.context() as patch:
            publish = _folders._publish

            def watched(*given, publish=publish, patch=patch, faults=faults, **options):
                faults.patch(patch)
                publish(*given, **options)

            patch.setattr(_folders, "_publish", watched)
            try:
                write_folder(out, write, overwrite=True)
            except (OSError, KeyboardInterrupt) as caught:
                ended = caught
        runs = whole_runs(folder)
        assert foreign_texts(folder, texts) == dict.fromkeys(texts, 1), (at, runs)
        assert runs, at
        assert 2 in runs.values(), (at, runs)
        assert (folder / "run.link").is_symlink()
        if ended is None and faults.count < at:
            break
        if ended is not None and not stays:
            # A single fault leaves a run in its place.
            assert runs["run"] in (1, 2)
        lost_new += runs.get("run") != 2
        # Afterwards all goes on as if nothing had been.
        if not added:
            save(out, 3, overwrite=True)
            assert whole_runs(folder)["run"] == 3
            assert not (folder / "run.replaced").exists()
        assert foreign_texts(folder, texts) == dict.fromkeys(texts, 1)
    assert at > 10
    assert lost_new > 0
    held = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert held == {*FILES, MANIFEST, *(mine if added else ())}


@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_that_is_not_whole_is_never_published(monkeypatch, tmp_path, at):
    out = save(tmp_path / "run", 1)

    def failing(folder):
        put(folder, dict.fromkeys("abcdefgh"[:at], "part"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(out, failing, overwrite=True)
    assert whole_runs(tmp_path) == {"run": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_was_being_replaced_is_found_again(tmp_path):
    out = save(tmp_path / "run", 1)
    out.rename(tmp_path / "run.replaced")
    from regjax import load

    for act in (lambda: check_folder(out), lambda: load(out)):
        with pytest.raises(ValueError, match=r"its run is in '.*run\.replaced'.* rename.* back"):
            act()
    with pytest.raises(ValueError, match="another run than the sweep to resume"):
        check_folder(out, resume=True)
    save(out, 2, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert whole_runs(tmp_path) == {"run": 2}


def test_of_two_at_a_time_one_is_refused_and_both_are_whole(tmp_path):
    out = tmp_path / "run"

    def slow(folder):
        record = writer("second")(folder)
        save(out, "first")
        return record

    with pytest.raises(OSError, match=r"cannot be replaced .*The new run is whole in '.*run\.new-"):
        write_folder(out, slow)
    runs = whole_runs(tmp_path)
    assert runs.pop("run") == "first"
    assert list(runs.values()) == ["second"]


KILLED = """
import os, signal, sys, pathlib
from regjax._folders import write_folder
folder, first = pathlib.Path(sys.argv[1]), int(sys.argv[2])
import jax
jax.devices()

def write(version):
    def into(target):
        (target / "models").mkdir()
        for name in ("results.csv", "models/a", "models/b"):
            (target / name).write_text(f"{name} {version}")
        return {"version": version}
    return into

def dying(function, left):
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

at = 0
while True:
    out = folder / str(at) / "run"
    write_folder(out, write(1))
    child = os.fork()
    if child == 0:
        left = [at]
        for name in ("rename", "unlink", "rmdir", "mkdir", "listdir", "scandir"):
            setattr(os, name, dying(getattr(os, name), left))
        write_folder(out, write(2), overwrite=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
    at += 1
print(at)
"""


@pytest.mark.slow
def test_a_real_kill_at_every_call_of_the_file_system_leaves_a_whole_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    n_kills = int(done.stdout)
    assert n_kills > 20
    for at in range(n_kills):
        folder = tmp_path / str(at)
        assert whole_runs(folder), at
        save(folder / "run", 3, overwrite=True)
        assert whole_runs(folder)["run"] == 3
        assert not (folder / "run.replaced").exists()


# --- what is not the run's own ---


def add(name, text="mine"):
    return lambda out: put(out, {name: text})


def link(name, target):
    def act(out):
        (out / name).parent.mkdir(exist_ok=True)
        if (out / name).is_dir():
            shutil.move(out / name, out.parent / "moved")
        elif (out / name).exists():
            (out / name).unlink()
        (out / name).symlink_to(out.parent / target)

    return act


def forge(files):
    """Rewrite the manifest, with a checksum that is right, to list more files."""

    def act(out):
        from regjax import _manifests

        manifest = read_manifest(out)
        manifest["files"] |= {name: sha256_of(out.parent / "thesis.txt") for name in files}
        text = json.dumps({**manifest, "checksum": _manifests._checksum(manifest)})
        (out / MANIFEST).write_text(text)

    return act


FOREIGN = {
    "a file": (add("notes.txt"), "notes.txt"),
    "a file beside the models": (add("models/mine.bin"), "mine.bin"),
    "a hidden file": (add(".git/config"), "config"),
    "an edited table": (add("results.csv", "edited"), "results.csv"),
    "a truncated model": (add("models/a.bin", ""), "a.bin"),
    "a folder": (lambda out: (out / "mine").mkdir(), "mine"),
    "a link to a folder": (link("mine", "elsewhere"), "mine"),
    "a link in place of a folder": (link("models", "moved"), "models"),
    "a link in place of a file": (link("results.csv", "thesis.txt"), "results.csv"),
    "a pipe": (lambda out: os.mkfifo(out / "pipe"), "pipe"),
    "a manifest that names its parent": (forge(["../thesis.txt"]), "does not list"),
    "a manifest that names a root": (forge(["/etc/passwd"]), "does not list"),
    "a manifest that was edited": (
        lambda out: (out / MANIFEST).write_text(
            (out / MANIFEST).read_text().replace('"version": 1', '"version": 2')
        ),
        "checksum",
    ),
    "no manifest": (lambda out: (out / MANIFEST).unlink(), "there is no manifest.json"),
    "a run in the way": (
        lambda out: put(out.with_name("run.replaced"), {"mine.txt": "mine"}),
        "run.replaced",
    ),
}


def snapshot(folder):
    return {
        str(path.relative_to(folder)): (
            os.readlink(path)
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else path.is_dir()
        )
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_with_anything_foreign_is_refused_before_the_work(kind, tmp_path):
    put(tmp_path, AROUND)
    out = write_folder(tmp_path / "run", writer(1, FILES | {"sweep.sqlite": "store"}))
    change, named = FOREIGN[kind]
    change(out)
    before = snapshot(tmp_path)
    for options in ({}, {"overwrite": True}, {"resume": True}, {"overwrite": True, "resume": True}):
        with pytest.raises(ValueError, match=named if options else "run"):
            write_folder(out, lambda _: pytest.fail("it ran"), **options)
        assert snapshot(tmp_path) == before


def test_what_is_added_while_the_run_is_at_work_moves_into_the_new_one(tmp_path):
    out = save(tmp_path / "run", 1)
    added = {"notes.txt": "mine", "models/mine.bin": "mine too", "deep/er/x": "x"}

    def write(folder):
        put(out, added | {"results.csv": "edited meanwhile"})
        (out / "models" / "link").symlink_to("/nowhere")
        return writer(2)(folder)

    write_folder(out, write, overwrite=True)
    assert {name: (out / name).read_text() for name in added} == added
    assert os.readlink(out / "models" / "link") == "/nowhere"
    assert whole_runs(tmp_path) == {"run": 2}
    # Its name is taken by that of the new run.
    assert (tmp_path / "run.replaced" / "results.csv").read_text() == "edited meanwhile"
    assert unused(out) == tmp_path / "run-2"


def test_resuming_replaces_a_sweep_and_nothing_else(tmp_path):
    other = save(tmp_path / "other", 1)
    with pytest.raises(ValueError, match="another run than the sweep to resume"):
        check_folder(other, resume=True)
    sweep = write_folder(tmp_path / "sweep", writer(1, {"sweep.sqlite": "store"}))
    assert check_folder(sweep, resume=True) == sweep
    with pytest.raises(ValueError, match="already holds a run"):
        check_folder(sweep)


def test_folders_that_cannot_be_are_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("mine")
    for out, message in {
        "/": "no folder for results",
        f"{tmp_path}/loop": "leads back to itself",
        "/dev/null": "is a file",
        f"{tmp_path}/loop/run": "cannot be written",
        f"{tmp_path}/file/run": "cannot be written",
        f"{tmp_path}/{'x' * 250}": "cannot be written.*name too long",
        f"{tmp_path}/{'x' * 300}/run": "cannot be written.*name too long",
        f"{tmp_path}/{'é' * 125}": "cannot be written.*name too long",
    }.items():
        with pytest.raises(ValueError, match=message):
            check_folder(out)
    check_folder(tmp_path / ("x" * 240))
    save(tmp_path / ("x" * 240), 1)
    save(tmp_path / ("x" * 240), 2, overwrite=True)
    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: pathlib.Path(path).name == "mounted")
    with pytest.raises(ValueError, match="mount point"):
        check_folder(tmp_path / "mounted")


# --- manifests ---


def test_a_manifest_with_any_bit_flipped_or_cut_is_refused_or_the_same(tmp_path):
    out = write_folder(tmp_path / "run", writer(1, {"results.csv": "{}"}))
    whole, manifest = (out / MANIFEST).read_bytes(), read_manifest(out)
    refused = 0
    for place in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        for data in (bytes(flipped), whole[:place]):
            (out / MANIFEST).write_bytes(data)
            try:
                assert read_manifest(out) == manifest
            except ValueError as error:
                refused += MANIFEST in str(error)
    # But for the blanks, and what is cut at the end.
    assert refused > 0.8 * len(whole) * 2 / 5


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", "[" * 100_000, '{"format": 1}', '{"format": "regjax-run-2"}', "\xff"]
)
def test_manifests_of_other_types_are_refused(text, tmp_path):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=MANIFEST):
        read_manifest(tmp_path)
    with pytest.raises(ValueError, match="more than a run"):
        check_folder(tmp_path, overwrite=True)


def test_a_file_of_a_run_is_checked_by_name(tmp_path):
    out = save(tmp_path / "run", 1)
    manifest = read_manifest(out)
    assert check_file(out, manifest, "models/a.bin") == out / "models" / "a.bin"
    (out / "models" / "a.bin").write_text("model 2")
    (out / "results.csv").unlink()
    for name, message in {
        "models/a.bin": "is corrupt, or was changed",
        "results.csv": "missing",
    }.items():
        with pytest.raises(ValueError, match=f"{name}.*{message}"):
            check_file(out, manifest, name)
