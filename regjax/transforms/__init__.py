"""Regularization as optax `GradientTransformation`s: coupled, decoupled, proximal.

A coupled penalty is a link of a chain, before the optimizer. Decoupled decay and proximal
steps must see the learning rate, so they wrap the optimizer's direction and apply the rate
themselves:

    Adam + L2   optax.chain(coupled_l2(lambda_), optax.adam(learning_rate))
    AdamW       decoupled_weight_decay(optax.scale_by_adam(), learning_rate, lambda_)
    Adam + L1   proximal(adam_direction(), learning_rate, L1(lambda_), metric="adaptive")

Ready made these are `adam_l2`, `adamw` and `prox_adam`; `regjax.transforms.optimizers` lists
all of them with their rules. Around any of them go `monitor`, which measures what the penalty
does to every leaf, and `with_master_weights`, for weights in bfloat16.
"""

from regjax.transforms.coupled import coupled_l1, coupled_l2
from regjax.transforms.decoupled import decoupled_weight_decay, sgd_with_weight_decay
from regjax.transforms.master_weights import with_master_weights
from regjax.transforms.monitor import Metrics, monitor, read_metrics
from regjax.transforms.muon import muon_direction
from regjax.transforms.optimizers import (
    adam_l2,
    adamc,
    adamw,
    lionw,
    muonw,
    prox_adam,
    prox_adamw,
    prox_sgd,
    sgd_l2,
    sgdw,
)
from regjax.transforms.proximal import adam_direction, proximal

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
