"""Synthetic tasks: every episode draws a law, then examples that follow it."""

from __future__ import annotations

import abc

import jax
from jaxtyping import Array, Float, Key, PyTree

from blur.core.episode import Batch, Episode, Split, make_batch
from blur.support.errors import check_sizes
from blur.support.renamed import renamed_arguments
from blur.tasks.sampling import split_key


class SyntheticTask(abc.ABC):
    """A task defined by a random law of one episode and the examples that follow it.

    Subclasses are frozen dataclasses registered as pytrees. The splits are three independent streams of episodes.
    """

    fixed_support: bool = False
    """Present one support batch again at every inner step, instead of a stream of fresh ones."""

    @abc.abstractmethod
    def draw_law(self, key: Key[Array, ""]) -> PyTree:
        """The law that all examples of one episode share, such as the weights of a regression."""

    @abc.abstractmethod
    def draw_examples(
        self, law: PyTree, key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count inputs"], Float[Array, "count outputs"]]:
        """`count` independent examples that follow the law: inputs and targets."""

    @renamed_arguments(unroll="steps")
    def sample(
        self,
        key: Key[Array, ""],
        *,
        steps: int,
        batch_size: int,
        split: Split = "train",
        query_size: int | None = None,
    ) -> Episode:
        """A random episode; see `Task.sample`. Support and query follow the same law, independently."""
        query_size = batch_size if query_size is None else query_size
        check_sizes(steps=steps, batch_size=batch_size, query_size=query_size)
        law_key, support_key, query_key = jax.random.split(split_key(key, split), 3)
        law = self.draw_law(law_key)
        query = make_batch(*self.draw_examples(law, query_key, query_size))
        if self.fixed_support:
            return Episode(make_batch(*self.draw_examples(law, support_key, batch_size)), query, steps=steps)
        support = make_batch(*self.draw_examples(law, support_key, steps * batch_size))
        return Episode(_as_stream(support, steps), query)


def _as_stream(batch: Batch, steps: int) -> Batch:
    """One large batch cut into `steps` equal ones."""
    return jax.tree.map(lambda leaf: leaf.reshape(steps, -1, *leaf.shape[1:]), batch)
