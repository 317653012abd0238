"""Meta-training by evolution: any distribution-based strategy of evosax, by name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, PyTree

from blur.core.genome import genome_shapes
from blur.core.rule import Genome, UpdateRule
from blur.meta.objective import Metrics, Objective, fitness_and_metrics, population_scores
from blur.meta.outer.base import Outer
from blur.meta.outer.optimiser import GenomeOptimiser
from blur.meta.setting import Setting
from blur.parallel.devices import Axis, gather, local_slice

TRUNCATED = ("PersistentES", "NoiseReuseES")
"""The strategies that work on truncated lives."""


@functools.cache
def strategies() -> dict[str, type]:
    """Evolution strategies by name."""
    from evosax.algorithms import distribution_based_algorithms  # the import computes: hosts have to join before it

    return {strategy.__name__: strategy for strategy in distribution_based_algorithms.values() if _buildable(strategy)}


def _buildable(strategy: type) -> bool:
    """Whether a strategy needs only a population size and a solution, and loads no weights."""
    parameters = inspect.signature(strategy).parameters
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    return required == {"population_size", "solution"} and "params_path" not in parameters


@dataclasses.dataclass(frozen=True)
class Strategy:
    """How to build an evosax strategy.

    Attributes:
      name: one of `strategies()`.
      population: genomes per meta-step; antithetic strategies need an even number.
      std: initial standard deviation of the genomes around their mean.
      optimiser: follows the estimated gradient, in the strategies that estimate one.

    Raises:
      ValueError: the population is too small, or odd, or `std` is not positive.
    """

    name: str
    population: int
    std: float
    optimiser: GenomeOptimiser

    def __post_init__(self) -> None:
        if self.population < 4 or self.population % 2:
            raise ValueError(f"the population is {self.population}; expected an even number, at least 4")
        if not self.std > 0:
            raise ValueError(f"std is {self.std}; expected a positive number")

    def build(self, rule: UpdateRule) -> tuple[Any, Any]:
        """The evosax strategy for a rule's genome, and its parameters."""
        strategy = strategies()[self.name]
        parameters = inspect.signature(strategy).parameters
        options: dict[str, Any] = {}
        if "std_schedule" in parameters:
            options["std_schedule"] = optax.constant_schedule(self.std)
            if "optimizer" in parameters:  # the others follow a natural gradient at their own rate
                options["optimizer"] = self.optimiser.build()
        with jax.ensure_compile_time_eval():
            solution = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), genome_shapes(rule))
            built = strategy(population_size=self.population, solution=solution, **options)
            default = built.default_params
        return built, default.replace(std_init=self.std) if hasattr(default, "std_init") else default


@dataclasses.dataclass(frozen=True)
class EvolutionOuter(Outer):
    """Evolves a distribution over genomes; every member of a population plays the same whole episodes."""

    objective: Objective
    strategy: Strategy

    @property
    def forward_only(self) -> bool:
        """See `Outer.forward_only`."""
        return True

    @property
    def divisible(self) -> tuple[Axis, int]:
        """The population."""
        return "population", self.strategy.population

    def init(self, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> PyTree:
        """See `Outer.init`."""
        return initial_state(self.strategy, key, genome, rule)

    def step(
        self, state: PyTree, inner_state: PyTree, key: Key[Array, ""], index: Int[Array, ""], setting: Setting
    ) -> tuple[PyTree, PyTree, Metrics]:
        """See `Outer.step`."""
        strategy, params = self.strategy.build(setting.rule)
        ask_key, play_key, tell_key = jax.random.split(jax.random.fold_in(key, index), 3)
        population, state = strategy.ask(ask_key, state, params)
        scores = population_scores(self.objective, setting, local_slice(population, "population"), play_key)
        scores = gather(scores, "population")
        fitness, metrics = fitness_and_metrics(self.objective, scores)
        state, _ = strategy.tell(tell_key, population, fitness, state, params)
        return state, inner_state, metrics

    def genomes(self, state: PyTree, rule: UpdateRule) -> tuple[Genome, ...]:
        """The mean, and the best member of all populations so far."""
        strategy, _ = self.strategy.build(rule)
        return strategy.get_mean(state), strategy._unravel_solution(state.best_solution)


def initial_state(strategy: Strategy, key: Key[Array, ""], genome: Genome, rule: UpdateRule) -> PyTree:
    """The evosax state whose mean is `genome`."""
    built, params = strategy.build(rule)
    return built.init(key, genome, params)
