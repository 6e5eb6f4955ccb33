"""What a table of measurements must say of where it was measured."""

from __future__ import annotations

import os
import pathlib
import platform
import resource
import subprocess
from importlib import metadata


def describe() -> str:
    """Return one line: commit, processor, cores, versions."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    info = pathlib.Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "numpy"))
    return (
        f"Commit {commit or 'unknown'}; {processor}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, {versions}."
    )


def peak_memory_mib() -> float:
    """Return the peak resident memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
