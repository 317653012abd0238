"""The configuration of a meta-training run, and the outer optimiser that it describes."""

import dataclasses
import difflib
from typing import NamedTuple, get_args

from blur.core.rule import Storage
from blur.meta.objective import NanPolicy, Objective
from blur.meta.outer.base import Outer
from blur.meta.outer.evolution import TRUNCATED, EvolutionOuter, Strategy, strategies
from blur.meta.outer.gradient import GradientOuter
from blur.meta.outer.optimiser import GENOME_OPTIMISERS, GenomeOptimiser
from blur.meta.outer.truncated import TruncatedOuter
from blur.support.errors import check_choice
from blur.support.mapping import Mapping

SMALL_STEPS = ("Open_ES", *TRUNCATED)
"""Strategies that keep their std constant: it has to be small, since they estimate a gradient with it."""


@dataclasses.dataclass(frozen=True)
class MetaTraining:
    """The configuration of meta-training.

    Attributes:
      outer: the outer optimiser: an optax optimiser (adam, adamw, lion, sgd, …) or a distribution-based evosax strategy
        (CMA_ES, Open_ES, SNES, PersistentES, NoiseReuseES, …).
      meta_steps: number of meta-steps; the outer learning rate decays to zero over them as a cosine. By default 2000,
        or 500 with an evolution strategy.
      candidates: genomes that are meta-trained side by side; the best on validation episodes wins. By default 4, or 1
        with an evolution strategy.
      episodes: episodes per genome and meta-step.
      fitness: cross_entropy, l2 or l2_class_weighted, which are minimised, or accuracy, which is maximised (evolution
        only). By default cross_entropy, or l2 in regression.
      learning_rate: initial learning rate of the outer optimiser.
      clip: largest global norm of a meta-gradient.
      population: genomes per meta-step of an evolution strategy.
      std: initial standard deviation of a population. By default 0.1, or 0.03 with a strategy that keeps it constant.
      truncation: inner steps per meta-step of PersistentES and NoiseReuseES; it divides the number of inner steps.
      nan_policy: the loss of a diverged episode: the worst finite loss (penalise), left out (skip), or the run stops
        (raise).
      remat: recompute inner steps in the backward pass; this saves memory and, on CPUs, time.
      mapping: how episodes, populations and candidates are mapped: at once (vmap), in a loop (map), or as suits the
        device (auto).
      storage: how a population's learners store the input's synapses: as a matrix (dense), in dual form (dual), or in
        the form that needs clearly fewer operations (auto).
      validation_every: meta-steps between two validations; one always follows the last meta-step.
      validation_episodes: episodes of a validation, the same ones every time.
      seed: the seed of all random numbers of the run.

    Raises:
      ValueError: a number is not positive, or `nan_policy`, `mapping` or `storage` is unknown.

    Examples:
      >>> config = blur.MetaTraining(outer="CMA_ES", population=16, meta_steps=100)
      >>> config.episodes, config.mapping
      (1, 'auto')
    """

    outer: str = "adam"
    meta_steps: int | None = None
    candidates: int | None = None
    episodes: int = 1
    fitness: str | None = None
    learning_rate: float = 1e-2
    clip: float = 1.0
    population: int = 32
    std: float | None = None
    truncation: int = 5
    nan_policy: NanPolicy = "penalise"
    remat: bool = True
    mapping: Mapping = "auto"
    storage: Storage = "auto"
    validation_every: int = 200
    validation_episodes: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; expected a positive number")
        for name, choice in (("nan_policy", NanPolicy), ("mapping", Mapping), ("storage", Storage)):
            check_choice(name, getattr(self, name), get_args(choice))


POSITIVE = ("meta_steps", "candidates", "learning_rate", "clip", "std", "validation_every", "validation_episodes")


class RunSize(NamedTuple):
    """The number of meta-steps of a run, and of its candidates."""

    meta_steps: int
    candidates: int


def run_size(config: MetaTraining) -> RunSize:
    """The size that the configuration asks for, or the default of the outer optimiser."""
    default = RunSize(500, 1) if config.outer in strategies() else RunSize(2000, 4)
    return RunSize(
        default.meta_steps if config.meta_steps is None else config.meta_steps,
        default.candidates if config.candidates is None else config.candidates,
    )


def make_outer(config: MetaTraining) -> Outer:
    """The outer optimiser that a configuration describes.

    Raises:
      ValueError: an unknown name, or an option that does not fit the others.
    """
    objective = Objective(
        config.fitness, config.episodes, config.nan_policy, config.remat, config.mapping, config.storage
    )
    adam = GenomeOptimiser("adam", config.learning_rate, run_size(config).meta_steps, config.clip)
    if config.outer in GENOME_OPTIMISERS:
        return GradientOuter(objective, dataclasses.replace(adam, name=config.outer))
    if config.outer not in strategies():
        raise ValueError(_unknown(config.outer))
    default = 0.03 if config.outer in SMALL_STEPS else 0.1
    std = default if config.std is None else config.std
    strategy = Strategy(config.outer, config.population, std, adam)
    if config.outer in TRUNCATED:
        if config.storage == "dual":
            raise ValueError(
                f"{config.outer} keeps learners between meta-steps and stores them dense; use storage dense or auto"
            )
        return TruncatedOuter(objective, strategy, config.truncation)
    return EvolutionOuter(objective, strategy)


def _unknown(name: str) -> str:
    """The message about a name that is neither an optimiser nor a strategy."""
    from evosax.algorithms import population_based_algorithms

    if name in population_based_algorithms:
        return f"{name} is a population-based strategy; expected a distribution-based one, such as CMA_ES or SNES"
    known = {known.lower(): known for known in (*GENOME_OPTIMISERS, *strategies())}
    close = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known.values())}"
    return f"unknown outer optimiser {name!r}; {hint}"
