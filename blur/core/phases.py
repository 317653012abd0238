"""Phases: the parts of an inner step, and the chains that they make."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec, make_batch
from blur.core.fields import DefaultUntilSet
from blur.core.rule import Genome, StatisticsRule, UpdateRule
from blur.core.state import State

T = TypeVar("T")


class Phase(abc.ABC):
    """One part of an inner step; the parts share a `State`. Subclasses are frozen dataclasses.

    Only `apply` must be written. A phase that owns meta-parameters returns them from `init_genome`, one that owns
    memory adds named fields to the state in `init_state`. Fields that no `init_state` added live until the end of the
    step.

    Attributes:
      symbols: the equations' symbols of the genome's leaves, by name.
      layer_widths: widths of the hidden layers that this phase makes; None for a phase that makes none, or whose layers
        cannot be set to other widths.
      prediction_statistics: what normalises a prediction; None for a phase without such statistics.
      max_steps: the most inner steps that this phase's fields have room for; None for any number.

    Examples:
      >>> import dataclasses
      >>> @dataclasses.dataclass(frozen=True)
      ... class Count(blur.Phase):
      ...     def init_state(self, genome, state, key, spec):
      ...         return state.replace(seen=0)
      ...
      ...     def apply(self, genome, state, batch):
      ...         return state.replace(seen=state.seen + len(batch.weight))
      >>> state = Count().init_state({}, blur.State(), None, None)
      >>> state.seen
      0
    """

    symbols: ClassVar[Mapping[str, str]] = {}

    @property
    def layer_widths(self) -> tuple[int, ...] | None:
        """None: a phase makes no hidden layers unless it says so."""
        return None

    @property
    def prediction_statistics(self) -> StatisticsRule | None:
        """None: a phase has no such statistics unless it says so."""
        return None

    @property
    def max_steps(self) -> int | None:
        """None: a phase has room for any number of steps unless it says so."""
        return None

    def genome_symbols(self) -> dict[str, str]:
        """The symbols of the genome's leaves by path (`hebbian/pre`), where they have one."""
        return dict(self.symbols)

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """This phase's meta-parameters; none by default."""
        return {}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """The state with this phase's fields added; `state` has those of the phases before. None by default."""
        return state

    @abc.abstractmethod
    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """The state after this phase, in an inner step. `genome` is this phase's own."""

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """The state after this phase in a prediction, where the batch has no targets; by default `apply`."""
        return self.apply(genome, state, batch)


@dataclasses.dataclass(frozen=True)
class Phases(Phase):
    """Named phases in order, as one phase; each one's genome is kept under its name."""

    named: tuple[tuple[str, Phase], ...]

    @property
    def layer_widths(self) -> tuple[int, ...] | None:
        """The widths of the phase that makes hidden layers; several such phases have to agree."""
        return the_one("hidden layers", [phase.layer_widths for _, phase in self.named])

    @property
    def prediction_statistics(self) -> StatisticsRule | None:
        """The statistics on which all phases with statistics agree."""
        return the_one("statistics", [phase.prediction_statistics for _, phase in self.named])

    @property
    def max_steps(self) -> int | None:
        """The least `max_steps` of the phases."""
        return min((phase.max_steps for _, phase in self.named if phase.max_steps is not None), default=None)

    def genome_symbols(self) -> dict[str, str]:
        """The phases' symbols; a path starts with the phase's name."""
        return {
            f"{name}/{leaf}": symbol for name, phase in self.named for leaf, symbol in phase.genome_symbols().items()
        }

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """`{phase name: its genome}`, without the phases that have none."""
        keys = jax.random.split(key, len(self.named))
        genomes = {name: phase.init_genome(k) for (name, phase), k in zip(self.named, keys, strict=True)}
        return {name: genome for name, genome in genomes.items() if jax.tree.leaves(genome)}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """The state with all phases' fields added."""
        keys = jax.random.split(key, len(self.named))
        for (name, phase), phase_key in zip(self.named, keys, strict=True):
            state = phase.init_state(genome.get(name, {}), state, phase_key, spec)
        return state

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Applies every phase in order."""
        for name, phase in self.named:
            with jax.named_scope(name):
                state = phase.apply(genome.get(name, {}), state, batch)
        return state

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """Reads with every phase in order."""
        for name, phase in self.named:
            with jax.named_scope(name):
                state = phase.read(genome.get(name, {}), state, batch)
        return state


def the_one(name: str, found: Sequence[T | None]) -> T | None:
    """The value that all phases with a value agree on; None if none has one.

    Raises:
      ValueError: two phases have different values.
    """
    values = [value for value in found if value is not None]
    if any(value != values[0] for value in values):
        raise ValueError(
            f"the phases have different {name}: {' and '.join(map(str, values))}; expected the same in all"
        )
    return values[0] if values else None


@dataclasses.dataclass(frozen=True)
class Chain(UpdateRule):
    """An update rule composed of phases, as `optax.chain` composes gradient transformations. Made by `chain`.

    Attributes:
      phases: the phases of an inner step.
      reader: those of them that `predict` runs.
      output: picks the prediction out of the state after `reader`.
      in_context: see `UpdateRule.in_context`.
    """

    phases: Phases
    reader: Phases
    output: Callable[[State], Array]
    in_context: bool = False

    @property
    def hidden(self) -> tuple[int, ...] | None:  # type: ignore[override]
        """Widths of the phases' hidden layers."""
        return self.phases.layer_widths

    @property
    def statistics(self) -> StatisticsRule | None:  # type: ignore[override]
        """The statistics with which the phases normalise a prediction."""
        return self.phases.prediction_statistics

    @property
    def max_steps(self) -> int | None:
        """See `UpdateRule.max_steps`."""
        return self.phases.max_steps

    @property
    def phase_names(self) -> tuple[str, ...]:
        """See `UpdateRule.phase_names`."""
        return tuple(name for name, _ in self.phases.named)

    def genome_symbols(self) -> dict[str, str]:
        """See `UpdateRule.genome_symbols`."""
        return self.phases.genome_symbols()

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """`{phase name: its genome}`, without the phases that have none."""
        return self.phases.init_genome(key)

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """All phases' fields, the counter `step` and the `key` that random phases fold the counter into."""
        phases_key, key = jax.random.split(key)
        return self.phases.init_state(genome, State(step=jnp.zeros((), jnp.int32), key=key), phases_key, spec)

    def step(self, genome: Genome, state: State, batch: Batch) -> State:
        """Applies every phase in order, then forgets the fields that they made on the way."""
        return self.phases.apply(genome, state, batch).only(state).replace(step=state.step + 1)

    def read(self, genome: Genome, state: State, inputs: Float[Array, "batch inputs"]) -> State:
        """The state after the reading phases alone, for a look inside a prediction."""
        batch = make_batch(inputs, jnp.zeros((*inputs.shape[:-1], 0), inputs.dtype))
        return self.reader.read(genome, state, batch)

    def predict(
        self, genome: Genome, state: State, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """Runs the reading phases and returns `output` of the result."""
        return self.output(self.read(genome, state, inputs))


def chain(*, read: tuple[str, ...], output: Callable[[State], Array], **phases: Phase) -> Chain:
    """Composes named phases into an update rule.

    Args:
      read: names of the phases that `predict` runs; they run in the order of the chain.
      output: picks the prediction out of the state after those phases.
      **phases: the phases of an inner step, in order; each one's genome is kept under its name.

    Raises:
      ValueError: `read` names a phase that is not there.

    Examples:
      >>> from blur.network import Readout
      >>> phases = dict(blur.TwoStateSGD(hidden=(8,)).chain.phases.named)
      >>> rule = blur.chain(**phases, read=("input", "forward"), output=Readout())
      >>> rule.phase_names
      ('synapses', 'input', 'forward', 'feedback', 'backward', 'hebbian', 'apply')
    """
    if unknown := set(read) - set(phases):
        raise ValueError(f"read names {sorted(unknown)}, but the phases are {list(phases)}")
    reader = Phases(tuple((name, phase) for name, phase in phases.items() if name in read))
    return Chain(Phases(tuple(phases.items())), reader, output)


class ChainRule(UpdateRule):
    """An update rule whose configuration (a frozen dataclass) describes a chain of phases.

    The chain declares its capabilities. A field of the configuration, such as `hidden`, overrides the chain.
    """

    hidden: tuple[int, ...] | None = DefaultUntilSet(lambda rule: rule.chain.hidden)  # type: ignore[assignment]
    statistics: StatisticsRule | None = DefaultUntilSet(lambda rule: rule.chain.statistics)  # type: ignore[assignment]

    @property
    @abc.abstractmethod
    def chain(self) -> Chain:
        """The phases that this configuration stands for."""

    @property
    def max_steps(self) -> int | None:
        """See `UpdateRule.max_steps`."""
        return self.chain.max_steps

    @property
    def in_context(self) -> bool:
        """See `UpdateRule.in_context`."""
        return self.chain.in_context

    @property
    def phase_names(self) -> tuple[str, ...]:
        """See `UpdateRule.phase_names`."""
        return self.chain.phase_names

    def genome_symbols(self) -> dict[str, str]:
        """See `UpdateRule.genome_symbols`."""
        return self.chain.genome_symbols()

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """See `Chain.init_genome`."""
        return self.chain.init_genome(key)

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """See `Chain.init_state`."""
        return self.chain.init_state(genome, key, spec)

    def step(self, genome: Genome, state: State, batch: Batch) -> State:
        """See `Chain.step`."""
        return self.chain.step(genome, state, batch)

    def predict(
        self, genome: Genome, state: State, inputs: Float[Array, "batch inputs"]
    ) -> Float[Array, "batch outputs"]:
        """See `Chain.predict`."""
        return self.chain.predict(genome, state, inputs)


@dataclasses.dataclass(frozen=True)
class Every(Phase):
    """Runs phases when `step` is a multiple of `period`: supervision every n-th step. Made by `every`.

    The phases may change a field of the state, but not its shape (give `Feedback` the number of states of a neuron).
    Fields that they make are forgotten.
    """

    period: int
    phases: Phases

    @property
    def layer_widths(self) -> tuple[int, ...] | None:
        """The inner phases' `layer_widths`."""
        return self.phases.layer_widths

    @property
    def prediction_statistics(self) -> StatisticsRule | None:
        """The inner phases' `prediction_statistics`."""
        return self.phases.prediction_statistics

    @property
    def max_steps(self) -> int | None:
        """The inner phases' `max_steps`."""
        return self.phases.max_steps

    def genome_symbols(self) -> dict[str, str]:
        """Symbols of the inner phases' genome leaves, by path."""
        return self.phases.genome_symbols()

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """The inner phases' genomes, by phase name."""
        return self.phases.init_genome(key)

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Spec | Batch) -> State:
        """Adds the phases' fields."""
        return self.phases.init_state(genome, state, key, spec)

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """Runs the phases or does nothing."""
        after: State = jax.lax.cond(
            state.step % self.period == 0,
            lambda before: self.phases.apply(genome, before, batch).only(before),
            lambda before: before,
            state,
        )
        return after


def every(period: int, **phases: Phase) -> Every:
    """Runs the named phases, in order, in every `period`-th inner step, starting with the first."""
    return Every(period, Phases(tuple(phases.items())))
