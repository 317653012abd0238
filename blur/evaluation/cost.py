"""Costs of an inner step: synapse parameters, floating-point operations, seconds."""

from __future__ import annotations

import math
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from blur.core.episode import Episode, Spec, episode_spec, first_batch
from blur.core.rule import Genome, UpdateRule

REPETITIONS = 15


class StepCost(NamedTuple):
    """Floating-point operations of one inner step by the compiler's count (None without a count), and seconds."""

    flop: float | None
    seconds: float


def count_parameters(rule: UpdateRule, genome: Genome, spec: Spec) -> int | None:
    """Counts the numbers in the state's field `synapses`, over all states and directions; None without that field."""
    state = jax.eval_shape(lambda genome, key: rule.init_state(genome, key, spec), genome, jax.random.key(0))
    if (synapses := getattr(state, "synapses", None)) is None:
        return None
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(synapses))


def step_cost(rule: UpdateRule, genome: Genome, episode: Episode) -> StepCost:
    """Compiles one inner step, runs it from a state of zeros, and takes the median of 15 repetitions after a warm-up.

    The time includes one dispatch of the compiled step, some tens of microseconds. A scan over steps has no dispatches.
    """
    spec = episode_spec(episode)
    shapes = jax.eval_shape(lambda genome, key: rule.init_state(genome, key, spec), genome, jax.random.key(0))
    state = jax.tree.map(_zeros, shapes)
    batch = jax.tree.map(jnp.asarray, first_batch(episode))
    step = jax.jit(rule.step).lower(genome, state, batch).compile()
    flop = (step.cost_analysis() or {}).get("flops")
    seconds = []
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        state = jax.block_until_ready(step(genome, state, batch))
        seconds.append(time.perf_counter() - start)
    return StepCost(flop, statistics.median(seconds[1:]))


def _zeros(shape: jax.ShapeDtypeStruct) -> Array:
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape.shape)
    return jnp.asarray(np.zeros(shape.shape, shape.dtype))
