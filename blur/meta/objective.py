"""The objective of the outer loop: the loss on fresh queries after learning, averaged over episodes."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from blur.core.episode import Batch, Episode, Split
from blur.core.inner_loop import train_on
from blur.core.losses import FOR_CLASSES, LOSSES, NOT_DIFFERENTIABLE, Loss, accuracy
from blur.core.rule import Genome, Storage
from blur.meta.population import over_members
from blur.meta.setting import Setting
from blur.parallel.devices import gather, local_slice
from blur.support.errors import check_choice, check_sizes
from blur.support.mapping import Mapping, mapped

NanPolicy = Literal["penalise", "skip", "raise"]
"""The loss of a diverged episode. `penalise`: the worst finite loss of the meta-step's episodes, at least that of an
output of zero. `skip`: the episode is left out; a genome whose episodes all diverged gets the mean of the others.
`raise`: the run stops. The gradient of a diverged episode is zero in all cases."""

DIVERGED = 1e6
"""A loss above this many times (1 + the loss of an output of zero) counts as diverged, as NaN and infinity do."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss that is minimised, and how it is computed.

    Attributes:
      fitness: a name in `blur.core.losses.LOSSES`; None for the task's own (cross-entropy, or l2 in regression).
      episodes: episodes per genome and meta-step.
      nan_policy: the loss of a diverged episode, see `NanPolicy`.
      remat: recompute inner steps in the backward pass of a gradient instead of storing them.
      mapping: how episodes, populations and candidates are mapped.
      storage: how the synapses of a population's learners are stored.

    Raises:
      ValueError: an unknown fitness, or no episode.
    """

    fitness: str | None = None
    episodes: int = 1
    nan_policy: NanPolicy = "penalise"
    remat: bool = True
    mapping: Mapping = "auto"
    storage: Storage = "auto"

    def __post_init__(self) -> None:
        if self.fitness is not None:
            check_choice("fitness", self.fitness, LOSSES)
        check_sizes(episodes=self.episodes)

    def loss(self, setting: Setting) -> Loss:
        """The loss that a setting is scored with.

        Raises:
          ValueError: the fitness is one of classification, but the task is regression.
        """
        if self.fitness in FOR_CLASSES and setting.task.kind != "classification":
            raise ValueError(
                f"fitness {self.fitness!r} needs a classification task, but {setting.task.name} is "
                f"{setting.task.kind}; use l2"
            )
        return LOSSES[self.fitness or ("cross_entropy" if setting.task.kind == "classification" else "l2")]

    def check_differentiable(self) -> None:
        """Raises ValueError if the fitness has no gradient."""
        if self.fitness in NOT_DIFFERENTIABLE:
            raise ValueError(
                f"fitness {self.fitness!r} is piecewise constant and has no gradient; choose a differentiable one "
                "(cross_entropy, l2) or an evolution strategy such as CMA_ES"
            )


class Score(NamedTuple):
    """The score of an episode.

    Attributes:
      loss: loss on the query after learning.
      chance: loss of an output of zero on the query.
      accuracy: share of correct queries; NaN in regression.
    """

    loss: Float[Array, "*episodes"]
    chance: Float[Array, "*episodes"]
    accuracy: Float[Array, "*episodes"]


class Metrics(NamedTuple):
    """The metrics of a meta-step.

    Attributes:
      fitness: mean over episodes; of a population, the median.
      accuracy: likewise; NaN in regression.
      diverged: how many episodes diverged.
    """

    fitness: Float[Array, "*batch"]
    accuracy: Float[Array, "*batch"]
    diverged: Int[Array, "*batch"]


def score_outputs(
    objective: Objective, setting: Setting, outputs: Float[Array, "query outputs"], query: Batch
) -> Score:
    """Scores outputs on a query."""
    loss = objective.loss(setting)
    classification = setting.task.kind == "classification"
    return Score(
        loss(outputs, query.targets, query.weight),
        loss(jnp.zeros_like(query.targets), query.targets, query.weight),
        accuracy(outputs, query.targets, query.weight) if classification else jnp.full((), jnp.nan, outputs.dtype),
    )


def play(
    objective: Objective, setting: Setting, genome: Genome, key: Key[Array, ""], episode: Episode
) -> tuple[Float[Array, ""], Score]:
    """Loss and score of a fresh learner after an episode; differentiable in the genome."""
    state = train_on(setting.rule, genome, key, episode, remat=objective.remat)
    outputs = setting.rule.predict(genome, state, episode.query.inputs)
    scores = score_outputs(objective, setting, outputs, episode.query)
    return scores.loss, scores


def finite_episodes(scores: Score) -> Bool[Array, "*episodes"]:
    """Whether each episode did not diverge."""
    return jnp.abs(scores.loss) <= DIVERGED * (1 + jnp.abs(scores.chance))


def average(scores: Score, finite: Bool[Array, "*genomes episodes"], policy: NanPolicy) -> Float[Array, "*genomes"]:
    """Mean loss over the last axis, diverged episodes replaced or left out as the policy says; always finite."""
    chance = jnp.max(scores.chance)
    if policy != "skip":
        worst = jnp.maximum(chance, jnp.max(jnp.where(finite, scores.loss, -jnp.inf)))
        return jnp.mean(jnp.where(finite, scores.loss, worst), axis=-1)
    losses = jnp.where(finite, scores.loss, 0)
    count = jnp.sum(finite, axis=-1)
    others = jnp.where(jnp.any(finite), jnp.sum(losses) / jnp.maximum(jnp.sum(finite), 1), chance)
    return jnp.where(count > 0, jnp.sum(losses, axis=-1) / jnp.maximum(count, 1), others)


def population_scores(
    objective: Objective,
    setting: Setting,
    population: Genome,
    key: Key[Array, ""],
    *,
    split: Split = "train",
) -> Score:
    """Scores `[population, episodes]` of the genomes stacked in `population`, all on the same episodes."""
    form = setting.rule.for_population(setting.spec, objective.storage)
    stored = dataclasses.replace(setting, rule=form.rule)

    def one(key: Key[Array, ""]) -> Score:
        learner_key, episode = setting.draw(key, split)
        return over_members(
            lambda genome: play(objective, stored, genome, learner_key, episode)[1], objective.mapping, form
        )(population)

    keys = local_slice(jax.random.split(key, objective.episodes), "episodes")
    return jax.tree.map(jnp.transpose, gather(mapped(one, objective.mapping)(keys), "episodes"))


def fitness_and_metrics(objective: Objective, scores: Score) -> tuple[Float[Array, "population"], Metrics]:
    """Fitness of every genome and metrics of the meta-step, from scores `[population, episodes]`."""
    finite = finite_episodes(scores)
    fitness = average(scores, finite, objective.nan_policy)
    return fitness, Metrics(jnp.median(fitness), jnp.median(jnp.mean(scores.accuracy, axis=1)), jnp.sum(~finite))
