"""Meta-training by the gradient through the inner loop."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int, Key, PyTree

from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics, Objective, Score, average, finite_episodes, play
from blur.meta.outer.base import Outer
from blur.meta.outer.optimiser import GenomeOptimiser
from blur.meta.setting import Setting
from blur.parallel.devices import Axis, gather, local_slice, sum_over
from blur.support.mapping import at_once, mapped


class GradientState(NamedTuple):
    """The genome, and the state of its optimiser."""

    genome: Genome
    optimiser: PyTree


@dataclasses.dataclass(frozen=True)
class GradientOuter(Outer):
    """Descends the gradient of the objective in the genome.

    Raises:
      ValueError: the objective's fitness has no gradient.
    """

    objective: Objective
    optimiser: GenomeOptimiser

    def __post_init__(self) -> None:
        self.objective.check_differentiable()

    @property
    def forward_only(self) -> bool:
        """See `Outer.forward_only`."""
        return False

    @property
    def divisible(self) -> tuple[Axis, int]:
        """The episodes."""
        return "episodes", self.objective.episodes

    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> GradientState:
        """See `Outer.init`."""
        return GradientState(genome, self.optimiser.build().init(genome))

    def step(
        self, state: GradientState, inner_state: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[GradientState, PyTree, Metrics]:
        """See `Outer.step`."""
        slope, metrics = meta_gradient(self.objective, setting, state.genome, jax.random.fold_in(key, index))
        updates, optimiser = self.optimiser.build().update(slope, state.optimiser, state.genome)
        return GradientState(optax.apply_updates(state.genome, updates), optimiser), inner_state, metrics

    def genomes(self, state: GradientState, rule: UpdateRule) -> tuple[Genome, ...]:
        """The current genome."""
        return (state.genome,)


def meta_gradient(
    objective: Objective, setting: Setting, genome: Genome, key: Key[Array, ""]
) -> tuple[Genome, Metrics]:
    """The fitness' gradient in the genome, averaged over episodes.

    g = (1/E) Σ_e ∇ L_e(genome). The gradient of an episode is zero if its loss or gradient is not finite; under `skip`,
    E counts the finite episodes alone. Episodes that are mapped at once share one backward pass.
    """
    keys = local_slice(jax.random.split(key, objective.episodes), "episodes")
    each = mapped(functools.partial(_episode_gradient, objective, setting, genome), objective.mapping)
    if at_once(objective.mapping):
        scores, slope, finite = _shared_gradient(objective, setting, genome, keys)
        # A loop of one turn computes single gradients where one is needed: under `vmap` a `cond` would always do so.
        spoilt = ~(jnp.all(finite) & _all_finite(slope))
        _, slope, finite = jax.lax.while_loop(
            lambda carry: carry[0],
            lambda carry: (jnp.zeros_like(carry[0]), *_total(*each(keys))[1:]),
            (spoilt, slope, finite),
        )
    else:
        scores, slope, finite = _total(*each(keys))
    slope = sum_over(slope, "episodes")
    scores, finite = gather((scores, finite), "episodes")
    count = jnp.maximum(jnp.sum(finite), 1) if objective.nan_policy == "skip" else objective.episodes
    fitness = average(scores, finite, objective.nan_policy)
    metrics = Metrics(fitness, jnp.mean(scores.accuracy), jnp.sum(~finite))
    return jax.tree.map(lambda leaf: leaf / count, slope), metrics


def _episode_gradient(
    objective: Objective, setting: Setting, genome: Genome, key: Key[Array, ""]
) -> tuple[Score, Genome, Bool[Array, ""]]:
    """Score and gradient of one episode, and whether both are finite; else the gradient is zero."""
    learner_key, episode = setting.draw(key)
    loss = functools.partial(play, objective, setting, key=learner_key, episode=episode)
    (_, scores), slope = jax.value_and_grad(loss, has_aux=True)(genome)
    finite = finite_episodes(scores) & _all_finite(slope)
    return scores, jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0), slope), finite


def _total(
    scores: Score, slopes: Genome, finite: Bool[Array, "episodes"]
) -> tuple[Score, Genome, Bool[Array, "episodes"]]:
    """The sum of the episodes' gradients; scores and flags stay as they are."""
    return scores, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), slopes), finite


def _shared_gradient(
    objective: Objective, setting: Setting, genome: Genome, keys: Key[Array, "episodes"]
) -> tuple[Score, Genome, Bool[Array, "episodes"]]:
    """Scores, the gradient of the episodes' summed loss by one backward pass, and which losses are finite."""
    values, pull_back, scores = jax.vjp(
        lambda genome: jax.vmap(lambda key: play(objective, setting, genome, *setting.draw(key)))(keys),
        genome,
        has_aux=True,
    )
    (slope,) = pull_back(jnp.ones_like(values))
    return scores, slope, finite_episodes(scores)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
