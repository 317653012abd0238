"""Which genome is kept: the one that does best on validation episodes, always the same ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key, PyTree

from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Objective, average, finite_episodes, population_scores
from blur.meta.outer.base import Outer
from blur.meta.setting import Setting
from blur.parallel.devices import here, spread, validation_mesh
from blur.support.compiler import Program


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Kept:
    """The best genome so far, and how it did.

    Attributes:
      genome: its meta-parameters.
      fitness: mean over the validation episodes; of a mixture, weighted over its settings.
      accuracy: likewise; NaN in regression.
      candidate: which candidate it came from.
      meta_step: after how many meta-steps.
    """

    genome: Genome
    fitness: Float[Array, ""]
    accuracy: Float[Array, ""]
    candidate: Array
    meta_step: Array


def nothing_kept(genome: Genome) -> Kept:
    """What is kept before the first validation: a genome that any other one beats."""
    return Kept(genome, jnp.asarray(jnp.inf), jnp.asarray(jnp.nan), jnp.asarray(0), jnp.asarray(0))


@functools.partial(Program, gradient=False, static_argnames=("objective", "mesh"))
def validate(
    objective: Objective, setting: Setting, genomes: Genome, key: Key[Array, ""], mesh: Mesh | None = None
) -> tuple[Float[Array, "genomes"], Float[Array, "genomes"]]:
    """Fitness and accuracy of every genome (stacked along a leading axis) on the same validation episodes.

    With a `mesh`, on all of whose devices the arguments lie, they divide the episodes.
    """
    play = functools.partial(population_scores, objective, split="validation")
    scores = spread(play, validation_mesh(mesh, objective.episodes), (P(), P(), P()), P())(setting, genomes, key)
    return average(scores, finite_episodes(scores), "penalise"), jnp.mean(scores.accuracy, axis=-1)


@functools.partial(jax.jit, static_argnames=("outer", "rule"))
def contenders(outer: Outer, rule: UpdateRule, states: PyTree) -> Genome:
    """The genomes of all candidates that may be kept, stacked: first all current ones, then all second ones."""
    stacked = jax.vmap(lambda state: outer.genomes(state, rule))(states)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *stacked)


def validate_mixture(
    objective: Objective,
    settings: Sequence[Setting],
    genomes: Genome,
    key: Key[Array, ""],
    mesh: Mesh | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`validate`, averaged over settings by their weights."""
    results = [np.asarray(validate(objective, setting, genomes, key, mesh)) for setting in settings]
    fitness, accuracy = np.average(results, axis=0, weights=[setting.weight for setting in settings])
    return fitness, accuracy


def keep_best(
    kept: Kept, genomes: Genome, fitness: np.ndarray, accuracy: np.ndarray, *, candidates: int, meta_step: int
) -> Kept:
    """`kept`, or the best of `genomes` if that is better."""
    best = int(np.argmin(fitness))
    if not fitness[best] < float(kept.fitness):
        return kept
    dtype = kept.fitness.dtype
    return Kept(
        jax.tree.map(lambda leaf: leaf[best], here(genomes)),
        jnp.asarray(fitness[best], dtype),
        jnp.asarray(accuracy[best], dtype),
        jnp.asarray(best % candidates),
        jnp.asarray(meta_step),
    )
