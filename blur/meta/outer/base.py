"""The interface of everything that improves a genome: one meta-step at a time."""

from __future__ import annotations

import abc

from jaxtyping import Array, Int, Key, PyTree

from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics
from blur.meta.setting import Setting
from blur.parallel.devices import Axis


class Outer(abc.ABC):
    """An optimiser of genomes. Implementations are frozen dataclasses: static, hashable, compared by value.

    The methods are pure and safe under `jit`, `vmap` and loops. Two pytrees carry everything from one meta-step to the
    next: the *outer state*, shared by all settings, and what is *held* of the inner loop, for each setting its own.
    Where devices divide a meta-step (`blur.parallel.devices`), each has the whole outer state, and holds its own share.
    """

    @property
    @abc.abstractmethod
    def forward_only(self) -> bool:
        """Whether a meta-step needs no gradient of the inner loop."""

    @property
    @abc.abstractmethod
    def divisible(self) -> tuple[Axis, int]:
        """What many devices divide among them within a meta-step, and how much of it there is."""

    @abc.abstractmethod
    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> PyTree:
        """The outer state that starts from `genome`."""

    @abc.abstractmethod
    def step(
        self, state: PyTree, held: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[PyTree, PyTree, Metrics]:
        """One meta-step. `key` is the run's; everything random follows from it and the meta-step's `index`."""

    @abc.abstractmethod
    def genomes(self, state: PyTree, rule: UpdateRule) -> tuple[Genome, ...]:
        """The genomes that may be kept: the current one first."""

    def hold(self, genome: Genome, key: Key[Array, ""], setting: Setting) -> PyTree:
        """What is held before the first meta-step on a setting, by population; nothing by default."""
        return ()

    def period(self, setting: Setting) -> int:
        """Meta-steps that have to follow one another on this setting."""
        return 1
