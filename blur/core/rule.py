"""The interface of everything that learns.

Everything that learns is an `UpdateRule`: a BLUR network, SGD on the same engine, an optax optimiser on an MLP. A
rule's *genome* holds its meta-parameters, every number that a grid, a population or a meta-gradient may vary; its
*state* is what one life of learning changes. Rules themselves are static: frozen, hashable, compared by value.
"""

from __future__ import annotations

import abc
from typing import TypeAlias

from jaxtyping import Array, Float, Key, PyTree

from blur.core.episode import Batch

Genome: TypeAlias = PyTree
"""Meta-parameters of a rule: a pytree of floating-point arrays."""


class UpdateRule(abc.ABC):
    """The interface of everything that learns. Implementations are frozen dataclasses.

    All four methods are pure and safe under `jit`, `vmap`, `grad` (in reverse mode alone) and `lax.scan`; a
    state keeps its structure, shapes and dtypes from `init_state` on.
    """

    @property
    def longest_life(self) -> int | None:
        """The most inner steps that a state has room for; None for any number."""
        return None

    @property
    def in_context(self) -> bool:
        """Whether it learns from one context, all of whose examples it reads in every inner step."""
        return False

    @abc.abstractmethod
    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """A random genome (the only one, where nothing is random)."""

    @abc.abstractmethod
    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Batch) -> PyTree:
        """The state before any learning. `spec` gives the static shapes of a batch."""

    @abc.abstractmethod
    def step(self, genome: Genome, state: PyTree, batch: Batch) -> PyTree:
        """The state after one inner step on `batch`."""

    @abc.abstractmethod
    def predict(
        self, genome: Genome, state: PyTree, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """Outputs for `inputs`, ready for the task's loss. The state does not change."""
