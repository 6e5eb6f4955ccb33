"""Norm and rotation per step at which decay and random gradients balance.

A weight vector w of C entries, whose loss does not feel its norm, has gradients orthogonal to it,
proportional to `1 / ||w||`: `g = scale / ||w||` times a random vector of norm 1. Steps `lr u` then
lengthen w as a random walk does, and decay shortens it by `lr lambda ||w||`. Where the two
balance, `||w||^2 = lr / (2 lambda)` times the correlations of u summed over all lags, and w turns
by `lr ||u|| / ||w||` a step.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class Equilibrium(NamedTuple):
    """Norm of the weights, and the angle in radians that they turn each step."""

    norm: float
    rotation: float


def sgd(lr: float, lambda_: float, scale: float, size: int, momentum: float) -> Equilibrium:
    """Return that of SGD with momentum and L2 (Kosson and others 2024)."""
    norm = (lr * scale**2 / (2 * lambda_ * (1 - momentum))) ** 0.25
    return Equilibrium(norm, math.sqrt(2 * lr * lambda_ / (1 + momentum)))


def adamw(lr: float, lambda_: float, scale: float, size: int, b1: float) -> Equilibrium:
    """Return that of AdamW (Kosson and others 2024)."""
    norm = math.sqrt(lr * size / (2 * lambda_))
    return Equilibrium(norm, math.sqrt(2 * lr * lambda_ * (1 - b1) / (1 + b1)))


def adam_l2(lr: float, lambda_: float, scale: float, size: int, b1: float) -> Equilibrium:
    """Return that of Adam with L2 much weaker than the gradients.

    Adam divides L2 by `scale / (sqrt(C) ||w||)`, the root of the mean square of the gradient:
    AdamW with the strength `lambda sqrt(C) ||w|| / scale`, put into its norm.
    """
    norm = (lr * math.sqrt(size) * scale / (2 * lambda_)) ** (1 / 3)
    return adamw(lr, lambda_ * math.sqrt(size) * norm / scale, scale, size, b1)


def lion(lr: float, lambda_: float, scale: float, size: int, b1: float, b2: float) -> Equilibrium:
    """Return that of Lion with decay.

    Its steps are signs of `c = (1 - b1) g + b1 m`, and signs of normal variables of correlation
    r have the correlation `2 / pi arcsin(r)`.
    """
    total = _sum_of_sign_correlations(b1, b2)
    norm = math.sqrt(lr * size * total / (2 * lambda_))
    return Equilibrium(norm, math.sqrt(2 * lr * lambda_ / total))


def _sum_of_sign_correlations(b1: float, b2: float) -> float:
    # c is the moving average of the gradients with weights a, b, b b2, b b2^2, ...
    a, b = 1 - b1, b1 * (1 - b2)
    lags = np.arange(1, int(40 / (1 - b2)))
    variance = a**2 + b**2 / (1 - b2**2)
    correlation = (a * b * b2 ** (lags - 1) + b**2 * b2**lags / (1 - b2**2)) / variance
    return float(1 + 2 * np.sum(2 / np.pi * np.arcsin(correlation)))
