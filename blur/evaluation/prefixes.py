"""Predictions of every example from those before it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.inner_loop import unroll
from blur.rule import Batch, Genome, UpdateRule


def predict_prefixes(
    rule: UpdateRule, genome: Genome, key: Key[Array, ""], examples: Batch, steps: int = 1
) -> Float[Array, "batch outputs"]:
    """Row n is the prediction of example n by a fresh learner that was shown examples 0 … n − 1, `steps` times.

    One call for any rule: a `vmap` over triangular weights, as weight 0 removes an example. Where prefixes of weight 0
    leave a learner as it was, row 0 is the prediction of an untrained one.
    """
    count = examples.weight.shape[0]
    start = rule.init_state(genome, key, examples)

    def predict_next(weight: Float[Array, "batch"], inputs: Float[Array, "inputs"]) -> Float[Array, "outputs"]:
        state, _ = unroll(rule, genome, start, examples._replace(weight=weight), steps)
        return rule.predict(genome, state, inputs[None])[0]

    before = jnp.tri(count, k=-1, dtype=examples.weight.dtype) * examples.weight
    return jax.vmap(predict_next)(before, examples.inputs)
