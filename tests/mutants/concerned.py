"""The test files concerned with an area, nearest first."""

from __future__ import annotations

import pathlib

ROOT = pathlib.Path(__file__).parents[2]

TESTS = {
    "penalties": [
        "test_penalty_faults*",
        "test_priors*",
        "test_l0*",
        "test_group_lasso*",
        "test_penalty_*",
        "test_masked_penalties*",
        "test_norms*",
        "test_proximal*",
    ],
    "transforms": [
        "test_transforms*",
        "test_decay*",
        "test_cautious*",
        "test_target_norm*",
        "test_muon*",
        "test_monitor*",
        "test_prox*",
        "test_optimizer*",
        "test_master*",
        "test_every*",
    ],
    "masks": ["test_mask*", "test_decay*", "test_conventions*"],
    "conventions": ["test_conventions*", "test_priors*"],
    "paths": ["test_paths*", "test_multi_task*", "test_ridge_cv*", "test_fits*"],
    "traced paths": ["test_paths_traced*"],
    "sweep engine": [
        "test_lanes*",
        "test_sweep_*",
        "test_run_sweep*",
        "test_store*",
        "test_folders*",
    ],
    "table sweeps": [
        "test_sweeps*",
        "test_model_files*",
        "test_cli*",
        "test_sweep_*",
        "test_folders*",
    ],
    "tables": ["test_tables*", "test_parquet*", "test_data_frames*", "test_cli*"],
    "fits": ["test_fits*", "test_parquet*", "test_cli_fits*"],
    "losses": ["test_least_squares*", "test_objectives*", "test_sweeps*"],
    "objectives": ["test_objectives*"],
    "diagnostics": ["test_diagnostics*", "test_least_squares*"],
    "solvers": ["test_least_squares*", "test_ridge_closed*", "test_proximal_gradient*"],
    "sklearn": ["test_sklearn*", "test_ridge_cv*", "test_multi_task*"],
    "regression": ["test_regression*", "test_masks*", "test_penalty_*", "test_house*"],
    "command": ["test_cli*", "test_readme*"],
}


def concerned(area: str, file: str) -> list[list[str]]:
    """Return the tests to run in turn: the module's examples and the nearest, then the others."""
    nearest, *further = TESTS[area]
    first = [file, *_files(nearest)]
    others = [name for pattern in further for name in _files(pattern) if name not in first]
    return [first, list(dict.fromkeys(others))]


def _files(pattern: str) -> list[str]:
    return sorted(f"tests/{path.name}" for path in (ROOT / "tests").glob(f"{pattern}.py"))
