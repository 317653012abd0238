"""The best genome so far, judged on the same validation episodes throughout a run."""

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
from blur.parallel.devices import on_mesh, to_local, validation_mesh
from blur.support.compiler import Program


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Best:
    """The best genome so far, and its scores.

    Attributes:
      genome: its meta-parameters.
      fitness: mean over the validation episodes; of a mixture, weighted over its settings.
      accuracy: likewise; NaN in regression.
      candidate: the number of the candidate that it came from.
      meta_step: the number of meta-steps before it was found.
    """

    genome: Genome
    fitness: Float[Array, ""]
    accuracy: Float[Array, ""]
    candidate: Array
    meta_step: Array


def none_yet(genome: Genome) -> Best:
    """The value before the first validation: its fitness is infinite, so that any other genome is better."""
    return Best(genome, jnp.asarray(jnp.inf), jnp.asarray(jnp.nan), jnp.asarray(0), jnp.asarray(0))


def better_of(
    best: Best, genomes: Genome, fitness: np.ndarray, accuracy: np.ndarray, *, candidates: int, meta_step: int
) -> Best:
    """`best`, or the fittest of the stacked `genomes` if its fitness is lower."""
    fittest = int(np.argmin(fitness))
    if not fitness[fittest] < float(best.fitness):
        return best
    dtype = best.fitness.dtype
    return Best(
        jax.tree.map(lambda leaf: leaf[fittest], to_local(genomes)),
        jnp.asarray(fitness[fittest], dtype),
        jnp.asarray(accuracy[fittest], dtype),
        jnp.asarray(fittest % candidates),
        jnp.asarray(meta_step),
    )


@functools.partial(Program, gradient=False, static_argnames=("objective", "mesh"))
def validate(
    objective: Objective, setting: Setting, genomes: Genome, key: Key[Array, ""], mesh: Mesh | None = None
) -> tuple[Float[Array, "genomes"], Float[Array, "genomes"]]:
    """Fitness and accuracy of every genome (stacked along a leading axis) on the same validation episodes.

    The devices of a `mesh` divide the episodes; every device holds all arguments.
    """
    play = functools.partial(population_scores, objective, split="validation")
    scores = on_mesh(play, validation_mesh(mesh, objective.episodes), (P(), P(), P()), P())(setting, genomes, key)
    return average(scores, finite_episodes(scores), "penalise"), jnp.mean(scores.accuracy, axis=-1)


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


@functools.partial(jax.jit, static_argnames=("outer", "rule"))
def contenders(outer: Outer, rule: UpdateRule, states: PyTree) -> Genome:
    """The stacked genomes that may become the best: first the current ones of all candidates, then the second ones."""
    stacked = jax.vmap(lambda state: outer.genomes(state, rule))(states)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *stacked)
