"""Functions of the plane with two values: xor, or, circle, two moons, ….

One output, target +1 where the function is true and −1 elsewhere. A coordinate counts as true where it is positive.
The set is that of the bidirectional learned update rules (Sandler et al., 2021), written anew.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from blur.core.episode import Kind
from blur.tasks.synthetic import SyntheticTask

Plane = Float[Array, "count 2"]
Labels = Float[Array, "count 1"]
Examples = Callable[[Key[Array, ""], Key[Array, ""], int], tuple[Plane, Labels]]
"""`(episode's key, key, count) -> (points, ±1 labels)`. What all examples of an episode share depends on the first."""


def _signs(truth: Bool[Array, "count"]) -> Labels:
    return jnp.where(truth, 1.0, -1.0)[:, None]


def _on_square(truth: Callable[[Key[Array, ""], Plane], Bool[Array, "count"]]) -> Examples:
    """Points x ~ U(−1, 1)² labelled by a function of the episode's key and x."""

    def examples(episode_key: Key[Array, ""], key: Key[Array, ""], count: int) -> tuple[Plane, Labels]:
        x = jax.random.uniform(key, (count, 2), minval=-1.0)
        return x, _signs(truth(episode_key, x))

    return examples


def _logical(truth: Callable[[Bool[Array, "count"], Bool[Array, "count"]], Bool[Array, "count"]]) -> Examples:
    """A function of the signs of the two coordinates, the same in every episode."""
    return _on_square(lambda _, x: truth(x[:, 0] > 0, x[:, 1] > 0))


def _rotated(x: Plane, angle: Float[Array, ""]) -> Plane:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return x @ jnp.array([[cos, -sin], [sin, cos]])


def _random_xor(key: Key[Array, ""], x: Plane) -> Bool[Array, "count"]:
    """Xor in axes turned by U(0, 2π) around a centre from U(−½, ½)²."""
    angle_key, centre_key = jax.random.split(key)
    centre = jax.random.uniform(centre_key, (2,), minval=-0.5, maxval=0.5)
    turned = _rotated(x - centre, jax.random.uniform(angle_key, maxval=2 * math.pi))
    return turned[:, 0] * turned[:, 1] < 0


def _circle(key: Key[Array, ""], x: Plane) -> Bool[Array, "count"]:
    """Inside a circle with its centre from U(−½, ½)² and radius from U(0.4, 0.8)."""
    centre_key, radius_key = jax.random.split(key)
    centre = jax.random.uniform(centre_key, (2,), minval=-0.5, maxval=0.5)
    radius = jax.random.uniform(radius_key, minval=0.4, maxval=0.8)
    return jnp.sum((x - centre) ** 2, axis=-1) < radius**2


def _square(key: Key[Array, ""], x: Plane) -> Bool[Array, "count"]:
    """Inside a turned square with its centre from U(−½, ½)² and half its side from U(0.4, 0.7)."""
    centre_key, side_key, angle_key = jax.random.split(key, 3)
    centre = jax.random.uniform(centre_key, (2,), minval=-0.5, maxval=0.5)
    half_side = jax.random.uniform(side_key, minval=0.4, maxval=0.7)
    turned = _rotated(x - centre, jax.random.uniform(angle_key, maxval=2 * math.pi))
    return jnp.max(jnp.abs(turned), axis=-1) < half_side


def _angular_slice(key: Key[Array, ""], x: Plane) -> Bool[Array, "count"]:
    """Within a slice around the origin that starts at U(0, 2π) and is U(π/2, 3π/2) wide."""
    start_key, width_key = jax.random.split(key)
    start = jax.random.uniform(start_key, maxval=2 * math.pi)
    width = jax.random.uniform(width_key, minval=math.pi / 2, maxval=3 * math.pi / 2)
    return jnp.mod(jnp.arctan2(x[:, 1], x[:, 0]) - start, 2 * math.pi) < width


def _two_moons(episode_key: Key[Array, ""], key: Key[Array, ""], count: int) -> tuple[Plane, Labels]:
    """Two interleaved half circles with noise 0.05, centred on the origin, the same in every episode."""
    side_key, angle_key, noise_key = jax.random.split(key, 3)
    truth = jax.random.bernoulli(side_key, shape=(count,))
    angle = jax.random.uniform(angle_key, (count,), maxval=math.pi)
    upper = jnp.stack([jnp.cos(angle) - 0.5, jnp.sin(angle) - 0.25], axis=-1)
    points = jnp.where(truth[:, None], upper, -upper)
    return points / 1.5 + 0.05 * jax.random.normal(noise_key, (count, 2)), _signs(truth)


def _concentric_circles(episode_key: Key[Array, ""], key: Key[Array, ""], count: int) -> tuple[Plane, Labels]:
    """Two circles around the origin with noise 0.05: radius 0.4 is true, 0.8 is not; the same in every episode."""
    side_key, angle_key, noise_key = jax.random.split(key, 3)
    truth = jax.random.bernoulli(side_key, shape=(count,))
    angle = jax.random.uniform(angle_key, (count,), maxval=2 * math.pi)
    points = jnp.where(truth, 0.4, 0.8)[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return points + 0.05 * jax.random.normal(noise_key, (count, 2)), _signs(truth)


FUNCTIONS: dict[str, tuple[str, Examples]] = {
    "xor": ("exactly one coordinate is positive", _logical(lambda a, b: a != b)),
    "nxor": ("both coordinates or none are positive", _logical(lambda a, b: a == b)),
    "or": ("some coordinate is positive", _logical(lambda a, b: a | b)),
    "and": ("both coordinates are positive", _logical(lambda a, b: a & b)),
    "nand": ("not both coordinates are positive", _logical(lambda a, b: ~(a & b))),
    "and_not": ("the second coordinate is positive, the first is not", _logical(lambda a, b: ~a & b)),
    "random_xor": ("xor in axes turned and moved at random in every episode", _on_square(_random_xor)),
    "circle": ("inside a circle, a new one in every episode", _on_square(_circle)),
    "square": ("inside a turned square, a new one in every episode", _on_square(_square)),
    "angular_slice": ("within a slice around the origin, a new one in every episode", _on_square(_angular_slice)),
    "two_moons": ("on the upper of two interleaved half circles", _two_moons),
    "concentric_circles": ("on the inner of two circles", _concentric_circles),
}
"""Name -> where it is true, and the law of its examples."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BooleanTask(SyntheticTask):
    """Functions of the plane with values ±1; with several functions, each episode draws one of them.

    Attributes:
      functions: one or more keys of `FUNCTIONS`.
      fixed_support: present one support batch again at every inner step.

    Raises:
      ValueError: no function, or an unknown one.
    """

    functions: tuple[str, ...] = dataclasses.field(default=tuple(FUNCTIONS), metadata={"static": True})
    fixed_support: bool = dataclasses.field(default=False, metadata={"static": True})

    kind: ClassVar[Kind] = "classification"
    inputs: ClassVar[int] = 2
    outputs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.functions if name not in FUNCTIONS]
        if unknown or not self.functions:
            raise ValueError(f"functions {self.functions!r}: expected one or more of {', '.join(FUNCTIONS)}")

    @property
    def name(self) -> str:
        """The functions joined by `+`; all of them together are `boolean`."""
        return "boolean" if self.functions == tuple(FUNCTIONS) else "+".join(self.functions)

    def draw_law(self, key: Key[Array, ""]) -> tuple[Int[Array, ""], Key[Array, ""]]:
        """Which function, and the key of what is random about it."""
        choice_key, episode_key = jax.random.split(key)
        return jax.random.randint(choice_key, (), 0, len(self.functions)), episode_key

    def draw_examples(
        self, law: tuple[Int[Array, ""], Key[Array, ""]], key: Key[Array, ""], count: int
    ) -> tuple[Plane, Labels]:
        """Points of the plane, and the drawn function's values ±1 there."""
        choice, episode_key = law
        branches = [FUNCTIONS[name][1] for name in self.functions]
        return jax.lax.switch(choice, [lambda e, k, f=f: f(e, k, count) for f in branches], episode_key, key)
