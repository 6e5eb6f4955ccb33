"""The exact path of the lasso, where columns or rows are few: which lanes walk together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from regjax.paths._threads import blocks, run_each
from regjax.paths.data.standard_form import DataForm, Standard
from regjax.paths.engines.homotopy import GramDesign, State, Tableau, advance, read_off
from regjax.paths.engines.homotopy_segments import IN_PLAY, walk_segments

# What lanes that walk together keep: as much as caches hold.
_WALK_ENTRIES = 2**19
# Kinks until pieces are read off, and pivots go into the Gram matrices.
_AT_ONCE = 16
# From so many coefficients on, threads are worth their start.
_MANY_WALKED = 2**17


def walk_grams(lanes: list[Standard], lambdas: np.ndarray) -> dict[int, np.ndarray]:
    """Return by lane the coefficients (m, n_lambdas, q) of those whose walk came to its end."""
    p = lanes[0].cross.shape[1]

    def walk(
        group: np.ndarray, targets: slice, lambdas: np.ndarray, paths: np.ndarray
    ) -> np.ndarray:
        gram = np.stack([lanes[i].gram for i in group])
        cross = np.concatenate([lanes[i].cross[targets] for i in group])
        strength, end = _strengths(lanes, group, len(cross)), lambdas[:, -1]
        state = State.before_all(cross, strength, end)
        design = GramDesign(gram, len(cross))
        index, every = np.broadcast_to(np.arange(p), cross.shape), np.arange(len(cross))
        for _ in range(0, _most_kinks(p), _AT_ONCE):
            pivots = Tableau(design, _AT_ONCE)
            pieces = advance(state, pivots, end, _AT_ONCE)
            read_off(pieces, state, every, index, lambdas, paths)
            if (state.here <= end).all():
                break
            design.pivot(pivots)
        return state.here <= end

    return _walked(lanes, lambdas, p * p, walk)


def walk_data(form: DataForm, lambdas: np.ndarray) -> dict[int, np.ndarray]:
    """Return the same of lanes that weigh few rows."""
    n, p = form.columns.X.shape

    def walk(group: np.ndarray, targets: slice, grid: np.ndarray, paths: np.ndarray) -> np.ndarray:
        response = form.response[group, :, targets].transpose(0, 2, 1).reshape(-1, n)
        strength = _strengths(form.lanes, group, len(response))
        of = np.repeat(group, len(response) // len(group))
        return walk_segments(form.columns, of, response, strength, grid, paths, _most_kinks(n))

    return _walked(form.lanes, lambdas, n * min(n + IN_PLAY, p), walk)


def _most_kinks(capacity: int) -> int:
    """Return how many kinks a lane may have before it is left to another engine."""
    return 16 * capacity + 50


def _strengths(lanes: list[Standard], group: np.ndarray, n_pairs: int) -> np.ndarray:
    """Return factors of lambda (n_pairs, q), the responses of a lane together."""
    return np.repeat(np.stack([lanes[i].l1 for i in group]), n_pairs // len(group), axis=0)


def _walked(
    lanes: list[Standard],
    lambdas: np.ndarray,
    entries: int,
    walk: Callable[[np.ndarray, slice, np.ndarray, np.ndarray], np.ndarray],
) -> dict[int, np.ndarray]:
    """Return by lane what `walk` gives for lanes, responses and grids, of `entries` each."""
    n_lanes, m, n_lambdas = lambdas.shape
    if not n_lambdas:
        return {}
    shape = (n_lanes, m, n_lambdas, lanes[0].cross.shape[1])
    b, done = np.zeros(shape), np.zeros((n_lanes, m), dtype=bool)
    groups = list(blocks(n_lanes, m, max(8, _WALK_ENTRIES // entries)))

    def walk_group(i: int) -> None:
        group, targets = groups[i]
        at = slice(group[0], group[-1] + 1), targets
        grid, paths = (part[at].reshape(-1, *part.shape[2:]) for part in (lambdas, b))
        done[at] = walk(group, targets, grid, paths).reshape(len(group), -1)

    run_each(walk_group, range(len(groups)), worthwhile=b.size >= _MANY_WALKED)
    return {int(i): b[i] for i in np.flatnonzero(done.all(axis=1))}
