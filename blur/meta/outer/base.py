"""The interface of outer optimisers, which improve a genome by one meta-step at a time."""

from __future__ import annotations

import abc

from jaxtyping import Array, Int, Key, PyTree

from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics
from blur.meta.setting import Setting
from blur.parallel.devices import Axis


class Outer(abc.ABC):
    """An optimiser of genomes. Implementations are frozen dataclasses: static, hashable, compared by value.

    The methods are pure and safe under `jit`, `vmap` and loops. Two pytrees go from one meta-step to the next: the
    *outer state*, which all settings share, and the *inner state*, one per setting: learners that live on. Where
    devices divide a meta-step (`blur.parallel.devices`), each has the whole outer state and a part of the inner state.
    """

    @property
    @abc.abstractmethod
    def forward_only(self) -> bool:
        """Whether a meta-step needs no gradient of the inner loop."""

    @property
    @abc.abstractmethod
    def divisible(self) -> tuple[Axis, int]:
        """The axis that devices divide within a meta-step, and its length."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> PyTree:
        """The outer state that starts from `genome`."""

    @abc.abstractmethod
    def step(
        self, state: PyTree, inner_state: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[PyTree, PyTree, Metrics]:
        """One meta-step. All random numbers follow from the run's `key` and the meta-step's `index`."""

    @abc.abstractmethod
    def genomes(self, state: PyTree, rule: UpdateRule) -> tuple[Genome, ...]:
        """The genomes that may become the best: the current one first."""

    def init_inner_state(self, genome: Genome, key: Key[Array, ""], setting: Setting) -> PyTree:
        """The inner state before the first meta-step on a setting, by population; empty by default."""
        return ()

    def period(self, setting: Setting) -> int:
        """The number of meta-steps that have to follow one another on this setting."""
        return 1
