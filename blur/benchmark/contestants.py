"""The contestants on a workload: the engine, the naive reference and plain SGD."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key

from blur.benchmark.measure import Contestant, contestant
from blur.benchmark.naive import naive_loss
from blur.benchmark.workloads import Mode, Workload, random_episode
from blur.core.episode import Episode, Kind, Split
from blur.core.inner_loop import episode_loss
from blur.core.rule import PopulationForm, Storage, UpdateRule
from blur.meta import Setting
from blur.meta.objective import Objective, population_scores
from blur.meta.population import over_members
from blur.parallel.devices import on_mesh, replicate, training_mesh
from blur.support.compiler import Program
from blur.support.mapping import Mapping

MOST_RIVALS = 16
"""The largest population that the rivals play. Beyond it, their cost grows in proportion."""

EPISODE, GENOME, LEARNER = 0, 1, 2
"""Seeds."""


@dataclasses.dataclass(frozen=True)
class Case:
    """The case of one record of the benchmark.

    Attributes:
      workload: the network and its episode.
      mode: loss or gradient.
      population: genomes that play the same episode from the same synapses; 1 is a genome without a leading axis.
      mapping: the mapping of the population.
      storage: the form of a population's synapses; a single genome stores dense synapses.
    """

    workload: Workload
    mode: Mode = "forward"
    population: int = 1
    mapping: Mapping = "auto"
    storage: Storage = "auto"

    def __str__(self) -> str:
        return f"{self.workload.name} {self.mode}" + f", {self.population} genomes" * (self.population > 1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneEpisode:
    """A task with one fixed episode: the timed program draws no episode."""

    episode: Episode
    kind: Kind = dataclasses.field(metadata={"static": True})

    @property
    def name(self) -> str:
        """See `Task`."""
        return "one episode"

    @property
    def inputs(self) -> int:
        """See `Task`."""
        return self.episode.query.inputs.shape[-1]

    @property
    def outputs(self) -> int:
        """See `Task`."""
        return self.episode.query.targets.shape[-1]

    def sample(
        self,
        key: Key[Array, ""],
        *,
        steps: int,
        batch_size: int,
        split: Split = "train",
        query_size: int | None = None,
    ) -> Episode:
        """The episode; all arguments are ignored."""
        return self.episode


def contestants(case: Case) -> dict[str, Contestant]:
    """The compiled contestants: `engine`, and for at most `MOST_RIVALS` genomes also `naive` and `sgd`.

    In both modes `sgd` is an episode of plain training, without a meta-gradient.
    """
    found = {"engine": engine(case)}
    if case.population <= MOST_RIVALS:
        found |= {"naive": naive(case), "sgd": _playing(case.workload.sgd, dataclasses.replace(case, mode="forward"))}
    return found


def engine(case: Case) -> Contestant:
    """The workload's rule: `episode_loss`, its gradient, or a population's scores as evolution computes them."""
    return _playing(case.workload.rule, case)


def naive(case: Case) -> Contestant:
    """The same computation by `naive_loss`."""

    def loss(genome: Any, key: Array, episode: Episode) -> Array:
        return naive_loss(case.workload, genome, key, episode)

    function: Callable[..., Any] = jax.grad(loss) if case.mode == "gradient" else loss
    if case.population > 1:

        def function(genomes: Any, key: Array, episode: Episode) -> Array:
            return over_members(lambda g: loss(g, key, episode), case.mapping, PopulationForm(case.workload.rule))(
                genomes
            )

    return _compiled(function, case.workload.rule, case)


def _playing(rule: UpdateRule, case: Case) -> Contestant:
    workload = case.workload

    def loss(genome: Any, key: Array, episode: Episode) -> Array:
        return episode_loss(rule, genome, key, episode, workload.loss, remat=case.mode == "gradient")[0]

    objective = Objective(mapping=case.mapping, storage=case.storage)

    def scores(genomes: Any, key: Array, episode: Episode) -> Any:
        setting = Setting(rule, OneEpisode(episode, workload.kind), steps=workload.steps, batch_size=workload.batch)
        return population_scores(objective, setting, genomes, key)

    if case.population > 1:
        return _compiled(scores, rule, case)
    return _compiled(jax.grad(loss) if case.mode == "gradient" else loss, rule, case)


def _compiled(function: Callable[..., Any], rule: UpdateRule, case: Case) -> Contestant:
    """Compiles `function` for the case. As in meta-training, a population is divided over all devices."""
    arguments = _arguments(rule, case)
    if case.population == 1:
        return contestant(function, *arguments, jit=_jit(case))
    mesh = training_mesh(None, 1, "population", case.population)
    divided = on_mesh(function, mesh, (P("population"), P(), P()), P("population"))
    return contestant(divided, *replicate(arguments, mesh), jit=_jit(case))


def _jit(case: Case) -> Callable[..., Any]:
    """Compiles as meta-training does."""
    return lambda function: Program(function, gradient=case.mode == "gradient").jitted


def _arguments(rule: UpdateRule, case: Case) -> tuple[Any, Array, Episode]:
    """Random genomes, the learner's key and the episode."""
    key = jax.random.key(GENOME)
    if case.population == 1:
        genomes = rule.init_genome(key)
    else:
        genomes = jax.vmap(rule.init_genome)(jax.random.split(key, case.population))
    return genomes, jax.random.key(LEARNER), random_episode(case.workload, jax.random.key(EPISODE))
