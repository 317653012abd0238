"""Every phase keeps the promises of `Phase`. A new phase needs one line in `tests/toys/part_examples.py`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conformance_toys import (
    assert_close,
    assert_equal,
    assert_finite,
    compiled,
    identities,
    masked_batch,
    remove_example,
    shapes,
    start_of,
)
from part_examples import CHAINS, PHASES, RULES, phase_example

from blur.core.episode import Batch
from blur.core.state import State

every_phase = pytest.mark.parametrize("name", PHASES)


class Passage(NamedTuple):
    """An inner step, phase by phase: the genome, and the state before every phase and at the end."""

    genome: Any
    states: tuple[State, ...]


def start(owner: str, seed: int) -> tuple[Any, State]:
    """A random genome and the first state, of the rule that the chain belongs to."""
    return start_of(RULES.get(owner, CHAINS[owner]), seed)


@functools.cache
def passage(owner: str, seed: int = 0, example: int = 1) -> Passage:
    """The first step, not compiled, on a batch whose example of weight 0 is drawn from the seed `example`."""
    genome, state = start(owner, seed)
    return Passage(genome, passed(owner, genome, state, masked_batch(example)))


def passed(owner: str, genome: Any, state: State, batch: Batch) -> tuple[State, ...]:
    """The state before every phase and at the end."""
    states = [state]
    for name, phase in CHAINS[owner].phases.named:
        states.append(phase.apply(genome.get(name, {}), states[-1], batch))
    return tuple(states)


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


@functools.cache
def compiled_step(owner: str) -> tuple[Any, tuple[State, ...]]:
    """Slopes of the last state in the genome, and all states of the step, mapped over two genomes and starts."""
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), start(owner, 0), start(owner, 1))
    batch = masked_batch(1)

    def total(genome: Any, state: State) -> tuple[jax.Array, tuple[State, ...]]:
        states = passed(owner, genome, state, batch)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(states[-1]) if _is_float(leaf)), states

    return compiled(jax.vmap(jax.grad(total, has_aux=True)))(*stacked)


def _is_float(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


@every_phase
def test_a_phase_can_be_compiled_and_mapped_over_genomes(name: str) -> None:
    states = compiled_step(PHASES[name][0])[1][phase_example(name)[1] + 1]
    for seed in (0, 1):
        assert_close(jax.tree.map(lambda leaf, seed=seed: leaf[seed], states), after(name, seed))


@every_phase
def test_a_phase_has_finite_gradients(name: str) -> None:
    (chain, place), slopes = phase_example(name), compiled_step(PHASES[name][0])[0]
    assert_finite(slopes.get(chain.phase_names[place], {}))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(slopes))


@every_phase
def test_what_an_example_of_weight_0_holds_leaves_no_trace(name: str) -> None:
    kept, other = (remove_example(lasting(name, after(name, example=example))) for example in (1, 2))
    assert_equal(other, kept)


@every_phase
def test_what_lasts_keeps_its_shapes_and_types(name: str) -> None:
    fields = start(PHASES[name][0], 0)[1]
    assert shapes(after(name).only(fields)) == shapes(arguments(name)[1].only(fields))
