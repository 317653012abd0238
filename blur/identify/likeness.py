"""The likeness of two in-context learners, task by task (von Oswald et al., ICML 2023, §3 and App. A.8)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from blur.core.episode import Episode
from blur.core.rule import Genome, UpdateRule
from blur.identify.probes import predictions, sensitivities

EPSILON = 1e-8
"""Added to the norms of sensitivities, which may be 0."""


class Likeness(NamedTuple):
    """The likeness of two learners f and g with sensitivities s_f = ∂f/∂x_q and s_g = ∂g/∂x_q, as means over tasks.

    Attributes:
      cosine: the cosine of s_f and s_g.
      model_difference: ‖s_f − s_g‖.
      prediction_difference: ‖f(x_q) − g(x_q)‖.
    """

    cosine: float
    model_difference: float
    prediction_difference: float


def likeness(first: tuple[UpdateRule, Genome], second: tuple[UpdateRule, Genome], tasks: Episode) -> Likeness:
    """Compares two learners on the same tasks, at the first query of each."""
    slopes = [sensitivities(rule, genome, tasks) for rule, genome in (first, second)]
    outputs = [predictions(rule, genome, tasks) for rule, genome in (first, second)]
    directions = [slope / (jnp.linalg.norm(slope, axis=-1, keepdims=True) + EPSILON) for slope in slopes]
    return Likeness(
        float(jnp.mean(jnp.sum(directions[0] * directions[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(slopes[0] - slopes[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(outputs[0] - outputs[1], axis=-1))),
    )
