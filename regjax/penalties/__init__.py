"""Penalties: pure functions with hand-written gradients and proximal operators.

For every penalty, `<name>_penalty`, `<name>_gradient` and `<name>_prox` hold the
mathematics, on arrays and on trees; a frozen object of the same name binds the strengths
for solvers and optimizers.

Sharded weights may lie on automatic or explicit mesh axes, and what has their shape keeps their
sharding. Penalties of single weights communicate only for `value`. Those of groups reduce every
shard where it is and exchange numbers per group, never weights: two reductions for a value, a
gradient or a proximal step, and in a diagonal metric two and one per Newton step.
"""

from regjax._pytree import pytree_dataclass
from regjax.penalties._penalty import Penalty, Sum
from regjax.penalties.box import Box, box_penalty, box_prox
from regjax.penalties.elastic_net import (
    ElasticNet,
    elastic_net_gradient,
    elastic_net_penalty,
    elastic_net_prox,
    elastic_net_strengths,
)
from regjax.penalties.group_lasso import (
    GroupLasso,
    group_lasso_gradient,
    group_lasso_penalty,
    group_lasso_prox,
)
from regjax.penalties.l0 import L0, l0_penalty, l0_prox
from regjax.penalties.l1 import L1, l1_gradient, l1_penalty, l1_prox
from regjax.penalties.l2 import L2, l2_gradient, l2_penalty, l2_prox
from regjax.penalties.masked import Masked, mask_penalty
from regjax.penalties.max_norm import MaxNorm, max_norm_penalty, max_norm_prox
from regjax.penalties.non_negative import NonNegative, non_negative_penalty, non_negative_prox
from regjax.penalties.priors import gaussian_log_prior, laplace_log_prior
from regjax.penalties.unit_norm import UnitNorm, unit_norm_penalty, unit_norm_prox

__all__ = [
    "L0",
    "L1",
    "L2",
    "Box",
    "ElasticNet",
    "GroupLasso",
    "Masked",
    "MaxNorm",
    "NonNegative",
    "Penalty",
    "Sum",
    "UnitNorm",
    "box_penalty",
    "box_prox",
    "elastic_net_gradient",
    "elastic_net_penalty",
    "elastic_net_prox",
    "elastic_net_strengths",
    "gaussian_log_prior",
    "group_lasso_gradient",
    "group_lasso_penalty",
    "group_lasso_prox",
    "l0_penalty",
    "l0_prox",
    "l1_gradient",
    "l1_penalty",
    "l1_prox",
    "l2_gradient",
    "l2_penalty",
    "l2_prox",
    "laplace_log_prior",
    "mask_penalty",
    "max_norm_penalty",
    "max_norm_prox",
    "non_negative_penalty",
    "non_negative_prox",
    "pytree_dataclass",
    "unit_norm_penalty",
    "unit_norm_prox",
]
