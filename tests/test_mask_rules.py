"""Masks by rule, their combinations, and what they say where nothing is found."""

import functools
import pickle

import jax.numpy as jnp
import optax
import pytest
from model_trees import (
    EquinoxNet,
    gpt,
    haiku_net,
    linen_transformer,
    named_tree,
    nnx_net,
    penalized,
    shapes,
)

from regjax import masks

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


def is_small(path, leaf):
    return leaf.size < 9


WRITTEN = {
    "masks.weights": masks.weights,
    "masks.everything": masks.everything,
    "masks.embeddings": masks.embeddings,
    "masks.position_embeddings": masks.position_embeddings,
    "masks.class_tokens": masks.class_tokens,
    "masks.output_head": masks.output_head,
    "masks.by_ndim(2)": masks.by_ndim(2),
    "masks.by_path('*/kernel', 'a?')": masks.by_path("*/kernel", "a?"),
    "masks.by_path('a', missing_ok=True)": masks.by_path("a", missing_ok=True),
    "masks.by_predicate(is_small)": masks.by_predicate(is_small),
    "masks.weights & ~masks.embeddings": masks.weights & ~masks.embeddings,
    "~(masks.weights | masks.by_ndim(1)) & masks.everything": ~(masks.weights | masks.by_ndim(1))
    & masks.everything,
}


@pytest.mark.parametrize(("text", "mask"), WRITTEN.items(), ids=WRITTEN)
def test_masks_read_as_they_are_written_and_can_be_pickled(text, mask):
    assert repr(mask) == text
    copy = pickle.loads(pickle.dumps(mask))
    assert (copy, hash(copy), repr(copy)) == (mask, hash(mask), text)


OF_OPTAX = {
    "adamw": functools.partial(optax.adamw, 0.1, weight_decay=0.1),
    "lion": functools.partial(optax.lion, 0.1, weight_decay=0.1),
    "add_decayed_weights": functools.partial(optax.add_decayed_weights, 0.1),
    "masked": functools.partial(optax.masked, optax.scale(2.0)),
}


@pytest.mark.parametrize("make", OF_OPTAX.values(), ids=OF_OPTAX)
def test_optax_takes_the_method_and_the_mask_itself_raises(make):
    params = shapes(kernel=(2, 2), bias=(2,))
    make(mask=masks.weights.resolve).init(params)
    with pytest.raises(TypeError, match=r"masks\.weights\.resolve"):
        make(mask=masks.weights).init(params)


def test_a_mask_is_no_truth_value():
    mask = masks.weights | masks.by_ndim(2)
    with pytest.raises(
        TypeError, match=r"&, \| and ~.*\(masks.weights \| masks.by_ndim\(2\)\).res"
    ):
        bool(mask)
    with pytest.raises(TypeError, match="unsupported operand"):
        masks.weights & True


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
    "gpt": (gpt, {"wte", "wpe/weight"}),
}


@pytest.mark.parametrize(("make", "expected"), EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embeddings_are_found_by_name_or_class(make, expected):
    assert penalized(make(), masks.embeddings) == expected


def test_an_embedding_of_patches_is_no_table():
    names = "hugging_face_clip"
    assert penalized(named_tree(names), masks.embeddings & masks.weights) == {
        "vision_model.embeddings.position_embedding.weight",
        "text_model.embeddings.token_embedding.weight",
    }
    nested = shapes(
        **{"embed/table": (3, 2), "patch_embed/proj/kernel": (2, 2), "time_embed/up/kernel": (2, 2)}
    )
    assert penalized(nested, masks.embeddings) == {"embed/table"}


TOKENS = {"cls_token", "dist_token", "reg_token", "mask_token"}
POSITIONS = {
    "timm_vit": {
        "pos_embed",
        "blocks.0.attn.relative_position_bias_table",
        "blocks.0.attn.rel_pos_h",
    },
    "hugging_face_vit": {"vit.embeddings.position_embeddings"},
    "hugging_face_clip": {"vision_model.embeddings.position_embedding.weight"},
    "flax_vit": {"Transformer/posembed_input/pos_embedding"},
}


@pytest.mark.parametrize(("name", "expected"), POSITIONS.items(), ids=POSITIONS)
def test_position_embeddings_are_found_by_name(name, expected):
    assert penalized(named_tree(name), masks.position_embeddings) == expected


def test_class_tokens_and_positions_can_be_added_to_the_weights():
    vit = named_tree("timm_vit")
    assert penalized(vit, masks.class_tokens) == TOKENS
    added = penalized(vit, masks.weights | masks.class_tokens | masks.position_embeddings)
    assert added - penalized(vit) == TOKENS | POSITIONS["timm_vit"]
    assert penalized(gpt(), masks.position_embeddings) == {"wpe/weight"}
    assert penalized(named_tree("flax_vit"), masks.class_tokens) == {"cls"}
    # A table with a row per class is none.
    assert penalized({**vit, "class_embedding": jnp.ones((5, 8))}, masks.class_tokens) == TOKENS


def test_a_pattern_that_may_be_missing():
    mask = masks.weights & ~masks.by_path("lm_head/*", "absent/*", missing_ok=True)
    assert penalized(NET, mask) == BOTH_WEIGHTS - {"lm_head/kernel"}
    with pytest.raises(ValueError, match="missing_ok=True"):
        masks.by_path("absent/*").resolve(NET)


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
    twenty = dict(list(params.items())[:20])
    with pytest.raises(ValueError, match=r"layer19 \(2,\)\nIf it need not match"):
        masks.by_path("head").resolve(twenty)


def test_by_path_without_a_pattern_raises():
    with pytest.raises(ValueError, match="at least one pattern"):
        masks.by_path()


def test_a_mask_that_leaves_nothing_raises():
    params = shapes(**{"norm/scale": (2,), "bias": (2,)})
    for mask in (masks.weights, masks.by_ndim(2), masks.by_path("bias") & masks.by_ndim(2)):
        with pytest.raises(ValueError, match=r"(?s)leaves nothing to penalize.*norm/scale"):
            mask.resolve(params)
        with pytest.raises(ValueError, match="leaves nothing"):
            mask.report(params)
    with pytest.raises(ValueError, match="leaves nothing"):
        masks.by_path("n").resolve({"n": jnp.zeros(2, int), "w": jnp.zeros(2)})
