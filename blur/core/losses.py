"""How outputs are scored against targets. Every function is `(outputs, targets, weight) -> scalar`.

Classification targets are ±1 one-hot; a single output is a binary decision by sign. Sums over examples are weighted
means, so weight 0 removes an example.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Loss = Callable[[Float[Array, "batch outputs"], Float[Array, "batch outputs"], Float[Array, "batch"]], Float[Array, ""]]


def weighted_mean(values: Float[Array, "batch"], weight: Float[Array, "batch"]) -> Float[Array, ""]:
    """Σ w v / Σ w; 0 where nothing weighs anything."""
    return jnp.sum(weight * values) / at_least_tiny(jnp.sum(weight))


def at_least_tiny(total: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(total, the smallest normal number of its dtype): a divisor that 0 does not turn into NaN."""
    return jnp.maximum(total, jnp.finfo(total.dtype).tiny)


def cross_entropy(
    outputs: Float[Array, "batch outputs"],
    targets: Float[Array, "batch outputs"],
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """Softmax cross-entropy in nats; with one output, the logistic loss log(1 + exp(−y·output))."""
    if outputs.shape[-1] == 1:
        losses = jax.nn.softplus(-targets * outputs)[:, 0]
    else:
        losses = optax.softmax_cross_entropy(outputs, (targets + 1) / 2)
    return weighted_mean(losses, weight)


def squared_error(
    outputs: Float[Array, "batch outputs"],
    targets: Float[Array, "batch outputs"],
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """Mean over outputs and examples of (output − target)²."""
    return weighted_mean(jnp.mean((outputs - targets) ** 2, axis=-1), weight)


def class_weighted_squared_error(
    outputs: Float[Array, "batch outputs"],
    targets: Float[Array, "batch outputs"],
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """`squared_error` with each output weighted by `frequency_weight`: rare and common signs count alike.

    Raises:
      ValueError: there is one output only, for which all weights would be 0.
    """
    if outputs.shape[-1] == 1:
        raise ValueError("l2_class_weighted weighs the outputs against each other, but there is only 1; use l2")
    errors = (outputs - targets) ** 2 * frequency_weight(targets)
    return weighted_mean(jnp.mean(errors, axis=-1), weight)


def error_rate(
    outputs: Float[Array, "batch outputs"],
    targets: Float[Array, "batch outputs"],
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """1 − accuracy. Piecewise constant: it has no useful gradient, only evolution can use it as a fitness."""
    return 1 - accuracy(outputs, targets, weight)


def accuracy(
    outputs: Float[Array, "batch outputs"],
    targets: Float[Array, "batch outputs"],
    weight: Float[Array, "batch"],
) -> Float[Array, ""]:
    """Share of examples whose largest output is the target's; with one output, whose sign is."""
    if outputs.shape[-1] == 1:
        correct = (outputs[:, 0] > 0) == (targets[:, 0] > 0)
    else:
        correct = jnp.argmax(outputs, axis=-1) == jnp.argmax(targets, axis=-1)
    return weighted_mean(correct.astype(weight.dtype), weight)


def frequency_weight(targets: Float[Array, "*batch outputs"]) -> Float[Array, "*batch outputs"]:
    """Weights that balance positive and negative outputs: P of n positive → 1 − P/n for them, P/n for the rest.

    One of ten outputs positive gives it 0.9 and the others 0.1.
    """
    positive = targets > 0
    share = jnp.mean(positive, axis=-1, keepdims=True, dtype=targets.dtype)
    return jnp.where(positive, 1 - share, share)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "l2": squared_error,
    "l2_class_weighted": class_weighted_squared_error,
    "accuracy": error_rate,
}
"""What a meta-training run can minimise, by name; asked for `accuracy` it minimises the share of errors."""

FOR_CLASSES = frozenset({"cross_entropy", "l2_class_weighted", "accuracy"})
"""Losses for classification alone: they read the targets' signs as classes."""

NOT_DIFFERENTIABLE = frozenset({"accuracy"})
