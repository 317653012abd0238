"""Every phase keeps the promises of `Phase`. A new phase needs one line in `tests/toys/part_examples.py`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from conformance_toys import (
    assert_close,
    assert_equal,
    assert_finite,
    identities,
    masked_batch,
    remove_example,
    shapes,
)
from part_examples import CHAINS, PHASES, example_batch, phase_example

from blur.core.episode import Batch, batch_spec
from blur.core.state import State

every_phase = pytest.mark.parametrize("name", PHASES)


class Passage(NamedTuple):
    """An inner step, phase by phase: the genome, and the state before every phase and at the end."""

    genome: Any
    states: tuple[State, ...]


@functools.cache
def start(owner: str, seed: int) -> tuple[Any, State]:
    """A random genome and the first state."""
    chain, spec = CHAINS[owner], batch_spec(example_batch(), 2)

    @jax.jit
    def make(key: jax.Array) -> tuple[Any, State]:
        genome = chain.init_genome(key)
        return genome, chain.init_state(genome, key, spec)

    return make(jax.random.key(seed))


@functools.cache
def passage(owner: str, seed: int = 0, example: int = 1) -> Passage:
    """The first step, not compiled, on a batch whose example of weight 0 is drawn from the seed `example`."""
    genome, state = start(owner, seed)
    states = [state]
    for name, phase in CHAINS[owner].phases.named:
        states.append(phase.apply(genome.get(name, {}), states[-1], masked_batch(example)))
    return Passage(genome, tuple(states))


def arguments(name: str, seed: int = 0) -> tuple[Any, State]:
    """What a phase is applied to: its genome and the state before it."""
    (chain, place), seen = phase_example(name), passage(PHASES[name][0], seed)
    return seen.genome.get(chain.phase_names[place], {}), seen.states[place]


def after(name: str, seed: int = 0, example: int = 1) -> State:
    """The state after it."""
    return passage(PHASES[name][0], seed, example).states[phase_example(name)[1] + 1]


def apply(name: str, genome: Any, state: State, batch: Batch) -> State:
    chain, place = phase_example(name)
    return chain.phases.named[place][1].apply(genome, state, batch)


def lasting(name: str, state: State) -> State:
    """What lives on: the fields that some phase owns, and the change that synapses are about to make."""
    kept = state.only(start(PHASES[name][0], 0)[1])
    return kept.replace(change=state.change.synapses) if "change" in state else kept


@every_phase
def test_a_phase_is_pure(name: str) -> None:
    given = (*arguments(name), masked_batch(1))
    before = identities(given)
    assert_equal(apply(name, *given), after(name))
    assert identities(given) == before
    phase = phase_example(name)[0].phases.named[phase_example(name)[1]][1]
    again = dataclasses.replace(phase)  # type: ignore[type-var]
    assert (again, hash(again)) == (phase, hash(phase))


@every_phase
def test_a_phase_can_be_compiled_differentiated_and_mapped_over_genomes(name: str) -> None:
    batch = masked_batch(1)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), arguments(name, 0), arguments(name, 1))
    leaves, structure = jax.tree.flatten(stacked)
    numbers, rest = ([leaf if _is_float(leaf) == floating else None for leaf in leaves] for floating in (True, False))

    def total(numbers: list, rest: list) -> tuple[jax.Array, State]:
        result = apply(name, *jax.tree.unflatten(structure, _merged(numbers, rest)), batch)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(result) if _is_float(leaf)), result

    slopes, mapped = jax.jit(jax.vmap(jax.grad(total, has_aux=True)))(numbers, rest)
    assert_finite(slopes)
    for seed in (0, 1):
        assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], mapped), after(name, seed))


def _is_float(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _merged(first: list, second: list) -> list:
    return [b if a is None else a for a, b in zip(first, second, strict=True)]


@every_phase
def test_what_an_example_of_weight_0_holds_leaves_no_trace(name: str) -> None:
    kept, other = (remove_example(lasting(name, after(name, example=example))) for example in (1, 2))
    assert_equal(other, kept)


@every_phase
def test_what_lasts_keeps_its_shapes_and_types(name: str) -> None:
    fields = start(PHASES[name][0], 0)[1]
    assert shapes(after(name).only(fields)) == shapes(arguments(name)[1].only(fields))
