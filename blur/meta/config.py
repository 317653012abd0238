"""The configuration of a meta-training run, and the outer optimiser that it describes."""

import dataclasses
import difflib
from typing import NamedTuple, get_args

from blur.core.rule import Storage
from blur.meta.objective import NanPolicy, Objective
from blur.meta.outer.base import Outer
from blur.meta.outer.evolution import TRUNCATED, EvolutionOuter, Strategy, strategies
from blur.meta.outer.gradient import GradientOuter
from blur.meta.outer.optimiser import OPTIMISERS, Optimiser
from blur.meta.outer.truncated import TruncatedOuter
from blur.support.errors import check_choice
from blur.support.mapping import Mapping

SMALL_STEPS = ("Open_ES", *TRUNCATED)
"""Strategies that estimate a gradient without adapting their std, which therefore has to be small."""


@dataclasses.dataclass(frozen=True)
class MetaTraining:
    """How a genome is meta-trained.

    Attributes:
      outer: what changes genomes: an optax optimiser (adam, adamw, lion, sgd, …) or a distribution-based evosax
        strategy (CMA_ES, Open_ES, SNES, PersistentES, NoiseReuseES, …).
      meta_steps: length of the run, and of the cosine decay of the outer learning rate; by default 2000, or 500 with an
        evolution strategy.
      candidates: random genomes that are meta-trained side by side; the best on validation episodes wins; by default 4,
        or 1 with an evolution strategy.
      episodes: episodes per genome and meta-step.
      fitness: cross_entropy, l2 or l2_class_weighted, which is minimised, or accuracy, which is maximised (evolution
        only); by default cross_entropy, or l2 in regression.
      learning_rate: of the outer optimiser, at first.
      clip: largest global norm of a meta-gradient.
      population: members per generation of an evolution strategy.
      std: initial standard deviation of a population; by default 0.1, or 0.03 where the strategy never adapts it.
      truncation: inner steps per meta-step of PersistentES and NoiseReuseES; it divides the steps of a life.
      nan_policy: what a diverged episode counts: the worst finite loss (penalise), nothing (skip), or the end (raise).
      remat: recompute inner steps in the backward pass: less memory and, on CPUs, less time.
      mapping: how episodes, populations and candidates are mapped: at once (vmap), in a loop (map), or as the device
        likes (auto).
      storage: how a population's learners store the input's synapses: as they are (dense), in dual form (dual), or in
        the form that needs clearly fewer operations (auto).
      validation_every: meta-steps between two looks at the validation episodes; the last meta-step always has one.
      validation_episodes: how many episodes a look takes, the same ones every time.
      seed: everything random in the run follows from it.

    Raises:
      ValueError: a number that has to be positive is not, or an unknown `nan_policy`, `mapping` or `storage`.
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
    """How many meta-steps a run has, and how many candidates."""

    meta_steps: int
    candidates: int


def run_size(config: MetaTraining) -> RunSize:
    """The size asked for, or the default for the outer optimiser."""
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
    adam = Optimiser("adam", config.learning_rate, run_size(config).meta_steps, config.clip)
    if config.outer in OPTIMISERS:
        return GradientOuter(objective, dataclasses.replace(adam, name=config.outer))
    if config.outer not in strategies():
        raise ValueError(_unknown(config.outer))
    default = 0.03 if config.outer in SMALL_STEPS else 0.1
    std = default if config.std is None else config.std
    strategy = Strategy(config.outer, config.population, std, adam)
    if config.outer in TRUNCATED:
        if config.storage == "dual":
            raise ValueError(
                f"{config.outer} holds learners between meta-steps, always dense; use storage dense or auto"
            )
        return TruncatedOuter(objective, strategy, config.truncation)
    return EvolutionOuter(objective, strategy)


def _unknown(name: str) -> str:
    """One line about a name that is neither an optimiser nor a strategy."""
    from evosax.algorithms import population_based_algorithms

    if name in population_based_algorithms:
        return f"{name} is a population-based strategy; expected a distribution-based one, such as CMA_ES or SNES"
    known = {known.lower(): known for known in (*OPTIMISERS, *strategies())}
    close = [known[match] for match in difflib.get_close_matches(name.lower(), known, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known.values())}"
    return f"unknown outer optimiser {name!r}; {hint}"
