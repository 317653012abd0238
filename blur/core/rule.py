"""What learns, and what it learns from: the one interface of the library.

Everything that learns is an `UpdateRule`: a BLUR network, SGD on the same engine, an optax optimiser on an MLP. A
rule's *genome* holds its meta-parameters, every number that a grid, a population or a meta-gradient may vary; its
*state* is what one life of learning changes. Rules themselves are static: frozen, hashable, compared by value.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, PyTree

from blur.core.state import State

Genome: TypeAlias = PyTree
"""Meta-parameters of a rule: a pytree of floating-point arrays."""


class Batch(NamedTuple):
    """Examples to learn from, or to predict.

    Weight 0 removes an example exactly from every sum, mean, statistic and write; it may still be read. As the `spec`
    argument of `init_state`, the fields are `jax.ShapeDtypeStruct`s instead of arrays.
    """

    inputs: Float[Array, "*batch inputs"]
    targets: Float[Array, "*batch outputs"]
    weight: Float[Array, "*batch"]


def make_batch(inputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> Batch:
    """A `Batch` of float arrays; every example weighs 1 unless `weight` says otherwise."""
    inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
    if inputs.shape[:-1] != targets.shape[:-1]:
        raise ValueError(
            f"inputs {inputs.shape} and targets {targets.shape} disagree on the batch axes; "
            "expected [*batch, inputs] and [*batch, outputs]"
        )
    return Batch(inputs, targets, jnp.ones(inputs.shape[:-1], inputs.dtype) if weight is None else jnp.asarray(weight))


@runtime_checkable
class Source(Protocol):
    """Where a stream's examples are: a pytree."""

    def batch(self, indices: Int[Array, "*batch"]) -> Batch:
        """The examples with these places."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """A support that is read batch by batch while it is learned from, so that a long life needs little memory.

    Attributes:
      indices: places of the examples in the source, `[T, B]`.
      source: has the examples.
    """

    indices: Int[Array, "steps batch"]
    source: Source


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episode:
    """One life of a learner: it is trained on `support`, then scored on `query`.

    Attributes:
      support: a stream of batches with a leading time axis `[T, B, …]` (`steps` is None), as arrays or as a `Stream`;
        or one batch `[B, …]` that is presented again at each of `steps` inner steps.
      query: the batch `[Q, …]` it is scored on; none of its examples occurs in `support`.
      steps: None for a stream, else the static number of inner steps on the fixed batch.
    """

    support: Batch | Stream
    query: Batch
    steps: int | None = dataclasses.field(default=None, metadata={"static": True})


def as_arrays(support: Batch | Stream) -> Batch:
    """A support as arrays, whole."""
    return support.source.batch(support.indices) if isinstance(support, Stream) else support


def batch_spec(episode: Episode) -> Batch:
    """Shapes and dtypes of one support batch, as `UpdateRule.init_state` wants them."""
    if isinstance(episode.support, Stream):
        return jax.eval_shape(episode.support.source.batch, episode.support.indices[0])
    drop = 1 if episode.steps is None else 0
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[drop:], leaf.dtype), episode.support)


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


class Phase:
    """One part of an inner step; the parts share a `State`. Subclasses are frozen dataclasses.

    Only `apply` must be written. A phase that owns meta-parameters returns them from `init_genome`, one that owns
    memory adds named fields to the state in `init_state`. Fields that no `init_state` added live until the end of the
    step.
    """

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """This phase's meta-parameters; none by default."""
        return {}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Batch) -> State:
        """The state with this phase's fields added; `state` has those of the phases before. None by default."""
        return state

    def apply(self, genome: Genome, state: State, batch: Batch) -> State:
        """The state after this phase, in an inner step. `genome` is this phase's own."""
        raise NotImplementedError

    def read(self, genome: Genome, state: State, batch: Batch) -> State:
        """The same when predicting: the batch has no targets. By default, `apply`."""
        return self.apply(genome, state, batch)


@dataclasses.dataclass(frozen=True)
class Phases(Phase):
    """Named phases in order, as one phase; each one's genome is kept under its name."""

    named: tuple[tuple[str, Phase], ...]

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """`{phase name: its genome}`, without the phases that have none."""
        keys = jax.random.split(key, len(self.named))
        genomes = {name: phase.init_genome(k) for (name, phase), k in zip(self.named, keys, strict=True)}
        return {name: genome for name, genome in genomes.items() if jax.tree.leaves(genome)}

    def init_state(self, genome: Genome, state: State, key: Key[Array, ""], spec: Batch) -> State:
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

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """`{phase name: its genome}`, without the phases that have none."""
        return self.phases.init_genome(key)

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Batch) -> State:
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
    """
    if unknown := set(read) - set(phases):
        raise ValueError(f"read names {sorted(unknown)}, but the phases are {list(phases)}")
    reader = Phases(tuple((name, phase) for name, phase in phases.items() if name in read))
    return Chain(Phases(tuple(phases.items())), reader, output)


class ChainRule(UpdateRule):
    """An update rule whose configuration (a frozen dataclass) describes a chain of phases."""

    @property
    @abc.abstractmethod
    def chain(self) -> Chain:
        """The phases that this configuration stands for."""

    def init_genome(self, key: Key[Array, ""]) -> Genome:
        """See `Chain.init_genome`."""
        return self.chain.init_genome(key)

    def init_state(self, genome: Genome, key: Key[Array, ""], spec: Batch) -> State:
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
