"""The state of a run between meta-steps, and its random keys."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, Key, PyTree

from blur.core.rule import Genome
from blur.meta.chunk import strong_types
from blur.meta.outer.base import Outer
from blur.meta.run.best import Best, none_yet
from blur.meta.setting import Setting
from blur.parallel.devices import gather, local_slice, on_mesh, to_local


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
    """The contents of a checkpoint. Leaves are stored by number: their order is part of the file format.

    Attributes:
      states: outer states of all candidates, stacked.
      inner_states: the inner state of each setting, stacked over candidates.
      best: the best genome so far.
      meta_step: the number of meta-steps that are done.
    """

    states: PyTree
    inner_states: tuple[PyTree, ...]
    best: Best
    meta_step: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunKeys:
    """The random keys of a run.

    Attributes:
      validation: draws the validation episodes.
      start: draw each candidate's random genome and first outer state.
      steps: draw each candidate's meta-steps.
    """

    validation: Key[Array, ""]
    start: Key[Array, "candidates"]
    steps: Key[Array, "candidates"]


def run_keys(seed: int, candidates: int) -> RunKeys:
    """The keys of a run; those of a candidate do not depend on the number of candidates."""
    validation, start, steps = jax.random.split(jax.random.key(seed), 3)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    numbers = jnp.arange(candidates)
    return RunKeys(validation, fold(start, numbers), fold(steps, numbers))


def initial_run_state(
    settings: Sequence[Setting], outer: Outer, keys: RunKeys, init: Genome | None, mesh: Mesh | None = None
) -> RunState:
    """Before the first meta-step: random genomes, or `init` for every candidate.

    Every device of a `mesh` holds all arguments and all outer states, and its part of the inner states.
    """
    states, genome, inner_states = _start(tuple(settings), outer, keys.start, init, mesh)
    return RunState(states, inner_states, none_yet(to_local(genome)), jnp.asarray(0))


@functools.partial(jax.jit, static_argnames=("outer", "mesh"))
def _start(
    settings: tuple[Setting, ...],
    outer: Outer,
    keys: Key[Array, "candidates"],
    init: Genome | None,
    mesh: Mesh | None,
) -> tuple[PyTree, Genome, tuple[PyTree, ...]]:
    rule = settings[0].rule

    def candidate(
        settings: tuple[Setting, ...], init: Genome | None, key: Key[Array, ""]
    ) -> tuple[PyTree, Genome, tuple[PyTree, ...]]:
        genome_key, state_key, inner_key = jax.random.split(key, 3)
        genome = rule.init_genome(genome_key) if init is None else init
        inner_states = tuple(outer.init_inner_state(genome, inner_key, setting) for setting in settings)
        return outer.init(state_key, genome, rule), genome, inner_states

    def program(settings: tuple[Setting, ...], init: Genome | None, keys: Array) -> tuple:
        own = local_slice(keys, "candidates")
        states, genomes, inner_states = jax.vmap(functools.partial(candidate, settings, init))(own)
        states, genomes = gather((states, genomes), "candidates")
        return strong_types((states, jax.tree.map(lambda leaf: leaf[0], genomes), inner_states))

    own = P("candidates", outer.divisible[0])
    return on_mesh(program, mesh, (P(), P(), P()), (P(), P(), own))(settings, init, keys)
