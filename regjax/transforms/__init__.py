"""Regularization as optax `GradientTransformation`s: coupled, decoupled, proximal.

A coupled penalty is a link of a chain, before the optimizer. Decoupled decay and proximal
steps must see the learning rate, so they wrap the optimizer's direction and apply the rate
themselves:

    Adam + L2   optax.chain(coupled_l2(lambda_), optax.adam(learning_rate))
    AdamW       decoupled_weight_decay(optax.scale_by_adam(), learning_rate, lambda_)
    Adam + L1   proximal(adam_direction(), learning_rate, L1(lambda_), metric="adaptive")

Ready made these are `adam_l2`, `adamw` and `prox_adam`. All that are ready made:

| optimizer    | one step, with g the loss gradient and u Adam's direction of it       |
|--------------|-----------------------------------------------------------------------|
| `sgd_l2`     | `w - lr (g + lambda w)`                                               |
| `sgdw`       | `w - lr g - decay w`                                                  |
| `adam_l2`    | `w - lr u(g + lambda w)`                                              |
| `adamw`      | `w - lr u(g) - decay w`                                               |
| `adamc`      | `adamw`, with decay `lr^2 / peak lambda` on normalised layers         |
| `lionw`      | `w - lr sign(m) - decay w`                                            |
| `muonw`      | `w - lr orthogonalised(m) - decay w` on matrices, `adamw` elsewhere   |
| `prox_sgd`   | `prox(w - lr g)`, step lr: minimises loss + penalty                   |
| `prox_adam`  | `prox(w - lr u(g))`, step `lr / (sqrt(v_hat) + eps)` per coordinate:  |
|              | minimises loss + penalty                                              |
| `prox_adamw` | `prox(w - lr u(g))`, step lr: to a penalty what AdamW is to L2        |

`decay` is `lr lambda` unless `scaled_by` says otherwise, and the optimizers that end in w take
`cautious` and `target_norm` too (`regjax.transforms.decoupled`). All take `mask` and leave biases
and norms alone by default; strengths and learning rates may be numbers, traced scalars or
schedules. All work under `optax.inject_hyperparams`, which injects numbers: of the proximal ones
the learning rate, and the strength through a function,

    optax.inject_hyperparams(lambda learning_rate, lambda_: prox_adam(learning_rate, L1(lambda_)))

There name `ns_steps` in `static_args`, and `mask` if it is a tree that can be called; with
weights in bfloat16 put `with_master_weights` around it, because optax rounds `b2` to 1 there.
In float16 the default `eps` is 0: take 1e-4, or master weights.

Parameters may be sharded, over automatic or explicit mesh axes; updates and moments are sharded
as they are. What is communicated is the penalty's part (`regjax.penalties`), one norm per leaf
for `target_norm`, and in `muonw` the matrices.

Around any of them go `monitor`, which measures what the penalty does to every leaf, and
`with_master_weights`, for weights in bfloat16.
"""

from regjax.transforms.coupled import coupled_l1, coupled_l2
from regjax.transforms.decay_optimizers import (
    adam_l2,
    adamc,
    adamw,
    lionw,
    muonw,
    sgd_l2,
    sgdw,
)
from regjax.transforms.decoupled import decoupled_weight_decay, sgd_with_weight_decay
from regjax.transforms.master_weights import with_master_weights
from regjax.transforms.monitor import Metrics, monitor, read_metrics
from regjax.transforms.muon import muon_direction
from regjax.transforms.proximal import adam_direction, proximal
from regjax.transforms.proximal_optimizers import prox_adam, prox_adamw, prox_sgd

__all__ = [
    "Metrics",
    "adam_direction",
    "adam_l2",
    "adamc",
    "adamw",
    "coupled_l1",
    "coupled_l2",
    "decoupled_weight_decay",
    "lionw",
    "monitor",
    "muon_direction",
    "muonw",
    "prox_adam",
    "prox_adamw",
    "prox_sgd",
    "proximal",
    "read_metrics",
    "sgd_l2",
    "sgd_with_weight_decay",
    "sgdw",
    "with_master_weights",
]
