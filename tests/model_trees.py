"""Parameter trees as Flax, Equinox, Haiku and plain JAX make them."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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
        node[last] = np.zeros(shape, np.float32)
    return tree


def flat(**leaves):
    """A flat dict of zeros, as a state dict of PyTorch is."""
    return {name: np.zeros(shape, np.float32) for name, shape in leaves.items()}


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


@functools.cache
def nnx_net():
    return nnx.eval_shape(lambda: NNXNet(nnx.Rngs(0)))


def nnx_lanes():
    create = nnx.split_rngs(splits=3)(nnx.vmap(lambda rngs: NNXNet(rngs)))
    return nnx.state(nnx.eval_shape(lambda: create(nnx.Rngs(0))))


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


@functools.cache
def equinox_net():
    return EquinoxNet()


def equinox_lanes():
    keys = jax.random.split(KEY, 3)
    lanes = eqx.filter_vmap(lambda key: eqx.nn.MLP(4, 2, 3, depth=1, key=key))
    return eqx.filter_eval_shape(lanes, keys)


def equinox_lanes_of_layers():
    def lane(key):
        return eqx.filter_vmap(lambda key: eqx.nn.Linear(4, 4, key=key))(jax.random.split(key, 2))

    return eqx.filter_eval_shape(eqx.filter_vmap(lane), jax.random.split(KEY, 3))


# --- Haiku and plain dicts ---------------------------------------------------------------


def haiku_net():
    # It is imported for this one alone.
    import haiku as hk

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


# --- names of published models: what is penalized, and what is not ------------------------

NAMES = {
    "timm_vit": (
        {
            "patch_embed.proj.weight": (8, 3, 2, 2),
            "blocks.0.attn.qkv.weight": (24, 8),
            "blocks.0.mlp.fc1.weight": (32, 8),
            "head.weight": (5, 8),
        },
        {
            "cls_token": (1, 1, 8),
            "dist_token": (1, 1, 8),
            "reg_token": (1, 4, 8),
            "mask_token": (1, 1, 8),
            "pos_embed": (1, 5, 8),
            "patch_embed.proj.bias": (8,),
            "blocks.0.norm1.weight": (8,),
            "blocks.0.norm1.bias": (8,),
            "blocks.0.attn.qkv.bias": (24,),
            "blocks.0.attn.q_norm.weight": (8,),
            "blocks.0.attn.relative_position_bias_table": (9, 2),
            "blocks.0.attn.rel_pos_h": (9, 4),
            "blocks.0.ls1.gamma": (8,),
            "norm.weight": (8,),
            "head.bias": (5,),
        },
    ),
    "hugging_face_vit": (
        {
            "vit.embeddings.patch_embeddings.projection.weight": (8, 3, 2, 2),
            "vit.encoder.layer.0.attention.attention.query.weight": (8, 8),
            "vit.encoder.layer.0.intermediate.dense.weight": (32, 8),
            "classifier.weight": (5, 8),
        },
        {
            "vit.embeddings.cls_token": (1, 1, 8),
            "vit.embeddings.mask_token": (1, 1, 8),
            "vit.embeddings.register_tokens": (1, 4, 8),
            "vit.embeddings.position_embeddings": (1, 5, 8),
            "vit.encoder.layer.0.attention.attention.query.bias": (8,),
            "vit.encoder.layer.0.layernorm_before.weight": (8,),
            "vit.encoder.layer.0.layer_scale1.lambda1": (8,),
            "vit.layernorm.weight": (8,),
            "classifier.bias": (5,),
        },
    ),
    "flax_vit": (
        {
            "embedding/kernel": (2, 2, 3, 8),
            "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel": (8, 32),
            "head/kernel": (8, 5),
        },
        {
            "cls": (1, 1, 8),
            "embedding/bias": (8,),
            "Transformer/posembed_input/pos_embedding": (1, 5, 8),
            "Transformer/encoderblock_0/LayerNorm_0/scale": (8,),
            "head/bias": (5,),
        },
    ),
    "hugging_face_bert": (
        {
            "bert.embeddings.word_embeddings.weight": (9, 8),
            "bert.embeddings.position_embeddings.weight": (5, 8),
            "bert.encoder.layer.0.attention.self.query.weight": (8, 8),
        },
        {
            "bert.embeddings.LayerNorm.weight": (8,),
            "bert.embeddings.LayerNorm.bias": (8,),
            "bert.encoder.layer.0.attention.output.LayerNorm.weight": (8,),
        },
    ),
    "hugging_face_clip": (
        {
            "vision_model.embeddings.patch_embedding.weight": (8, 3, 2, 2),
            "vision_model.embeddings.position_embedding.weight": (5, 8),
            "text_model.embeddings.token_embedding.weight": (9, 8),
            "text_projection.weight": (4, 8),
        },
        {
            "vision_model.embeddings.class_embedding": (8,),
            "vision_model.pre_layrnorm.weight": (8,),
            "logit_scale": (),
        },
    ),
    "llama": (
        {
            "model.embed_tokens.weight": (9, 8),
            "model.layers.0.self_attn.q_proj.weight": (8, 8),
            "lm_head.weight": (9, 8),
        },
        {
            "model.layers.0.input_layernorm.weight": (8,),
            "model.layers.0.self_attn.q_norm.weight": (4,),
            "model.norm.weight": (8,),
        },
    ),
    "torch_sequential_with_batch_norm": (
        {"features.0.weight": (8, 3, 3, 3), "classifier.0.weight": (5, 8)},
        {
            "features.0.bias": (8,),
            "features.1.weight": (8,),
            "features.1.bias": (8,),
            "features.1.running_mean": (8,),
            "features.2.prelu.weight": (8,),
            "act1.weight": (1,),
        },
    ),
    "stacked_batch_norm": (
        {"features/0/weight": (4, 8, 3)},
        {
            "features/0/bias": (4, 8),
            "features/1/weight": (4, 8),
            "features/1/bias": (4, 8),
            "features/1/running_mean": (4, 8),
            "prelu/weight": (4, 8),
            "snake/alpha": (4, 8),
        },
    ),
    "layer_named_after_its_norm": (
        {"encoder.prenorm_block.attn.q.weight": (8, 8)},
        {"encoder.prenorm_block.norm.weight": (8,)},
    ),
    "mamba": (
        {
            "layers.0.mixer.in_proj.weight": (32, 8),
            "layers.0.mixer.conv1d.weight": (16, 1, 4),
            "layers.0.mixer.x_proj.weight": (9, 16),
            "layers.0.mixer.dt_proj.weight": (16, 1),
        },
        {
            "layers.0.mixer.A_log": (16, 4),
            "layers.0.mixer.D": (16, 1),
            "layers.0.mixer.dt_bias": (16,),
            "layers.0.mixer.dt_proj.bias": (16,),
            "layers.0.norm.weight": (8,),
            "vss.A_logs": (16, 4),
            "vss.Ds": (4, 4),
        },
    ),
    "linear_state_space": ({"A": (4, 4), "B": (4, 2), "C": (2, 4), "D": (2, 2)}, {}),
    "s5_and_lru": (
        {"s5/B": (4, 2, 2), "s5/C": (2, 4, 2), "lru/B_re": (4, 2), "lru/C_im": (2, 4)},
        {
            "s5/Lambda_re": (3, 4),
            "s5/log_step": (4, 1),
            "s5/D": (2,),
            "lru/nu_log": (3, 4),
            "lru/theta_log": (3, 4),
            "lru/gamma_log": (3, 4),
        },
    ),
    "capital_letters": (
        {"W": (3, 4, 5), "W1": (3, 4, 5), "w_Q": (3, 4, 4)},
        {"B": (3, 5), "B1": (3, 5), "B_Q": (3, 4)},
    ),
    "coef": ({"coef": (3,)}, {"intercept": ()}),
    "coef_of_one_feature": ({"coef_": (1,)}, {"intercept_": (1,)}),
    "theta": ({"theta": (3,)}, {}),
    "alpha": ({"alpha": (3,)}, {"tau": ()}),
    "matrix_beta": ({"beta": (3, 2)}, {"intercept": (1, 2)}),
    "coefficients_beside_a_network": (
        {"coef": (3,), "theta": (3,), "alpha": (3,), "beta": (3,), "mlp/kernel": (3, 2)},
        {"mlp/bias": (2,), "unknown": (3,), "gate/alpha": (1,), "temperature/theta": ()},
    ),
    "norms_by_their_pairs": (
        {"dense/kernel": (4, 3)},
        {"a/gamma": (4, 3), "a/beta": (4, 3), "b/scale": (4, 3), "b/beta": (4, 3)},
    ),
    "haiku": (
        {"vit/~/linear_0/w": (3, 4)},
        {"vit/~/linear_0/b": (4,), "vit/~/layer_norm/scale": (4,), "vit/pos_embed": (5, 4)},
    ),
}
"""Weights and other leaves with their shapes; names with slashes are nested."""


def named_tree(name):
    weights, others = NAMES[name]
    make = flat if any("." in path for path in weights) else shapes
    return make(**weights, **others)
