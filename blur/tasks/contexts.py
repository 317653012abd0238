"""Regression in one context: pairs of an unknown function and a query, as transformers that learn in context see them.

The support is one batch, the context, presented again at every inner step, that is, in every layer.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from blur.core.episode import Batch, Episode, Kind, Split
from blur.support.errors import check_choice, check_sizes
from blur.support.renamed import renamed_arguments
from blur.tasks.synthetic import SyntheticTask

ContextLaw = Literal["uniform", "mixed"]
"""`uniform`: x ~ U(−½, ½)^d · `input_range`. `mixed`: see `InContextRegression`."""


class ContextTask(SyntheticTask):
    """A synthetic task with one context per episode, and few queries: `queries` unless asked for more."""

    fixed_support: bool = True
    queries: int = 1

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
        """A random episode; see `Task.sample`. All `steps` present one context of `batch_size` pairs."""
        query_size = self.queries if query_size is None else query_size
        return super().sample(key, steps=steps, batch_size=batch_size, split=split, query_size=query_size)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InContextRegression(ContextTask):
    """y = w·x with w ~ a N(0, I) and x ~ U(−r/2, r/2)^d anew in every episode (von Oswald et al., ICML 2023, §3).

    Under the law `mixed`, inputs come from another distribution: coordinates are exponential, normal or Laplace, the
    same in an episode with equal chance, and all inputs, queries included, are multiplied by r / ‖X‖_F, so that the
    context X has the Frobenius norm r.

    Attributes:
      inputs: d.
      queries: queries per context.
      law: of the inputs.
      distractors: this many labels of the context, at random places, are N(0, 1) instead.
      input_range: r.
      weight_scale: a.

    Raises:
      ValueError: a size is out of range, or the law unknown.

    Examples:
      >>> import jax
      >>> task = blur.InContextRegression(inputs=3)
      >>> episode = task.sample(jax.random.key(0), steps=2, batch_size=10)  # 2 looks at one context of 10 pairs
      >>> episode.support.inputs.shape, episode.query.inputs.shape, episode.steps
      ((10, 3), (1, 3), 2)
    """

    inputs: int = dataclasses.field(default=10, metadata={"static": True})
    queries: int = dataclasses.field(default=1, metadata={"static": True})
    law: ContextLaw = dataclasses.field(default="uniform", metadata={"static": True})
    distractors: int = dataclasses.field(default=0, metadata={"static": True})
    input_range: Float[Array, ""] | float = 1.0
    weight_scale: Float[Array, ""] | float = 1.0

    name: ClassVar[str] = "in_context_regression"
    kind: ClassVar[Kind] = "regression"
    outputs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name, least in (("inputs", 1), ("queries", 1), ("distractors", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}")
        check_choice("law", self.law, ("uniform", "mixed"))

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
        """See `ContextTask.sample`."""
        if self.distractors > batch_size:
            raise ValueError(f"{self.distractors} distractors do not fit in a context of {batch_size} pairs")
        episode = super().sample(key, steps=steps, batch_size=batch_size, split=split, query_size=query_size)
        support = cast(Batch, episode.support)  # fixed, so it is no stream
        if self.law == "mixed":
            factor = self.input_range / jnp.linalg.norm(support.inputs)
            support, query = (_scaled(batch, factor) for batch in (support, episode.query))
            episode = dataclasses.replace(episode, support=support, query=query)
        if not self.distractors:
            return episode
        place_key, label_key = jax.random.split(jax.random.fold_in(key, 1))
        noisy = jax.random.permutation(place_key, batch_size)[:, None] < self.distractors
        noise = jax.random.normal(label_key, support.targets.shape, support.targets.dtype)
        support = support._replace(targets=jnp.where(noisy, noise, support.targets))
        return dataclasses.replace(episode, support=support)

    def draw_law(self, key: Key[Array, ""]) -> PyTree:
        """The episode's weights [inputs], and which law its inputs follow."""
        if self.law == "uniform":
            return self.weight_scale * jax.random.normal(key, (self.inputs,)), None
        weight_key, law_key = jax.random.split(key)
        weights = self.weight_scale * jax.random.normal(weight_key, (self.inputs,))
        return weights, jax.random.randint(law_key, (), 0, 3)

    def draw_examples(
        self, law: PyTree, key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count inputs"], Float[Array, "count 1"]]:
        """See the class; under the law `mixed`, before the context is given its norm."""
        weights, kind = law
        shape = (count, self.inputs)
        x = self.input_range * centred_uniform(key, shape) if kind is None else _mixed(key, kind, shape)
        return x, (x @ weights)[:, None]


def centred_uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """U(−½, ½), on a grid of 2¹⁶ points of mean 0: half as many random bits, which are most of an episode's cost."""
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 2),), jnp.uint32)
    halves = jnp.concatenate([words >> 16, words & 0xFFFF])[:count].astype(jnp.result_type(float))
    return ((halves + 0.5) / 2**16 - 0.5).reshape(shape)


def _mixed(key: Key[Array, ""], kind: Array, shape: tuple[int, int]) -> Float[Array, "count inputs"]:
    """Exponential (0), normal (1) or Laplace (2) coordinates."""
    drawn = [draw(key, shape) for draw in (jax.random.exponential, jax.random.normal, jax.random.laplace)]
    return jnp.select([kind == 0, kind == 1], drawn[:2], drawn[2])


def _scaled(batch: Batch, factor: Float[Array, ""]) -> Batch:
    """Inputs times a factor, and so the targets, which are linear in them."""
    return batch._replace(inputs=factor * batch.inputs, targets=factor * batch.targets)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GaussianRegression(ContextTask):
    """x = Σ^½ z, y = f(x) + σ ε with Gaussian z, ε, and f anew in every episode, in support and query alike.

    f(x) = w·x with w = W^½ u, u ~ N(0, I); or, with `hidden`, f(x) = √(2/k) Σ_{j≤k} a_j relu(w_j·x) with all a_j, w_j
    ~ N(0, 1), whose law no rotation of x changes.

    Attributes:
      covariance_root: Σ^½, [d, d].
      weight_root: W^½, [d, d].
      noise: σ.
      queries: queries per context.
      hidden: k, or None for linear functions.

    Raises:
      ValueError: a size is below 1, or a root is not square or not as large as the other.
    """

    covariance_root: Float[Array, "inputs inputs"]
    weight_root: Float[Array, "inputs inputs"]
    noise: Float[Array, ""] | float = 0.0
    queries: int = dataclasses.field(default=1, metadata={"static": True})
    hidden: int | None = dataclasses.field(default=None, metadata={"static": True})

    name: ClassVar[str] = "gaussian_regression"
    kind: ClassVar[Kind] = "regression"
    outputs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        shapes = jnp.shape(self.covariance_root), jnp.shape(self.weight_root)
        if len(shapes[0]) != 2 or shapes[0] != shapes[0][::-1] or shapes[1] != shapes[0] or 0 in shapes[0]:
            raise ValueError(
                f"covariance_root has shape {shapes[0]} and weight_root {shapes[1]}; expected [d, d] for both"
            )
        check_sizes(queries=self.queries, hidden=self.hidden)

    @property
    def inputs(self) -> int:
        """d."""
        return self.covariance_root.shape[-1]

    def draw_law(self, key: Key[Array, ""]) -> PyTree:
        """Weights [inputs]; or of hidden units [inputs, k] and of their sum [k]."""
        if self.hidden is None:
            return self.weight_root @ jax.random.normal(key, (self.inputs,))
        first, second = jax.random.split(key)
        return jax.random.normal(first, (self.inputs, self.hidden)), jax.random.normal(second, (self.hidden,))

    def draw_examples(
        self, law: PyTree, key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count inputs"], Float[Array, "count 1"]]:
        """Inputs x, and targets of the drawn law plus noise."""
        input_key, noise_key = jax.random.split(key)
        x = jax.random.normal(input_key, (count, self.inputs)) @ self.covariance_root.T
        y = x @ law if self.hidden is None else (2 / self.hidden) ** 0.5 * jax.nn.relu(x @ law[0]) @ law[1]
        return x, (y + self.noise * jax.random.normal(noise_key, (count,)))[:, None]
