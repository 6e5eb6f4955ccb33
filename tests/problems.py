"""Tables of cases. A new penalty is one row of PENALTIES, and every property is tested on it."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import regjax as rj
from regjax.penalties import Penalty

# Trees of float64 arrays. Few shapes, so that compiled programs are shared; zeros, whole
# zero groups (labels below) and leaves without dimensions are where derivatives go wrong.
_VECTOR = np.array([1.5, 0.0, -2.0, 0.25, 0.0])
_MATRIX = np.array([[0.5, -1.0], [0.0, 3.0], [-0.125, 0.75]])
WEIGHTS = {
    "vector": _VECTOR,
    "matrix": _MATRIX,
    "dict": {"bias": _VECTOR, "kernel": _MATRIX},
    "nested": {
        "head": (np.array(-0.5), np.zeros(5)),
        "layers": [{"w": _MATRIX, "b": np.ones(1)}],
    },
}

N_GROUPS = 3
GROUP_WEIGHTS = np.array([0.5, 1.0, 2.0])


def group_labels(w):
    """Entry i of every leaf lies in group i mod 3, so that groups span leaves."""
    return jax.tree.map(lambda x: np.arange(np.size(x)).reshape(np.shape(x)) % N_GROUPS, w)


def group_norms(leaves):
    entries = [np.ravel(x) for x in leaves]
    squares = [sum(np.sum(x[g::N_GROUPS] ** 2) for x in entries) for g in range(N_GROUPS)]
    return np.sqrt(squares)


def group_sizes(leaves):
    return np.array([sum(np.ravel(x)[g::N_GROUPS].size for x in leaves) for g in range(N_GROUPS)])


def all_but_the_first(w):
    """A boolean tree like `w`; a single array is selected itself."""
    leaves, structure = jax.tree.flatten(w)
    return structure.unflatten([i > 0 or len(leaves) == 1 for i in range(len(leaves))])


class PureFunctions(NamedTuple):
    """What a penalty object binds; `gradient` is None where there is none."""

    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], Any] | None
    prox: Callable[[Any, Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class PenaltyCase:
    """One penalty.

    Attributes:
        bind: (strength, w) -> penalty object for weights like `w`.
        closed_form: (leaves of w in float64, strength) -> value, in NumPy.
        pure: functions that the object must equal.
        has_gradient, has_strength, convex: what holds for it.
        separable: whether it is a sum over coordinates.
        diagonal: whether its prox takes one step size per coordinate.
        gives_zeros: whether its prox sets small entries to 0.
        per_leaf: whether the strength may be a tree prefix.
    """

    name: str
    bind: Callable[[Any, Any], Penalty]
    closed_form: Callable[[list[np.ndarray], float], float]
    pure: PureFunctions | None = None
    has_gradient: bool = True
    has_strength: bool = True
    convex: bool = True
    separable: bool = True
    diagonal: bool = True
    gives_zeros: bool = True
    per_leaf: bool = True


def rest(leaves):
    """The leaves that `all_but_the_first` selects."""
    return leaves[1:] or leaves


def _absolute(leaves):
    return sum(np.sum(np.abs(x)) for x in leaves)


def _squares(leaves):
    return sum(np.sum(x**2) for x in leaves)


# What a projection may be off by, and still counts as inside.
ROUNDING = 16 * float(np.finfo(np.float64).eps)


def _leaf_norms(leaves):
    return np.array([np.linalg.norm(np.ravel(x)) for x in leaves])


def _indicator(inside):
    return 0.0 if np.all(inside) else np.inf


def _elastic_net(l1_ratio):
    return PenaltyCase(
        f"elastic_net_{l1_ratio}",
        lambda s, w: rj.ElasticNet(s, l1_ratio),
        lambda x, s: s * (l1_ratio * _absolute(x) + (1 - l1_ratio) / 2 * _squares(x)),
        PureFunctions(
            lambda w, s: rj.elastic_net_penalty(w, s, l1_ratio),
            lambda w, s: rj.elastic_net_gradient(w, s, l1_ratio),
            lambda v, s, step: rj.elastic_net_prox(v, s, l1_ratio, step),
        ),
        gives_zeros=l1_ratio > 0,
    )


def _group_lasso(name, weights, closed_weights):
    def extra(w):
        # A copy: programs of both precisions do not share an array that they hold as a constant.
        return group_labels(w), N_GROUPS, None if weights is None else weights.copy()

    return PenaltyCase(
        name,
        lambda s, w: rj.GroupLasso(s, *extra(w)),
        lambda x, s: s * np.sum(closed_weights(x) * group_norms(x)),
        PureFunctions(
            lambda w, s: rj.group_lasso_penalty(w, s, *extra(w)),
            lambda w, s: rj.group_lasso_gradient(w, s, *extra(w)),
            lambda v, s, step: rj.group_lasso_prox(v, s, *extra(v), step_size=step),
        ),
        separable=False,
        per_leaf=False,
    )


PENALTIES = [
    PenaltyCase(
        "l1",
        lambda s, w: rj.L1(s),
        lambda x, s: s * _absolute(x),
        PureFunctions(rj.l1_penalty, rj.l1_gradient, rj.l1_prox),
    ),
    PenaltyCase(
        "l2",
        lambda s, w: rj.L2(s),
        lambda x, s: s / 2 * _squares(x),
        PureFunctions(rj.l2_penalty, rj.l2_gradient, rj.l2_prox),
        gives_zeros=False,
    ),
    _elastic_net(0.0),
    _elastic_net(0.3),
    _elastic_net(1.0),
    _group_lasso("group_lasso", None, lambda x: np.sqrt(group_sizes(x))),
    _group_lasso("group_lasso_weighted", GROUP_WEIGHTS, lambda x: GROUP_WEIGHTS),
    PenaltyCase(
        "l0",
        lambda s, w: rj.L0(s),
        lambda x, s: s * sum(np.count_nonzero(leaf) for leaf in x),
        PureFunctions(rj.l0_penalty, None, rj.l0_prox),
        has_gradient=False,
        convex=False,
    ),
    PenaltyCase(
        "non_negative",
        lambda s, w: rj.NonNegative(),
        lambda x, s: 0.0 if all(np.all(leaf >= 0) for leaf in x) else np.inf,
        PureFunctions(
            lambda w, s: rj.non_negative_penalty(w),
            None,
            lambda v, s, step: rj.non_negative_prox(v),
        ),
        has_gradient=False,
        has_strength=False,
    ),
    PenaltyCase(
        "box",
        lambda s, w: rj.Box(-0.75, 1.5),
        lambda x, s: 0.0 if all(np.all((leaf >= -0.75) & (leaf <= 1.5)) for leaf in x) else np.inf,
        PureFunctions(
            lambda w, s: rj.box_penalty(w, -0.75, 1.5),
            None,
            lambda v, s, step: rj.box_prox(v, -0.75, 1.5),
        ),
        gives_zeros=False,
        has_gradient=False,
        has_strength=False,
    ),
    PenaltyCase(
        "max_norm",
        lambda s, w: rj.MaxNorm(1.25, axis=None),
        lambda x, s: _indicator(_leaf_norms(x) <= 1.25 * (1 + ROUNDING)),
        PureFunctions(
            lambda w, s: rj.max_norm_penalty(w, 1.25, None),
            None,
            lambda v, s, step: rj.max_norm_prox(v, 1.25, None, step),
        ),
        gives_zeros=False,
        has_gradient=False,
        has_strength=False,
        separable=False,
    ),
    PenaltyCase(
        "unit_norm",
        lambda s, w: rj.UnitNorm(axis=None),
        lambda x, s: _indicator(np.abs(_leaf_norms(x) - 1) <= ROUNDING),
        PureFunctions(
            lambda w, s: rj.unit_norm_penalty(w, None),
            None,
            lambda v, s, step: rj.unit_norm_prox(v, None),
        ),
        gives_zeros=False,
        has_gradient=False,
        has_strength=False,
        convex=False,
        separable=False,
        diagonal=False,
    ),
    PenaltyCase(
        "masked_elastic_net",
        lambda s, w: rj.mask_penalty(rj.ElasticNet(s, 0.3), all_but_the_first(w)),
        lambda x, s: s * (0.3 * _absolute(rest(x)) + 0.35 * _squares(rest(x))),
    ),
    PenaltyCase(
        "masked_group_lasso",
        lambda s, w: rj.mask_penalty(
            rj.GroupLasso(s, group_labels(w), N_GROUPS, GROUP_WEIGHTS.copy()), all_but_the_first(w)
        ),
        lambda x, s: s * np.sum(GROUP_WEIGHTS * group_norms(rest(x))),
        separable=False,
        per_leaf=False,
    ),
]

STRENGTH = 0.7


def cases(keep=lambda case: True):
    """Run a test on the rows of PENALTIES that `keep` holds of."""
    kept = [case for case in PENALTIES if keep(case)]
    return pytest.mark.parametrize("case", kept, ids=[case.name for case in kept])


def by_turns(keep=lambda case: True, first=np.float32):
    """Run a test on the rows that `keep` holds of, each in one of the two precisions by turns."""
    kinds = (np.float32, np.float64) if first == np.float32 else (np.float64, np.float32)
    rows = [
        pytest.param(case, kinds[i % 2], id=f"{case.name}-{kinds[i % 2].__name__}")
        for i, case in enumerate(PENALTIES)
        if keep(case)
    ]
    return pytest.mark.parametrize(("case", "dtype"), rows, indirect=["dtype"])


every = cases()
with_gradient = cases(lambda case: case.has_gradient)
with_strength = cases(lambda case: case.has_strength)
per_leaf = cases(lambda case: case.per_leaf and case.has_strength)
separable = cases(lambda case: case.separable)
diagonal = cases(lambda case: case.diagonal)
pure = cases(lambda case: case.pure is not None)
# Zeros in the shapes of the nested tree share its programs.
weights = pytest.mark.parametrize(
    "weights",
    [WEIGHTS["nested"], jax.tree.map(np.zeros_like, WEIGHTS["nested"])],
    ids=["nested", "zeros"],
)


def tolerance(dtype):
    # A handful of rounded operations on numbers of order one to ten.
    return 32 * float(jnp.finfo(dtype).eps)


def as_dtype(tree, dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def as_float64(tree):
    """The leaves as NumPy arrays in float64, for closed forms."""
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def assert_close(actual, expected, tol):
    """Trees of equal structure and shapes, equal within `tol`, absolute and relative."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tol, atol=tol)
