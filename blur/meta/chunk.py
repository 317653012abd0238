"""The compiled program of a chunk: many meta-steps of all candidates in one dispatch."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, Key, PyTree

from blur.meta.objective import Metrics
from blur.meta.outer.base import Outer
from blur.meta.schedule import CHUNK_CAPACITY
from blur.meta.setting import Setting
from blur.parallel.devices import broadcast_first, gather, local_slice, on_mesh
from blur.support.compiler import compiler_options
from blur.support.mapping import Mapping, mapped


@functools.cache
def compiled_chunk(outer: Outer, mapping: Mapping, mesh: Mesh | None) -> Callable[..., tuple[PyTree, PyTree, Metrics]]:
    """`run_chunk` for an outer optimiser, compiled; called with its other arguments, from `setting` on.

    Equal arguments give the same program, so that a second run compiles nothing again. The devices of a `mesh`
    (`blur.parallel.devices.training_mesh`) divide the work. Every device holds all arguments except the inner states,
    whose two leading axes are divided.
    """
    own = P("candidates", outer.divisible[0])
    program = on_mesh(
        functools.partial(run_chunk, outer, mapping), mesh, (P(), P(), own, P(), P(), P()), (P(), own, P())
    )
    return jax.jit(program, compiler_options=compiler_options(gradient=not outer.forward_only))


def run_chunk(
    outer: Outer,
    mapping: Mapping,
    setting: Setting,
    states: PyTree,
    inner_states: PyTree,
    keys: Key[Array, "candidates"],
    first: Int[Array, ""] | int,
    length: Int[Array, ""] | int,
) -> tuple[PyTree, PyTree, Metrics]:
    """Meta-steps `first … first + length − 1` of every candidate on one setting.

    `first` and `length` are traced: one compilation serves every chunk on a setting.

    Returns:
      The outer states, the inner states, and metrics `[candidates, CHUNK_CAPACITY]`; the first `length` are valid.
    """
    states, keys = local_slice((states, keys), "candidates")
    candidate = functools.partial(_meta_steps, outer, setting, first, length)
    states, inner_states, metrics = mapped(candidate, mapping)(states, inner_states, keys)
    states = broadcast_first(states, outer.divisible[0])
    states, metrics = gather((states, metrics), "candidates")
    return states, inner_states, metrics


def _meta_steps(
    outer: Outer,
    setting: Setting,
    first: Int[Array, ""] | int,
    length: Int[Array, ""] | int,
    state: PyTree,
    inner_state: PyTree,
    key: Key[Array, ""],
) -> tuple[PyTree, PyTree, Metrics]:
    """The meta-steps of one candidate."""

    def body(i: Int[Array, ""], carry: tuple) -> tuple:
        state, inner_state, metrics = carry
        state, inner_state, new = outer.step(state, inner_state, key, first + i, setting)
        metrics = jax.tree.map(lambda rows, row: rows.at[i].set(row), metrics, new)
        return strong_types(state), strong_types(inner_state), metrics

    new = jax.eval_shape(outer.step, state, inner_state, key, jnp.asarray(first), setting)[2]
    empty = jax.tree.map(lambda leaf: jnp.zeros((CHUNK_CAPACITY, *leaf.shape), leaf.dtype), new)
    return jax.lax.fori_loop(0, length, body, (state, inner_state, empty))


def strong_types(tree: PyTree) -> PyTree:
    """The same arrays without weak types; a change of weak types would compile the program again."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)
