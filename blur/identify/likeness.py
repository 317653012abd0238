"""How alike two in-context learners are, task by task (von Oswald et al., ICML 2023, §3 and App. A.8)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.core.episode import Episode
from blur.core.genome import check_same_genome, genome_shapes
from blur.core.rule import Genome, UpdateRule
from blur.identify.probes import predictions, sensitivities
from blur.rules.in_context.linear_attention import LinearAttention

EPSILON = 1e-8
"""Added to the norms of sensitivities."""


class Likeness(NamedTuple):
    """How alike two learners f and g are; means over tasks, s = ∂f/∂x_q.

    Attributes:
      cosine: of s_f and s_g.
      model_difference: ‖s_f − s_g‖.
      prediction_difference: ‖f(x_q) − g(x_q)‖.
    """

    cosine: float
    model_difference: float
    prediction_difference: float


def likeness(first: tuple[UpdateRule, Genome], second: tuple[UpdateRule, Genome], tasks: Episode) -> Likeness:
    """Compares two learners on the same tasks."""
    slopes = [sensitivities(rule, genome, tasks) for rule, genome in (first, second)]
    outputs = [predictions(rule, genome, tasks) for rule, genome in (first, second)]
    directions = [slope / (jnp.linalg.norm(slope, axis=-1, keepdims=True) + EPSILON) for slope in slopes]
    return Likeness(
        float(jnp.mean(jnp.sum(directions[0] * directions[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(slopes[0] - slopes[1], axis=-1))),
        float(jnp.mean(jnp.linalg.norm(outputs[0] - outputs[1], axis=-1))),
    )


class Products(NamedTuple):
    """The two matrices that a layer of one head depends on.

    Attributes:
      scores: Kᵀ Q.
      values: P V.
    """

    scores: Float[Array, "width width"]
    values: Float[Array, "width width"]


def products(genome: Genome) -> Products:
    """Kᵀ Q and P V of a tied genome of one head.

    Raises:
      ValueError: it has several heads or layers.
    """
    if genome["key"].ndim != 3 or genome["key"].shape[0] != 1:
        raise ValueError(f"the keys have shape {genome['key'].shape}; expected those of one head, [1, size, width]")
    return Products(genome["key"][0].T @ genome["query"][0], genome["projection"][0] @ genome["value"][0])


def interpolate(rule: LinearAttention, trained: Genome, constructed: Genome) -> Genome:
    """The genome half-way between a trained and a constructed one: (KᵀQ/m + KᵀQ')/2 and (m PV + PV')/2.

    m is the mean of the first `inputs` diagonal entries of the trained KᵀQ: the scale that both share arbitrarily.
    Where the rule has a W_0, it is the mean of both.

    Raises:
      ValueError: a genome has several heads or layers, or the rule has keys of another size than tokens.
    """
    if rule.key_size not in (None, rule.width):
        raise ValueError(f"key_size is {rule.key_size}; expected that of tokens, {rule.width}")
    for genome in (trained, constructed):
        check_same_genome(genome_shapes(rule), genome, names=("the rule's", "the one given"))
    first, second = products(trained), products(constructed)
    scale = jnp.mean(jnp.diagonal(first.scores)[: rule.inputs])
    one = jnp.eye(rule.width)[None]
    start = {"start": (trained["start"] + constructed["start"]) / 2} if rule.start else {}
    return start | {
        "projection": (scale * first.values + second.values)[None] / 2,
        "value": one,
        "key": one,
        "query": (first.scores / scale + second.scores)[None] / 2,
    }
