"""All that a run carries from one meta-step to the next."""

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
from blur.meta.run.best import Kept, nothing_kept
from blur.meta.setting import Setting
from blur.parallel.devices import gathered, here, share, spread


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
    """What a checkpoint holds.

    Attributes:
      states: outer states of all candidates, stacked.
      held: for each setting, what is held of the inner loop, stacked over candidates.
      kept: the best genome so far.
      meta_step: how many meta-steps are done.
    """

    states: PyTree
    held: tuple[PyTree, ...]
    kept: Kept
    meta_step: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RunKeys:
    """Everything random in a run.

    Attributes:
      validation: draws the validation episodes.
      start: draw each candidate's random genome and first outer state.
      steps: draw each candidate's meta-steps.
    """

    validation: Key[Array, ""]
    start: Key[Array, "candidates"]
    steps: Key[Array, "candidates"]


def run_keys(seed: int, candidates: int) -> RunKeys:
    """The keys of a run; a candidate's do not depend on how many there are."""
    validation, start, steps = jax.random.split(jax.random.key(seed), 3)
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    numbers = jnp.arange(candidates)
    return RunKeys(validation, fold(start, numbers), fold(steps, numbers))


def initial_run_state(
    settings: Sequence[Setting], outer: Outer, keys: RunKeys, init: Genome | None, mesh: Mesh | None = None
) -> RunState:
    """Before the first meta-step: random genomes, or `init` for every candidate.

    With a `mesh`, all arguments lie on all of its devices, as the outer states then do; each holds its own share.
    """
    states, genome, held = _start(tuple(settings), outer, keys.start, init, mesh)
    return RunState(states, held, nothing_kept(here(genome)), jnp.asarray(0))


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
        genome_key, state_key, hold_key = jax.random.split(key, 3)
        genome = rule.init_genome(genome_key) if init is None else init
        held = tuple(outer.hold(genome, hold_key, setting) for setting in settings)
        return outer.init(state_key, genome, rule), genome, held

    def program(settings: tuple[Setting, ...], init: Genome | None, keys: Array) -> tuple:
        own = share(keys, "candidates")
        states, genomes, held = jax.vmap(functools.partial(candidate, settings, init))(own)
        states, genomes = gathered((states, genomes), "candidates")
        return strong_types((states, jax.tree.map(lambda leaf: leaf[0], genomes), held))

    own = P("candidates", outer.divisible[0])
    return spread(program, mesh, (P(), P(), P()), (P(), P(), own))(settings, init, keys)
