"""What is distributed: the command as a module, a complete source distribution, files of CI."""

import itertools
import pathlib
import subprocess
import sys
import tarfile
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Only for the repository itself.
NOT_DISTRIBUTED = {".gitignore", ".pre-commit-config.yaml", ".github/workflows/test.yml"}


def run(*command, cwd=ROOT):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_the_package_runs_as_a_module():
    version = PYPROJECT["project"]["version"]
    printed = run(sys.executable, "-m", "regjax", "--version")
    assert printed.split() == ["python", "-m", "regjax,", "version", version]


@pytest.mark.slow
def test_the_source_distribution_is_the_repository(tmp_path):
    build = "import setuptools.build_meta as b, sys; print(b.build_sdist(sys.argv[1]))"
    name = run(sys.executable, "-c", build, str(tmp_path)).split()[-1]
    with tarfile.open(tmp_path / name) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert set(run("git", "ls-files").split("\n")) - {""} - files == NOT_DISTRIBUTED


def test_every_requirement_has_a_lower_bound():
    extras = PYPROJECT["project"]["optional-dependencies"]
    requirements = [*PYPROJECT["project"]["dependencies"], *itertools.chain(*extras.values())]
    own = [one for one in requirements if one.startswith("regjax[")]
    assert len(own) >= 4
    assert [one for one in requirements if one not in own and ">=" not in one] == []


def test_ci_and_the_workflow_name_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    declared = set(makefile.partition(".PHONY:")[2].partition("\n")[0].split())
    script = (ROOT / ".ci" / "run").read_text()
    wanted = {line.split()[-1] for line in script.splitlines() if line.startswith("budget ")}
    assert {"test", "slow", "outside", "lint"} <= wanted <= declared
    workflow = ROOT / ".github" / "workflows" / "test.yml"
    if workflow.is_file():
        targets = [part.split(",")[0] for part in workflow.read_text().split("target: ")[1:]]
        assert {"lint", "oldest", "test", "newest", "slow"} <= set(targets) <= declared
