"""Which leaves the default mask penalizes, on the trees that every framework makes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from model_trees import (
    KEY,
    NAMES,
    PreNormBlock,
    equinox_lanes,
    equinox_lanes_of_layers,
    equinox_net,
    gpt,
    haiku_net,
    linen_partitioned_lanes,
    linen_stack,
    linen_transformer,
    named_tree,
    nnx_lanes,
    nnx_net,
    penalized,
    shapes,
)

from regjax import masks


def attention_kernels(prefix):
    return {f"{prefix}/{name}/kernel" for name in ("query", "key", "value", "out")}


NNX_WEIGHTS = attention_kernels("attention") | {
    "tokens/embedding",
    "conv/kernel",
    "blocks/0/kernel",
    "blocks/1/kernel",
}

EQUINOX_WEIGHTS = {
    "tokens/weight",
    *(f"attention/{name}_proj/weight" for name in ("query", "key", "value", "output")),
    "conv/weight",
    "mlp/layers/0/weight",
    "mlp/layers/1/weight",
    "cell/weight_ih",
    "cell/weight_hh",
    "sequence/layers/0/weight",
}

HAIKU_WEIGHTS = {
    "embed/embeddings",
    *(f"multi_head_attention/{name}/w" for name in ("query", "key", "value", "linear")),
    "lstm/linear/w",
    "mlp/~/linear_0/w",
    "mlp/~/linear_1/w",
}

TREES = {
    "linen": (
        linen_transformer,
        attention_kernels("params/LinenBlock_0/MultiHeadDotProductAttention_0")
        | {
            "params/Embed_0/embedding",
            "params/LinenBlock_0/Dense_0/kernel",
            "params/Conv_0/kernel",
            "params/lm_head/kernel",
        },
    ),
    "linen_stacked_layers": (
        linen_stack,
        attention_kernels("blocks/MultiHeadDotProductAttention_0") | {"blocks/Dense_0/kernel"},
    ),
    "linen_partitioned_lanes": (linen_partitioned_lanes, {"kernel"}),
    "nnx_module": (nnx_net, NNX_WEIGHTS),
    "nnx_state": (lambda: nnx.state(nnx_net()), NNX_WEIGHTS),
    "nnx_params": (lambda: nnx.state(nnx_net(), nnx.Param), NNX_WEIGHTS),
    "nnx_lanes": (nnx_lanes, NNX_WEIGHTS),
    "equinox": (equinox_net, EQUINOX_WEIGHTS),
    "equinox_arrays": (lambda: eqx.filter(equinox_net(), eqx.is_inexact_array), EQUINOX_WEIGHTS),
    "equinox_lanes": (equinox_lanes, {"layers/0/weight", "layers/1/weight"}),
    "equinox_lanes_of_layers": (equinox_lanes_of_layers, {"weight"}),
    "equinox_container_named_after_norms": (PreNormBlock, {"linear/weight"}),
    "haiku": (haiku_net, HAIKU_WEIGHTS),
    "haiku_dict": (
        lambda: {
            "mlp/~/linear_0": shapes(w=(4, 3), b=(3,)),
            "transformer/h0_ln_1": shapes(scale=(4,), offset=(4,)),
            "batch_norm": shapes(scale=(1, 4), offset=(1, 4)),
        },
        {"mlp/~/linear_0/w"},
    ),
    "plain": (
        lambda: shapes(
            w1=(4, 3), b1=(3,), W_out=(3, 2), b_out=(2,), gamma=(1, 3), beta=(1, 3), kernelIn=(4, 3)
        ),
        {"w1", "W_out", "kernelIn"},
    ),
    "plain_vector_weight": (lambda: shapes(w=(3,), b=()), {"w"}),
    "gpt": (gpt, {"wte", "wpe/weight", "h/0/attn/c_attn/weight", "h/0/mlp/w_up"}),
    "bert": (
        lambda: shapes(
            **{
                "bert/embeddings/word_embeddings/embedding": (5, 4),
                "bert/embeddings/LayerNorm/scale": (4,),
                "bert/encoder/layer/0/attention/self/query/kernel": (4, 4),
                "bert/encoder/layer/0/attention/self/query/bias": (4,),
                "bert/encoder/layer/0/intermediate/dense/kernel": (4, 8),
                "bert/encoder/layer/0/intermediate/dense/bias": (8,),
                "bert/encoder/layer/0/output/dense/kernel": (8, 4),
                "bert/encoder/layer/0/output/LayerNorm/bias": (4,),
                "bert/pooler/dense/kernel": (4, 4),
            }
        ),
        {
            "bert/embeddings/word_embeddings/embedding",
            "bert/encoder/layer/0/attention/self/query/kernel",
            "bert/encoder/layer/0/intermediate/dense/kernel",
            "bert/encoder/layer/0/output/dense/kernel",
            "bert/pooler/dense/kernel",
        },
    ),
    "stacked_gpt": (
        lambda: shapes(
            **{
                "blocks/ln1/weight": (12, 4),
                "blocks/ln1/bias": (12, 4),
                "blocks/attn/W_q": (12, 4, 4),
                "blocks/attn/b_q": (12, 4),
                "blocks/attn/wk": (12, 4, 4),
                "blocks/attn/bk": (12, 4),
                "blocks/mlp/bias_1": (2, 12, 8),
                "blocks/rmsNorm": (12, 4),
            }
        ),
        {"blocks/attn/W_q", "blocks/attn/wk"},
    ),
    "reparametrised": (
        lambda: shapes(
            **{"weight_norm/linear/w": (4, 3), "spectralNorm/w": (4, 3), "norm/w": (4, 3)}
        ),
        {"weight_norm/linear/w", "spectralNorm/w"},
    ),
    "lora": (
        lambda: shapes(**{"q/kernel": (4, 4), "q/lora_A": (4, 2), "q/lora_B": (2, 4)}),
        {"q/kernel", "q/lora_A", "q/lora_B"},
    ),
    "unknown_names": (
        lambda: {"foo": jnp.zeros((2, 2)), "bar": jnp.zeros(2), "baz": [jnp.zeros((1, 1, 2)), 0]},
        {"foo", "baz/0"},
    ),
}


@pytest.mark.parametrize(("make", "expected"), TREES.values(), ids=TREES)
def test_default_mask_takes_the_weights_and_nothing_else(make, expected):
    params = make()
    assert penalized(params) == expected
    resolved = masks.weights.resolve(params)
    assert jax.tree.structure(resolved) == jax.tree.structure(params)
    assert sum(jax.tree.leaves(resolved)) == len(expected)
    assert all(type(flag) is bool for flag in jax.tree.leaves(resolved))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_published_models(name):
    assert penalized(named_tree(name)) == set(NAMES[name][0])


def test_keys_of_flattened_trees_are_taken_apart():
    tree = {("block", "norm", "scale"): np.zeros(3), ("block", "q", "kernel"): np.zeros((3, 3))}
    assert penalized(tree) == {"block/q/kernel"}
    joined = {"/".join(key): leaf for key, leaf in tree.items()}
    assert penalized(joined, masks.weights & masks.by_path("block/*")) == {"block/q/kernel"}


NEVER = [
    *("b", "b1", "b_out", "bias", "biases", "dense/bias_ih", "dense/b"),
    *("scale", "gamma", "offset", "shift", "affine/scale"),
    *("ln/weight", "bn1/weight", "gn_2/weight", "attn_ln2/w", "normFinal/w", "norm/kernel"),
    *("BatchNorm_0/w", "LayerNorm/w", "RMSNorm_3/w", "groupnorm/w", "instance_norm/w"),
    *("rmsnorm/w", "renorm/w", "post_layernorm/w", "norm/1/weight", "norms/0/weight"),
    *("BNLayer_0/w", "w_bias", "embed_bias", "kernel_scale", "dense/bq", "lora_bias"),
]
ALWAYS = [
    *("w", "w1", "W_out", "weight", "weights", "kernel", "kernels", "weight_ih", "dense/Kernel"),
    *("embedding", "embeddings", "token_embed", "weightnorm/w", "spectralnorm/w", "normal/w"),
    *("weight_norm/w", "spectral_norm/w", "lane/w", "bank/w", "norm_block/linear/w"),
]


@pytest.mark.parametrize("name", NEVER)
def test_biases_and_norms_are_left_out_whatever_their_dimensions(name):
    params = {**shapes(**{name: (4, 3, 2)}), "known": {"kernel": jnp.zeros((2, 2))}}
    assert penalized(params) == {"known/kernel"}


@pytest.mark.parametrize("name", ALWAYS)
def test_weights_are_penalized_even_as_vectors(name):
    assert penalized(shapes(**{name: (4,)})) == {name}


@pytest.mark.parametrize("ndim", [0, 1, 2, 3])
def test_a_bare_array_is_penalized(ndim):
    assert masks.weights.resolve(jnp.zeros((2,) * ndim)) is True


@pytest.mark.parametrize("mask", [masks.weights, masks.everything, masks.by_ndim(0)])
def test_only_floating_arrays_are_ever_penalized(mask):
    params = {
        "w": jnp.zeros((2, 2)),
        "w_bf16": jnp.zeros((2, 2), jnp.bfloat16),
        "w_numpy": np.zeros((2, 2)),
        "w_int": jnp.zeros((2, 2), int),
        "w_bool": jnp.zeros((2, 2), bool),
        "w_complex": jnp.zeros((2, 2), jnp.complex64),
        "w_key": jax.random.split(KEY, (2, 2)),
        "w_old_key": jax.random.PRNGKey(0),
        "w_function": jnp.tanh,
        "w_python_int": 3,
        "w_text": "relu",
    }
    expected = {"w", "w_bf16", "w_numpy", "w_complex"}
    assert penalized(params, mask) == expected
    flags = mask.resolve(params)
    assert {name for name, flag in flags.items() if flag} == expected


def test_python_floats_of_a_model_are_no_parameters():
    model = eqx.nn.Sequential([eqx.nn.Linear(2, 2, key=KEY), eqx.nn.Dropout(0.5)])
    assert penalized(model, masks.everything) == {"layers/0/weight", "layers/0/bias"}


def test_everything_takes_biases_and_norms_too():
    params = shapes(**{"kernel": (2, 2), "bias": (2,), "LayerNorm_0/scale": (2,)})
    assert all(jax.tree.leaves(masks.everything.resolve(params)))
