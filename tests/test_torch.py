"""Iterates against those of torch, where it is installed; nothing here needs it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regjax import masks
from regjax.transforms import adam_l2, adamw, sgd_l2

torch = pytest.importorskip("torch")

RATE, STRENGTH, N_STEPS = 0.05, 0.3, 30
ADAM = {"b1": 0.8, "b2": 0.95, "eps": 1e-6}
TORCH_ADAM = {"betas": (0.8, 0.95), "eps": 1e-6}
EVERY = {"mask": masks.everything}
PAIRS = {
    "sgd": (sgd_l2(RATE, STRENGTH, **EVERY), torch.optim.SGD, {}),
    "momentum": (sgd_l2(RATE, STRENGTH, momentum=0.9, **EVERY), torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (
        sgd_l2(RATE, STRENGTH, momentum=0.9, nesterov=True, **EVERY),
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "adam": (adam_l2(RATE, STRENGTH, **EVERY), torch.optim.Adam, {}),
    "adam, other settings": (
        adam_l2(RATE, STRENGTH, **ADAM, **EVERY),
        torch.optim.Adam,
        TORCH_ADAM,
    ),
    "adamw": (adamw(RATE, STRENGTH, **EVERY), torch.optim.AdamW, {}),
    "adamw, other settings": (
        adamw(RATE, STRENGTH, **ADAM, **EVERY),
        torch.optim.AdamW,
        TORCH_ADAM,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_iterates_along_recorded_gradients_equal_those_of_torch(name, x64):
    tx, kind, settings = PAIRS[name]
    rng = np.random.default_rng(0)
    start = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    gradients = {key: rng.normal(size=(N_STEPS, *w.shape)) for key, w in start.items()}

    def step(carry, g):
        w, state = carry
        updates, state = tx.update(g, state, w)
        w = jax.tree.map(jnp.add, w, updates)
        return (w, state), w

    ours = jax.jit(lambda w: jax.lax.scan(step, (w, tx.init(w)), gradients)[1])(start)

    theirs = {key: torch.tensor(w, requires_grad=True) for key, w in start.items()}
    optimizer = kind(theirs.values(), lr=RATE, weight_decay=STRENGTH, **settings)
    for k in range(N_STEPS):
        for key, w in theirs.items():
            w.grad = torch.tensor(gradients[key][k])
        optimizer.step()
        for key, w in theirs.items():
            np.testing.assert_allclose(
                ours[key][k], w.detach().numpy(), rtol=1e-12, atol=1e-13, err_msg=f"step {k}"
            )
