"""Phases that run in every n-th inner step only."""

from __future__ import annotations

import dataclasses

import jax
from jaxtyping import Array, Key

from blur.core.rule import Batch, Genome, Phase, Phases
from blur.core.state import State


@dataclasses.dataclass(frozen=True)
class Every(Phase):
    """Runs phases when `step` is a multiple of `period`: supervision every n-th step. Made by `every`.

    What they change must keep its shape (give `Feedback` the number of states of a neuron); fields that they make are
    forgotten.
    """

    period: int
    phases: Phases

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """That of the phases, by name."""
        return self.phases.init_genome(key)

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Batch) -> State:
        """Adds the phases' fields."""
        return self.phases.init_state(genome, state, key, spec)

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Runs the phases or does nothing."""
        return jax.lax.cond(
            state.step % self.period == 0,
            lambda before: self.phases.apply(genome, before, batch).only(before),
            lambda before: before,
            state,
        )


def every(period: int, **phases: Phase) -> Every:
    """Runs the named phases, in order, in every `period`-th inner step, starting with the first."""
    return Every(period, Phases(tuple(phases.items())))
