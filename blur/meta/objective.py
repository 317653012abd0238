"""What the outer loop minimises: the loss on fresh queries after learning, averaged over episodes."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from blur.core.episode import Batch, Episode, Split
from blur.core.inner_loop import episode_loss
from blur.core.losses import FOR_CLASSES, LOSSES, NOT_DIFFERENTIABLE, Loss, accuracy
from blur.core.rule import Genome, Storage
from blur.meta.population import over_members
from blur.meta.setting import Setting
from blur.parallel.devices import gathered, share, summed
from blur.support.mapping import Mapping, at_once, mapped

NanPolicy = Literal["penalise", "skip", "raise"]
"""What a diverged episode counts. `penalise`: the worst finite loss of the meta-step's episodes, at least that of an
output of zero. `skip`: nothing; a genome whose episodes all diverged gets the mean of the others. `raise`: the run
stops. Its gradient is zero in all cases."""

DIVERGED = 1e6
"""A loss above this many times (1 + the loss of an output of zero) counts as diverged, as NaN and infinity do."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised, and how it is computed.

    Attributes:
      fitness: a name in `blur.core.losses.LOSSES`; None for the task's own (cross-entropy, or l2 in regression).
      episodes: episodes per genome and meta-step.
      nan_policy: what a diverged episode counts.
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
        if self.fitness is not None and self.fitness not in LOSSES:
            close = difflib.get_close_matches(self.fitness, LOSSES, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"unknown fitness {self.fitness!r}; {hint}expected one of {', '.join(LOSSES)}")
        if self.episodes < 1:
            raise ValueError(f"episodes is {self.episodes}; expected at least 1")

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
    """How an episode went.

    Attributes:
      loss: loss on the query after learning.
      chance: loss of an output of zero there.
      accuracy: share of correct queries; NaN in regression.
    """

    loss: Float[Array, "*episodes"]
    chance: Float[Array, "*episodes"]
    accuracy: Float[Array, "*episodes"]


class Metrics(NamedTuple):
    """What a meta-step reports.

    Attributes:
      fitness: mean over episodes; of a population, the median.
      accuracy: likewise; NaN in regression.
      diverged: how many episodes diverged.
    """

    fitness: Float[Array, "*batch"]
    accuracy: Float[Array, "*batch"]
    diverged: Int[Array, "*batch"]


def score(objective: Objective, setting: Setting, outputs: Float[Array, "query outputs"], query: Batch) -> Score:
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
    loss = objective.loss(setting)
    value, outputs = episode_loss(setting.rule, genome, key, episode, loss, remat=objective.remat)
    return value, score(objective, setting, outputs, episode.query)


def finite_episodes(scores: Score) -> Bool[Array, "*episodes"]:
    """Which episodes did not diverge."""
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


def gradient(objective: Objective, setting: Setting, genome: Genome, key: Key[Array, ""]) -> tuple[Genome, Metrics]:
    """The fitness' gradient in the genome, averaged over episodes.

    g = (1/E) Σ_e ∇ L_e(genome), where the gradient of an episode whose loss or gradient is not finite is zero; under
    `skip`, E counts the finite ones alone. Episodes that are mapped at once share one backward pass.
    """
    keys = share(jax.random.split(key, objective.episodes), "episodes")
    slopes = _shared_slope if at_once(objective.mapping) else _own_slopes
    scores, slope, finite = slopes(objective, setting, genome, keys)
    slope = summed(slope, "episodes")
    scores, finite = gathered((scores, finite), "episodes")
    count = jnp.maximum(jnp.sum(finite), 1) if objective.nan_policy == "skip" else objective.episodes
    fitness = average(scores, finite, objective.nan_policy)
    metrics = Metrics(fitness, jnp.mean(scores.accuracy), jnp.sum(~finite))
    return jax.tree.map(lambda leaf: leaf / count, slope), metrics


def _play_new(objective: Objective, setting: Setting, genome: Genome, key: Key[Array, ""]) -> tuple[Array, Score]:
    """`play` on an episode drawn from a key."""
    episode_key, learner_key = jax.random.split(key)
    return play(objective, setting, genome, learner_key, setting.sample(episode_key))


def _own_slopes(
    objective: Objective, setting: Setting, genome: Genome, keys: Key[Array, "episodes"]
) -> tuple[Score, Genome, Bool[Array, "episodes"]]:
    """Scores, the sum of all finite gradients, and which ones are; every episode has a gradient of its own."""

    def one(key: Key[Array, ""]) -> tuple[Score, Genome, Bool[Array, ""]]:
        loss = functools.partial(_play_new, objective, setting, key=key)
        (_, scores), slope = jax.value_and_grad(loss, has_aux=True)(genome)
        finite = finite_episodes(scores) & _all_finite(slope)
        return scores, jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0), slope), finite

    scores, slopes, finite = mapped(one, objective.mapping)(keys)
    return scores, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), slopes), finite


def _shared_slope(
    objective: Objective, setting: Setting, genome: Genome, keys: Key[Array, "episodes"]
) -> tuple[Score, Genome, Bool[Array, "episodes"]]:
    """The same from one backward pass: no gradient of a single episode is stored.

    Only if some episode or the sum is not finite are the episodes' own gradients computed, by a loop of one turn: under
    `vmap` it costs nothing when nobody needs it, where a `cond` would.
    """

    def losses(genome: Genome) -> tuple[Array, Score]:
        return jax.vmap(functools.partial(_play_new, objective, setting, genome))(keys)

    values, pull_back, scores = jax.vjp(losses, genome, has_aux=True)
    (slope,) = pull_back(jnp.ones_like(values))
    finite = finite_episodes(scores)
    spoilt = ~(jnp.all(finite) & _all_finite(slope))

    def repair(carry: tuple) -> tuple:
        _, slope, finite = _own_slopes(objective, setting, genome, keys)
        return jnp.zeros_like(carry[0]), slope, finite

    _, slope, finite = jax.lax.while_loop(lambda carry: carry[0], repair, (spoilt, slope, finite))
    return scores, slope, finite


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
        episode_key, learner_key = jax.random.split(key)
        episode = setting.sample(episode_key, split)

        def member(genome: Genome) -> Score:
            return play(objective, stored, genome, learner_key, episode)[1]

        return over_members(member, objective.mapping, form)(population)

    keys = share(jax.random.split(key, objective.episodes), "episodes")
    return jax.tree.map(jnp.transpose, gathered(mapped(one, objective.mapping)(keys), "episodes"))


def summarise(objective: Objective, scores: Score) -> tuple[Float[Array, "population"], Metrics]:
    """Fitness of every genome from scores `[population, episodes]`, and what the meta-step reports."""
    finite = finite_episodes(scores)
    fitness = average(scores, finite, objective.nan_policy)
    return fitness, Metrics(jnp.median(fitness), jnp.median(jnp.mean(scores.accuracy, axis=1)), jnp.sum(~finite))


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
