"""Penalties and optimizers on weights that are spread over four devices.

Run as a program, in a process of its own because the number of devices is fixed when JAX starts:
`python tests/sharded_problems.py few` (or `all`) prints a JSON list of [name, what is wrong].
"""

import json
import os
import re
import sys
import warnings

# Compiling is nearly all the work; what devices send one another is the same.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 --xla_cpu_use_fusion_emitters=false"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import regjax as rj
from regjax import masks
from regjax.solvers import proximal_gradient
from regjax.transforms import (
    adam_l2,
    adamc,
    adamw,
    coupled_l1,
    decoupled_weight_decay,
    lionw,
    monitor,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    sgd_l2,
    sgdw,
    with_master_weights,
)

ROWS, COLUMNS, N_GROUPS = 16, 64, 5
RNG = np.random.default_rng(0)
W = RNG.normal(size=(ROWS, COLUMNS)).astype(np.float32)
STEPS = (0.5 + RNG.random(W.shape)).astype(np.float32)
LABELS = RNG.integers(0, N_GROUPS, W.shape)

KINDS = {"explicit": AxisType.Explicit, "automatic": AxisType.Auto}
PLACEMENTS = {
    "rows": PartitionSpec("a", None),
    "columns": PartitionSpec(None, "a"),
    "rows and columns": PartitionSpec("a", "b"),
    "rows on all devices": PartitionSpec(("a", "b"), None),
    "replicated": PartitionSpec(None, None),
}
GROUPED = {
    "rows": rj.GroupLasso(0.5, jnp.arange(ROWS)[:, None], ROWS),
    "columns": rj.GroupLasso(0.5, np.arange(COLUMNS), COLUMNS),
    "labels": rj.GroupLasso(0.5, LABELS, N_GROUPS),
    "labels of rows": rj.GroupLasso(0.5, LABELS[:, :1], N_GROUPS, np.ones(N_GROUPS)),
}
PENALTIES = {
    **{f"group lasso, {name}": penalty for name, penalty in GROUPED.items()},
    "l1": rj.L1(0.3),
    "l2": rj.L2(0.3),
    "elastic net": rj.ElasticNet(0.3, 0.5),
    "l0": rj.L0(0.3),
    "box": rj.Box(-0.5, 0.7),
    "non-negative": rj.NonNegative(),
    "max norm of rows": rj.MaxNorm(1.0, axis=1),
    "max norm of columns": rj.MaxNorm(1.0, axis=0),
    "max norm of the leaf": rj.MaxNorm(1.0, axis=None),
    "unit norm": rj.UnitNorm(axis=1),
    "sum": rj.L1(0.2) + rj.L2(0.1) + GROUPED["rows"],
}


def push(params):
    return jax.tree.map(lambda x: 0.3 * x + jnp.cos(3 * x), params)


RATE = 0.05
HIDDEN = masks.by_path("kernel")
OPTIMIZERS = {
    "monitored prox_adam": monitor(prox_adam(RATE, GROUPED["rows"])),
    "muonw": optax.inject_hyperparams(muonw, static_args=("mask", "ns_steps"))(RATE, 0.3),
    "adamw": with_master_weights(adamw(RATE, 0.3, target_norm=1.0, cautious=True)),
    "prox_sgd": monitor(prox_sgd(RATE, GROUPED["labels"], momentum=0.5)),
    "prox_adam to a largest norm": prox_adam(RATE, rj.MaxNorm(1.0, axis=0)),
    "sgd_l2": sgd_l2(RATE, 0.3, momentum=0.9),
    "sgdw": sgdw(RATE, 0.3, momentum=0.9, nesterov=True, target_norm=2.0),
    "adam_l2": adam_l2(RATE, 0.3),
    "adamc": adamc(RATE, 0.3, normalized=masks.everything, peak_learning_rate=0.1),
    "lionw": lionw(RATE, 0.3, cautious=True),
    "prox_adam of a sum": monitor(prox_adam(RATE, PENALTIES["sum"]), every=2),
    "prox_adamw": prox_adamw(RATE, GROUPED["columns"]),
    "coupled": optax.chain(coupled_l1(0.3), optax.sgd(RATE)),
    "decoupled": decoupled_weight_decay(optax.scale_by_adam(), RATE, 0.3),
}

COLLECTIVE = re.compile(
    r"= (.*?) (?:all-gather|all-reduce|collective-permute|all-to-all|reduce-scatter)(?:-start)?\("
)


def place(x, kind, spec):
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(KINDS[kind],) * 2)
    return jax.device_put(x, NamedSharding(mesh, spec))


def compiled(function, *arguments, **options):
    """Return the results and the sizes of every collective in the program."""
    with jax.set_mesh(arguments[0].sharding.mesh):
        program = jax.jit(function, **options).lower(*arguments).compile()
        results = program(*arguments)
    shapes = [re.findall(r"\[([\d,]*)\]", found) for found in COLLECTIVE.findall(program.as_text())]
    sizes = [
        sum(int(np.prod([int(n) for n in shape.split(",") if n])) for shape in each)
        for each in shapes
    ]
    return results, sizes


def everything(penalty):
    """Return what a penalty computes, as functions of weights and of step sizes."""
    constraint = isinstance(penalty, rj.MaxNorm | rj.UnitNorm | rj.Box | rj.NonNegative)
    functions = {"value": lambda w, s: penalty.value(w), "prox": lambda w, s: penalty.prox(w, 0.7)}
    if not constraint:
        functions["lambda_max"] = lambda w, s: [part.lambda_max(w) for part in penalty.parts()]
    if not constraint and not isinstance(penalty, rj.L0):
        functions["gradient"] = lambda w, s: penalty.gradient(w)
        functions["derivative"] = lambda w, s: jax.grad(penalty.value)(w)
    if penalty.diagonal_prox:
        functions["diagonal prox"] = penalty.prox
        functions["tree"] = lambda w, s: penalty.prox({"x": w, "y": 2 * w}, {"x": s, "y": s})
    if isinstance(penalty, rj.GroupLasso):
        functions["tree"] = lambda w, s: jax.vmap(
            lambda lambda_: rj.GroupLasso(
                lambda_, {"x": penalty.groups, "y": penalty.groups}, penalty.n_groups
            ).prox({"x": w, "y": 2 * w}, {"x": s, "y": s})
        )(jnp.array([0.3, 1.0]))
        functions["Masked"] = lambda w, s: rj.mask_penalty(
            rj.GroupLasso(0.5, {"x": penalty.groups, "y": 0}, penalty.n_groups),
            {"x": True, "y": False},
        ).prox({"x": w, "y": 2 * w}, {"x": s, "y": s})
    return functions


def agree(found, expected, tolerance=2e-6):
    """Return what differs: numbers beyond rounding, or a layout that is not the weights'."""
    # Compared as NumPy's: every operation on sharded arrays would be a program of its own.
    found, expected = np.asarray(found), np.asarray(expected)
    scale = max(float(np.max(np.abs(expected), initial=0.0)), 1e-30)
    with np.errstate(invalid="ignore"):
        gap = np.max(
            np.where(found == expected, 0, np.abs(np.subtract(found, expected))), initial=0
        )
    return [] if gap <= tolerance * scale else [f"off by {gap / scale:.1e}"]


def penalty_faults(penalties, kinds, placements):
    for name, penalty in penalties.items():
        functions = everything(penalty)

        def run(w, s, functions=functions):
            return {what: function(w, s) for what, function in functions.items()}

        expected = jax.jit(run)(W, STEPS)
        for kind in kinds:
            for placement in placements:
                w, s = (place(x, kind, PLACEMENTS[placement]) for x in (W, STEPS))
                found, _ = compiled(run, w, s)
                for what in functions:
                    leaves = [jax.tree.leaves(tree[what]) for tree in (found, expected)]
                    wrong = [fault for pair in zip(*leaves, strict=True) for fault in agree(*pair)]
                    alike = [x for x in leaves[0] if x.shape == w.shape]
                    wrong += ["another layout" for x in alike if x.sharding != w.sharding]
                    yield f"{name}, {what}, {kind}, {placement}", wrong


def collective_faults(grouped, kinds, placements, programs=("prox", "gradient", "diagonal prox")):
    """One collective of a number per group for each reduction, and per axis of the mesh.

    The compilers for CPUs keep the axes of a mesh apart; those for GPUs join them.
    """
    for name, penalty in grouped.items():
        per_group = max(penalty.n_groups, np.size(penalty.groups) if np.ndim(penalty.groups) else 1)
        largest = min(per_group, W.size // 8)
        # The second limit is of numbers per group: both sums of a Newton step are one collective.
        # A diagonal prox has two to start from, the loop's body, and the step that carries the
        # derivative.
        limits = {
            "prox": (lambda w, s, p=penalty: p.prox(w, 0.7), 2, 1),
            "gradient": (lambda w, s, p=penalty: p.gradient(w), 2, 1),
            "diagonal prox": (penalty.prox, 4, 2),
        }
        for what in programs:
            function, most, numbers = limits[what]
            expected = jax.jit(function)(W, STEPS)
            for kind in kinds:
                for placement in placements:
                    w, s = (place(x, kind, PLACEMENTS[placement]) for x in (W, STEPS))
                    found, sizes = compiled(function, w, s)
                    axes = 2 if placement == "rows and columns" else 1
                    wrong = agree(found, expected)
                    wrong += [f"{len(sizes)} collectives"] * (len(sizes) > most * axes)
                    wrong += [f"a collective of {n}" for n in sizes if n > numbers * largest]
                    wrong += ["another layout"] * (found.sharding != w.sharding)
                    yield f"group lasso, {name}, {what}, {kind}, {placement}", wrong


def optimizer_faults(optimizers, kinds, placements):
    names = list(optimizers)

    def steps(states, params):
        def walk(tx, state):
            def step(carry, _):
                p, state = carry
                updates, state = tx.update(push(p), state, p)
                return (optax.apply_updates(p, updates), state), None

            return jax.lax.scan(step, (params, state), length=2)[0]

        return {name: walk(optimizers[name], states[name]) for name in names}

    def init(params):
        return {name: optimizers[name].init(params) for name in names}

    plain = {"kernel": jnp.asarray(W), "bias": jnp.asarray(W[0])}
    expected = jax.jit(steps)(jax.jit(init)(plain), plain)
    for kind in kinds:
        for placement in placements:
            spec = PLACEMENTS[placement]
            params = {
                "kernel": place(W, kind, spec),
                "bias": place(W[0], kind, PartitionSpec(spec[1])),
            }
            with jax.set_mesh(params["kernel"].sharding.mesh):
                states = jax.jit(init)(params)
                given = jax.tree.map(lambda x: x.sharding, states)
                found = jax.jit(steps, donate_argnums=0)(states, params)
            for name in names:
                (p, state), (q, other) = found[name], expected[name]
                pairs = zip(jax.tree.leaves((p, state)), jax.tree.leaves((q, other)), strict=True)
                wrong = [fault for pair in pairs for fault in agree(*pair, 2e-5)]
                if kind == "explicit":
                    layouts = (jax.tree.map(lambda x: x.sharding, params), given[name])
                    same = jax.tree.map(
                        lambda x, y: x.sharding.is_equivalent_to(y, x.ndim), (p, state), layouts
                    )
                    wrong += ["another layout"] * (not all(jax.tree.leaves(same)))
                yield f"{name}, {kind}, {placement}", wrong


def solver_faults(kinds, placements):
    def solve(w):
        smooth = jax.value_and_grad(lambda x: jnp.sum(jnp.square(x - w)) / 2)
        solution = proximal_gradient(
            smooth, GROUPED["rows"], jnp.zeros_like(w), step_size=0.5, max_steps=5
        )
        return solution.value

    expected = jax.jit(solve)(W)
    for kind in kinds:
        for placement in placements:
            found, _ = compiled(solve, place(W, kind, PLACEMENTS[placement]))
            yield f"proximal_gradient, {kind}, {placement}", agree(found, expected)


def main(which):
    # A donated buffer that cannot be used again is a warning.
    warnings.simplefilter("error")
    if which == "all":
        both = ["rows and columns"]
        runs = [
            penalty_faults(PENALTIES, KINDS, both),
            collective_faults(GROUPED, KINDS, ["rows", "columns", "rows and columns"]),
            optimizer_faults(OPTIMIZERS, KINDS, both),
            solver_faults(KINDS, both),
        ]
    else:
        metrics = ("prox", "diagonal prox")
        both = ["rows and columns"]
        optimizers = {name: OPTIMIZERS[name] for name in ("prox_sgd", "muonw")}
        runs = [
            collective_faults({"labels": GROUPED["labels"]}, ["explicit"], both, metrics[1:]),
            collective_faults({"rows": GROUPED["rows"]}, ["automatic"], both, metrics),
            optimizer_faults(optimizers, ["explicit"], ["rows"]),
        ]
    print(json.dumps([row for run in runs for row in run]))


if __name__ == "__main__":
    main(sys.argv[1])
