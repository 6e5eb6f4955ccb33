"""Parameter trees as Flax, Equinox, Haiku and plain JAX make them."""

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

from regjax import masks

KEY = jax.random.key(0)


def shapes(**leaves):
    """A dict of zeros; a name with slashes becomes nested dicts."""
    tree = {}
    for name, shape in leaves.items():
        *outer, last = name.split("/")
        node = tree
        for part in outer:
            node = node.setdefault(part, {})
        node[last] = jnp.zeros(shape)
    return tree


def penalized(params, mask=masks.weights):
    return {row.path for row in mask.report(params).rows if row.penalized}


# --- Flax linen --------------------------------------------------------------------------


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(x + nn.MultiHeadDotProductAttention(2)(x))
        return nn.RMSNorm(name="ln_2")(nn.Dense(4)(x))


class LinenTransformer(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(5, 4)(tokens) + self.param("pos_embedding", nn.initializers.zeros, (3, 4))
        x = LinenBlock()(x)
        x = nn.PReLU()(nn.GroupNorm(2)(nn.Conv(4, (2,))(x)))
        x = nn.BatchNorm(use_running_average=False)(x)
        return nn.Dense(5, name="lm_head")(x)


class LinenStack(nn.Module):
    """Layers stacked by scan: every leaf has a leading axis of layers."""

    @nn.compact
    def __call__(self, x):
        stack = nn.scan(
            lambda block, x, _: (block(x), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=3,
        )
        x, _ = stack(LinenBlock(name="blocks"), x, None)
        return x


def linen_partitioned_lanes():
    """Every array in a box that names the axes of a device mesh."""
    layer = nn.Dense(
        3,
        kernel_init=nn.with_partitioning(nn.initializers.zeros, (None, "model")),
        bias_init=nn.with_partitioning(nn.initializers.zeros, ("model",)),
    )
    init = jax.vmap(lambda key: layer.init(key, jnp.zeros((2, 4)))["params"])
    return jax.eval_shape(init, jax.random.split(KEY, 3))


def linen_transformer():
    return jax.eval_shape(LinenTransformer().init, KEY, jnp.zeros((2, 3), int))


def linen_stack():
    return jax.eval_shape(LinenStack().init, KEY, jnp.zeros((2, 3, 4)))["params"]


# --- Flax NNX ----------------------------------------------------------------------------


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.tokens = nnx.Embed(5, 4, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 4, rngs=rngs)
        self.before = nnx.LayerNorm(4, rngs=rngs)
        self.batch = nnx.BatchNorm(4, rngs=rngs)
        self.conv = nnx.Conv(4, 3, (3, 3), rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])


def nnx_net():
    return NNXNet(nnx.Rngs(0))


def nnx_lanes():
    create = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: NNXNet(rngs)))
    return nnx.state(create(nnx.Rngs(0)))


# --- Equinox -----------------------------------------------------------------------------


class PreNormBlock(eqx.Module):
    """A container whose own name speaks of norms."""

    norm: eqx.nn.LayerNorm
    linear: eqx.nn.Linear

    def __init__(self):
        self.norm = eqx.nn.LayerNorm(4)
        self.linear = eqx.nn.Linear(4, 4, key=KEY)


class EquinoxNet(eqx.Module):
    tokens: eqx.nn.Embedding
    attention: eqx.nn.MultiheadAttention
    first: eqx.nn.LayerNorm
    second: eqx.nn.RMSNorm
    third: eqx.nn.GroupNorm
    conv: eqx.nn.Conv2d
    mlp: eqx.nn.MLP
    cell: eqx.nn.GRUCell
    slope: eqx.nn.PReLU
    sequence: eqx.nn.Sequential

    def __init__(self):
        self.tokens = eqx.nn.Embedding(5, 4, key=KEY)
        self.attention = eqx.nn.MultiheadAttention(2, 4, use_query_bias=True, key=KEY)
        self.first = eqx.nn.LayerNorm(4)
        self.second = eqx.nn.RMSNorm(4)
        self.third = eqx.nn.GroupNorm(2, 4)
        self.conv = eqx.nn.Conv2d(1, 2, 3, key=KEY)
        self.mlp = eqx.nn.MLP(4, 2, 3, depth=1, key=KEY)
        self.cell = eqx.nn.GRUCell(2, 3, key=KEY)
        self.slope = eqx.nn.PReLU()
        self.sequence = eqx.nn.Sequential(
            [eqx.nn.Linear(2, 2, key=KEY), eqx.nn.Lambda(jnp.tanh), eqx.nn.Dropout(0.5)]
        )


def equinox_lanes():
    keys = jax.random.split(KEY, 3)
    return eqx.filter_vmap(lambda key: eqx.nn.MLP(4, 2, 3, depth=1, key=key))(keys)


def equinox_lanes_of_layers():
    def lane(key):
        return eqx.filter_vmap(lambda key: eqx.nn.Linear(4, 4, key=key))(jax.random.split(key, 2))

    return eqx.filter_vmap(lane)(jax.random.split(KEY, 3))


# --- Haiku and plain dicts ---------------------------------------------------------------


def haiku_net():
    def forward(tokens):
        x = hk.Embed(5, 4)(tokens)
        x = hk.MultiHeadAttention(2, 2, w_init=hk.initializers.RandomNormal())(x, x, x)
        x = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
        x = hk.RMSNorm(-1)(x)
        x = hk.BatchNorm(True, True, 0.9)(x, is_training=True)
        x, _ = hk.LSTM(4)(x[:, 0], hk.LSTM(4).initial_state(2))
        return hk.nets.MLP([3, 2])(x)

    init = hk.transform_with_state(forward).init
    return jax.eval_shape(init, KEY, jnp.zeros((2, 3), int))[0]


def gpt():
    return shapes(
        **{
            "wte": (5, 4),
            "wpe/weight": (3, 4),
            "h/0/ln_1/weight": (4,),
            "h/0/ln_1/bias": (4,),
            "h/0/attn/c_attn/weight": (4, 12),
            "h/0/attn/c_attn/bias": (12,),
            "h/0/attn/q_norm/weight": (4,),
            "h/0/inputLayernorm/weight": (4,),
            "h/0/mlp/w_up": (4, 8),
            "h/0/attn_norm_w": (4,),
            "ln_f/weight": (4,),
            "norm_final/scale": (4,),
        }
    )
