"""Episodes: what a learner is shown, and what it is scored on."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int


class Batch(NamedTuple):
    """Examples to learn from, or to predict.

    Weight 0 removes an example exactly from every sum, mean, statistic and write. A learner may still read the example.

    Examples:
      >>> import jax.numpy as jnp
      >>> batch = blur.Batch(jnp.ones((4, 3)), jnp.zeros((4, 1)), weight=jnp.array([1.0, 1.0, 1.0, 0.0]))
      >>> batch.inputs.shape, batch.targets.shape
      ((4, 3), (4, 1))
    """

    inputs: Float[Array, "*batch inputs"]
    targets: Float[Array, "*batch outputs"]
    weight: Float[Array, "*batch"]

    @property
    def steps(self) -> None:
        """None: where a batch serves as a `Spec`, the length of the life is open."""
        return None


class Spec(NamedTuple):
    """What a state is made for: the shapes and dtypes of a batch, and the length of the life. All of it is static.

    Attributes:
      inputs: of `Batch.inputs`.
      targets: of `Batch.targets`.
      weight: of `Batch.weight`.
      steps: T, the number of inner steps of the life; None where it is open. A rule that reads it can let step sizes
        depend on t/T.
    """

    inputs: jax.ShapeDtypeStruct
    targets: jax.ShapeDtypeStruct
    weight: jax.ShapeDtypeStruct
    steps: int | None = None


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

    Examples:
      >>> import jax
      >>> episode = blur.make_task("digits").sample(jax.random.key(0), steps=10, batch_size=32)
      >>> episode.support.inputs.shape, episode.query.inputs.shape
      ((10, 32, 64), (32, 64))
    """

    support: Batch | Stream
    query: Batch
    steps: int | None = dataclasses.field(default=None, metadata={"static": True})


def as_arrays(support: Batch | Stream) -> Batch:
    """A support as arrays, whole."""
    return support.source.batch(support.indices) if isinstance(support, Stream) else support


def make_spec(inputs: int, outputs: int, batch_size: int, steps: int | None = None) -> Spec:
    """The spec of float32 batches of `batch_size` examples with these widths."""

    def shape(*axes: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch_size, *axes), jnp.float32)

    return Spec(shape(inputs), shape(outputs), shape(), steps)


def batch_spec(batch: Batch, steps: int | None = None) -> Spec:
    """The spec of a batch, of arrays or of shapes."""
    inputs, targets, weight = (jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in batch)
    return Spec(inputs, targets, weight, steps)


def first_batch(episode: Episode) -> Batch:
    """The batch of the first inner step."""
    support = as_arrays(episode.support)
    return support if episode.steps is not None else jax.tree.map(lambda leaf: leaf[0], support)


def episode_spec(episode: Episode) -> Spec:
    """What a learner's state has to be made for, to live this episode."""
    if isinstance(episode.support, Stream):
        first = jax.eval_shape(episode.support.source.batch, episode.support.indices[0])
        return batch_spec(first, len(episode.support.indices))
    if episode.steps is not None:
        return batch_spec(episode.support, episode.steps)
    first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), episode.support)
    return batch_spec(first, len(episode.support.weight))


Split = Literal["train", "validation", "test"]
"""While meta-training (`train`), support and query come from disjoint parts of the meta-train examples, divided anew
for every episode. For tuning and selection the query comes from `validation` examples, for reported figures only from
`test` examples; their support comes from the meta-train examples."""


Kind = Literal["classification", "regression"]
