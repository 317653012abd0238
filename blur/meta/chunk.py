"""The hot loop: many meta-steps of all candidates in one dispatch."""

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
from blur.parallel.devices import agreed, gathered, share, spread
from blur.support.compiler import Program
from blur.support.mapping import Mapping, mapped


def run_chunk(
    outer: Outer,
    mapping: Mapping,
    setting: Setting,
    states: PyTree,
    held: PyTree,
    keys: Key[Array, "candidates"],
    first: Int[Array, ""] | int,
    length: Int[Array, ""] | int,
    mesh: Mesh | None = None,
) -> tuple[PyTree, PyTree, Metrics]:
    """Meta-steps `first … first + length − 1` of every candidate on one setting.

    `first` and `length` are traced: one compilation serves every chunk on a setting. With a `mesh`
    (`blur.parallel.devices.training_mesh`) its devices divide the work; all arguments lie on all of them, except
    `held`, whose two leading axes are divided.

    Returns:
      The outer states, what is held, and metrics `[candidates, CHUNK_CAPACITY]`, of which the first `length` count.
    """
    axis = outer.divisible[0]

    def program(setting: Setting, states: PyTree, held: PyTree, keys: Array, first: Array, length: Array) -> tuple:
        states, keys = share((states, keys), "candidates")
        step = functools.partial(_meta_steps, outer, setting, first, length)
        states, held, metrics = mapped(step, mapping)(states, held, keys)
        states = agreed(states, axis)
        return *gathered((states, metrics), "candidates"), held

    own = P("candidates", axis)
    everyone = spread(program, mesh, (P(), P(), own, P(), P(), P()), (P(), P(), own))
    states, metrics, held = everyone(setting, states, held, keys, first, length)
    return states, held, metrics


STATIC = ("outer", "mapping", "mesh")
run_gradient_chunk = Program(run_chunk, gradient=True, static_argnames=STATIC)
run_forward_chunk = Program(run_chunk, gradient=False, static_argnames=STATIC)


def compiled_chunk(outer: Outer) -> Callable[..., tuple[PyTree, PyTree, Metrics]]:
    """`run_chunk`, compiled as suits the outer optimiser."""
    return run_forward_chunk if outer.forward_only else run_gradient_chunk


def _meta_steps(
    outer: Outer,
    setting: Setting,
    first: Int[Array, ""] | int,
    length: Int[Array, ""] | int,
    state: PyTree,
    held: PyTree,
    key: Key[Array, ""],
) -> tuple[PyTree, PyTree, Metrics]:
    """The meta-steps of one candidate."""

    def body(i: Int[Array, ""], carry: tuple) -> tuple:
        state, held, metrics = carry
        state, held, new = outer.step(state, held, key, first + i, setting)
        metrics = jax.tree.map(lambda rows, row: rows.at[i].set(row), metrics, new)
        return strong_types(state), strong_types(held), metrics

    new = jax.eval_shape(outer.step, state, held, key, jnp.asarray(first), setting)[2]
    empty = jax.tree.map(lambda leaf: jnp.zeros((CHUNK_CAPACITY, *leaf.shape), leaf.dtype), new)
    return jax.lax.fori_loop(0, length, body, (state, held, empty))


def strong_types(tree: PyTree) -> PyTree:
    """The same arrays without weak types: where these come and go, the hot loop would be compiled again."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, jnp.asarray(leaf).dtype), tree)
