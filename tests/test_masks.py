"""Which leaves are penalised, on the trees that Flax, Equinox, Haiku and plain JAX make."""

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
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


def attention_kernels(prefix):
    return {f"{prefix}/{name}/kernel" for name in ("query", "key", "value", "out")}


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


NNX_WEIGHTS = attention_kernels("attention") | {
    "tokens/embedding",
    "conv/kernel",
    "blocks/0/kernel",
    "blocks/1/kernel",
}

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

# --- Haiku -------------------------------------------------------------------------------


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


HAIKU_WEIGHTS = {
    "embed/embeddings",
    *(f"multi_head_attention/{name}/w" for name in ("query", "key", "value", "linear")),
    "lstm/linear/w",
    "mlp/~/linear_0/w",
    "mlp/~/linear_1/w",
}

# --- the table ---------------------------------------------------------------------------

TREES = {
    "linen": (
        linen_transformer,
        attention_kernels("params/LinenBlock_0/MultiHeadDotProductAttention_0")
        | {
            "params/Embed_0/embedding",
            "params/pos_embedding",
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
    "equinox": (EquinoxNet, EQUINOX_WEIGHTS),
    "equinox_arrays": (lambda: eqx.filter(EquinoxNet(), eqx.is_inexact_array), EQUINOX_WEIGHTS),
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
    "gpt": (
        lambda: shapes(
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
        ),
        {"wte", "wpe/weight", "h/0/attn/c_attn/weight", "h/0/mlp/w_up"},
    ),
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


NEVER = [
    *("b", "b1", "b_out", "bias", "biases", "dense/bias_ih", "dense/b"),
    *("scale", "gamma", "beta", "offset", "shift", "affine/scale", "dense/betaOut"),
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
def test_weights_are_penalised_even_as_vectors(name):
    assert penalized(shapes(**{name: (4,)})) == {name}


@pytest.mark.parametrize("ndim", [0, 1, 2, 3])
def test_a_bare_array_is_penalised(ndim):
    assert masks.weights.resolve(jnp.zeros((2,) * ndim)) is True


@pytest.mark.parametrize("mask", [masks.weights, masks.everything, masks.by_ndim(0)])
def test_only_real_floating_arrays_are_ever_penalised(mask):
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
    assert penalized(params, mask) == {"w", "w_bf16", "w_numpy"}
    flags = mask.resolve(params)
    assert {name for name, flag in flags.items() if flag} == {"w", "w_bf16", "w_numpy"}


def test_python_floats_of_a_model_are_no_parameters():
    model = eqx.nn.Sequential([eqx.nn.Linear(2, 2, key=KEY), eqx.nn.Dropout(0.5)])
    assert penalized(model, masks.everything) == {"layers/0/weight", "layers/0/bias"}


def test_everything_takes_biases_and_norms_too():
    params = shapes(**{"kernel": (2, 2), "bias": (2,), "LayerNorm_0/scale": (2,)})
    assert all(jax.tree.leaves(masks.everything.resolve(params)))


# --- masks by rule, and their combinations -----------------------------------------------

NET = shapes(
    **{
        "encoder/kernel": (4, 3),
        "encoder/bias": (3,),
        "decoder/0/kernel": (3, 4),
        "decoder/0/bias": (4,),
        "lm_head/kernel": (4, 5),
        "tok_embed/embedding": (5, 4),
    }
)
BOTH_WEIGHTS = {"encoder/kernel", "decoder/0/kernel", "lm_head/kernel", "tok_embed/embedding"}

RULES = {
    "by_path": (masks.by_path("encoder/*"), {"encoder/kernel", "encoder/bias"}),
    "by_path_crosses_slashes": (masks.by_path("dec*kernel"), {"decoder/0/kernel"}),
    "by_path_question_mark": (
        masks.by_path("decoder/?/*"),
        {"decoder/0/kernel", "decoder/0/bias"},
    ),
    "by_path_several": (
        masks.by_path("encoder/bias", "lm_*"),
        {"encoder/bias", "lm_head/kernel"},
    ),
    "by_ndim_2": (masks.by_ndim(2), BOTH_WEIGHTS),
    "by_predicate": (
        masks.by_predicate(lambda path, leaf: path.startswith("dec") or leaf.size == 20),
        {"decoder/0/kernel", "decoder/0/bias", "lm_head/kernel", "tok_embed/embedding"},
    ),
    "and": (masks.by_path("encoder/*") & masks.by_ndim(2), {"encoder/kernel"}),
    "or": (
        masks.by_path("*/bias") | masks.by_path("lm_*"),
        {"encoder/bias", "decoder/0/bias", "lm_head/kernel"},
    ),
    "not": (~masks.by_ndim(2), {"encoder/bias", "decoder/0/bias"}),
    "not_not": (~~masks.by_ndim(2), BOTH_WEIGHTS),
    "embeddings": (masks.embeddings, {"tok_embed/embedding"}),
    "output_head": (masks.output_head, {"lm_head/kernel"}),
    "no_embeddings": (masks.weights & ~masks.embeddings, BOTH_WEIGHTS - {"tok_embed/embedding"}),
    "no_head": (masks.weights & ~masks.output_head, BOTH_WEIGHTS - {"lm_head/kernel"}),
    "de_morgan": (
        ~(~masks.weights | masks.embeddings),
        BOTH_WEIGHTS - {"tok_embed/embedding"},
    ),
}


@pytest.mark.parametrize(("mask", "expected"), RULES.values(), ids=RULES)
def test_rules_select_and_combine(mask, expected):
    assert penalized(NET, mask) == expected
    # Libraries that call what can be called would take it for a schedule.
    assert not callable(mask)


def test_by_path_is_case_sensitive():
    with pytest.raises(ValueError, match="matches none"):
        masks.by_path("Encoder/*").resolve(NET)


def test_by_path_finds_an_entry_named_value():
    attention = {"attn": {"query": jnp.zeros((2, 2)), "value": jnp.zeros((2, 2))}}
    assert penalized(attention, masks.by_path("attn/value")) == {"attn/value"}


EMBEDDINGS = {
    "linen": (linen_transformer, {"params/Embed_0/embedding", "params/pos_embedding"}),
    "nnx": (nnx_net, {"tokens/embedding"}),
    "equinox_by_class": (EquinoxNet, {"tokens/weight"}),
    "haiku": (haiku_net, {"embed/embeddings"}),
    "gpt": (TREES["gpt"][0], {"wte", "wpe/weight"}),
}


@pytest.mark.parametrize(("make", "expected"), EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embeddings_are_found_by_name_or_class(make, expected):
    assert penalized(make(), masks.embeddings) == expected


HEADS = {
    "linen": (linen_transformer, {"params/lm_head/kernel", "params/lm_head/bias"}),
    "haiku": (
        lambda: {**haiku_net(), "lm_head": shapes(w=(2, 5), b=(5,))},
        {"lm_head/w", "lm_head/b"},
    ),
    "plain": (
        lambda: shapes(**{"w": (2, 2), "classifier/w": (2, 2), "outputHead/w": (2, 2)}),
        {"classifier/w", "outputHead/w"},
    ),
}


@pytest.mark.parametrize(("make", "expected"), HEADS.values(), ids=HEADS)
def test_output_heads_are_not_heads_of_attention(make, expected):
    assert penalized(make(), masks.output_head) == expected


@pytest.mark.parametrize("preset", [masks.embeddings, masks.output_head])
def test_presets_raise_where_nothing_looks_like_them(preset):
    params = shapes(**{"encoder/kernel": (2, 2)})
    for mask in (preset, ~preset, masks.weights & ~preset):
        with pytest.raises(ValueError, match=r"(?s)No leaf looks like.*encoder/kernel.*by_path"):
            mask.resolve(params)


def test_a_pattern_that_matches_nothing_raises_and_lists_the_paths():
    for mask in (masks.by_path("encoder/*", "lm_haed/*"), ~masks.by_path("lm_haed/*")):
        with pytest.raises(ValueError, match=r"(?s)'lm_haed/\*' matches none.*lm_head/kernel \(4"):
            mask.resolve(NET)


def test_a_long_listing_is_cut():
    params = {f"layer{i:02}": jnp.zeros(2) for i in range(25)}
    with pytest.raises(ValueError, match=r"(?s)layer19 .*and 5 more"):
        masks.by_path("head").resolve(params)


def test_by_path_without_a_pattern_raises():
    with pytest.raises(ValueError, match="at least one pattern"):
        masks.by_path()


def test_a_mask_that_leaves_nothing_raises():
    params = shapes(**{"norm/scale": (2,), "bias": (2,)})
    for mask in (masks.weights, masks.by_ndim(2), masks.by_path("bias") & masks.by_ndim(2)):
        with pytest.raises(ValueError, match=r"(?s)leaves nothing to penalise.*norm/scale"):
            mask.resolve(params)
        with pytest.raises(ValueError, match="leaves nothing"):
            mask.report(params)
    with pytest.raises(ValueError, match="leaves nothing"):
        masks.by_path("n").resolve({"n": jnp.zeros(2, int), "w": jnp.zeros(2)})


# --- the report --------------------------------------------------------------------------


def test_report_counts_and_reads_as_a_table():
    params = {**shapes(kernel=(40, 30), bias=(30,)), "step": jnp.zeros((), int)}
    report = masks.weights.report(params)
    assert (report.n_penalized, report.n_parameters) == (1200, 1230)
    assert str(report).splitlines() == [
        "-          bias    (30,)",
        "penalised  kernel  (40, 30)",
        "1 of 2 leaves, 1,200 of 1,230 parameters penalised",
    ]


# --- resolving ---------------------------------------------------------------------------


def test_resolve_takes_masks_and_boolean_prefix_trees():
    params = {"encoder": shapes(kernel=(2, 2), bias=(2,)), "step": jnp.zeros((), int)}
    kernels = {"encoder": {"bias": False, "kernel": True}, "step": False}
    assert masks.resolve(masks.weights, params) == kernels
    both = {"encoder": {"bias": True, "kernel": True}, "step": False}
    assert masks.resolve({"encoder": True, "step": False}, params) == both
    # Integers stay out even where the tree says True.
    assert masks.resolve(True, params) == both
    assert masks.resolve({"encoder": np.True_, "step": np.True_}, params) == both


@pytest.mark.parametrize(
    "mask",
    [
        lambda params: params,
        masks.weights.resolve,
        1.0,
        "kernel",
        {"a": 1, "b": True},
        {"a": jnp.array(True), "b": True},
        {"a": masks.weights, "b": False},
    ],
    ids=["function", "method", "float", "text", "integer", "array", "tree_of_masks"],
)
def test_resolve_refuses_functions_and_trees_that_are_not_boolean(mask):
    with pytest.raises(TypeError, match="by_predicate"):
        masks.resolve(mask, {"a": jnp.ones(2), "b": jnp.ones(2)})


@pytest.mark.parametrize("mask", [{"a": True}, [True, False], {"a": {"x": True}, "b": True}, None])
def test_resolve_refuses_trees_of_another_structure(mask):
    with pytest.raises(ValueError, match="no prefix"):
        masks.resolve(mask, {"a": jnp.ones(2), "b": jnp.ones(2)})


def test_resolve_refuses_trees_without_a_true():
    with pytest.raises(ValueError, match="leaves nothing"):
        masks.resolve({"a": False, "b": False}, {"a": jnp.ones(2), "b": jnp.ones(2)})


def test_masks_resolve_on_tracers_and_inside_lanes():
    params = shapes(**{"lanes/kernel": (3, 2, 2), "lanes/bias": (3, 2)})
    seen = []

    def penalty(params):
        seen.append(masks.weights.resolve(params))
        return sum(jnp.sum(x) for x in jax.tree.leaves(params))

    jax.jit(jax.vmap(penalty))(params)
    assert seen == [{"lanes": {"kernel": True, "bias": False}}]


def test_the_resolve_method_serves_optax():
    params = shapes(kernel=(2, 2), bias=(2,))
    params = jax.tree.map(lambda x: x + 2, params)
    decay = optax.masked(optax.add_decayed_weights(0.1), masks.weights.resolve)
    gradient = jax.tree.map(jnp.zeros_like, params)
    updates, _ = decay.update(gradient, decay.init(params), params)
    np.testing.assert_allclose(updates["kernel"], 0.2, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)
