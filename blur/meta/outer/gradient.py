"""Meta-training by the gradient through the inner loop."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Int, Key, PyTree

from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics, Objective, gradient
from blur.meta.outer.base import Outer
from blur.meta.outer.optimiser import Optimiser
from blur.meta.setting import Setting
from blur.parallel.devices import Axis


class GradientState(NamedTuple):
    """The genome, and what its optimiser remembers."""

    genome: Genome
    optimiser: PyTree


@dataclasses.dataclass(frozen=True)
class GradientOuter(Outer):
    """Descends the gradient of the objective in the genome.

    Raises:
      ValueError: the objective's fitness has no gradient.
    """

    objective: Objective
    optimiser: Optimiser

    def __post_init__(self) -> None:
        self.objective.check_differentiable()

    @property
    def forward_only(self) -> bool:
        """See `Outer.forward_only`."""
        return False

    @property
    def divisible(self) -> tuple[Axis, int]:
        """The episodes."""
        return "episodes", self.objective.episodes

    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> GradientState:
        """See `Outer.init`."""
        return GradientState(genome, self.optimiser.build().init(genome))

    def step(
        self, state: GradientState, held: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[GradientState, PyTree, Metrics]:
        """See `Outer.step`."""
        slope, metrics = gradient(self.objective, setting, state.genome, jax.random.fold_in(key, index))
        updates, optimiser = self.optimiser.build().update(slope, state.optimiser, state.genome)
        return GradientState(optax.apply_updates(state.genome, updates), optimiser), held, metrics

    def genomes(self, state: GradientState, rule: UpdateRule) -> tuple[Genome, ...]:
        """The current genome."""
        return (state.genome,)
