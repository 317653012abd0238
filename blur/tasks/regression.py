"""Regression with a new function in every episode: linear maps, sines and polynomials.

Inputs and targets are of order one, so that one genome can serve them all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Kind
from blur.tasks.synthetic import SyntheticTask

InputLaw = Literal["uniform", "normal", "rademacher"]


def _uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-math.sqrt(3), maxval=math.sqrt(3))


INPUT_LAWS: dict[str, Callable[[Key[Array, ""], tuple[int, ...]], Array]] = {
    "uniform": _uniform,
    "normal": lambda key, shape: jax.random.normal(key, shape),
    "rademacher": lambda key, shape: jax.random.rademacher(key, shape, dtype=jnp.result_type(float)),
}
"""Laws of one input coordinate, all of mean 0 and variance 1: U(−√3, √3), N(0, 1), and ±1 with equal chance."""


def covariance_spectrum(inputs: int, condition: Float[Array, ""] | float) -> Float[Array, "inputs"]:
    """Eigenvalues from largest to smallest, evenly spaced in the logarithm: λ_1/λ_d = `condition`, mean 1."""
    spectrum = jnp.power(condition, -jnp.linspace(0.0, 1.0, inputs))
    return spectrum / jnp.mean(spectrum)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearLaw:
    """What one episode of `LinearRegression` shares: x = `mixing` z for independent z, and y = xᵀ `weights` + noise."""

    mixing: Float[Array, "inputs inputs"]
    weights: Float[Array, "inputs outputs"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearRegression(SyntheticTask):
    """y = a·xᵀw + σε with w ~ N(0, I) anew in every episode.

    x = s·Q Λ^½ z, z independent coordinates of variance 1, Λ = diag(`covariance_spectrum`), Q a uniformly random
    rotation of the episode if `rotate`, else the identity. ε ~ N(0, 1), in the support and in the query alike.

    The first in-context setting of von Oswald et al. (2023), x ~ U(−½, ½)^d and w ~ N(0, I), is
    `LinearRegression(10, input_scale=12 ** -0.5, weight_scale=1.0)`.

    Attributes:
      inputs: d, numbers per example.
      outputs: numbers per target, with independent weights.
      input_law: law of the coordinates of z, a key of `INPUT_LAWS`.
      rotate: rotate the covariance by a new random rotation in every episode.
      nonzero: number of weights that are not zero, at random places; all by default.
      fixed_support: present one support batch again at every inner step.
      condition: λ_1/λ_d ≥ 1, the condition number of the inputs' covariance.
      noise: σ, the standard deviation of the label noise.
      input_scale: s, the root mean square of an input coordinate.
      weight_scale: a; by default 1/√(number of weights that are not zero), so that targets without noise have
        variance s².

    Raises:
      ValueError: a size is below 1, `nonzero` exceeds `inputs`, or the input law is unknown.
    """

    inputs: int = dataclasses.field(default=10, metadata={"static": True})
    outputs: int = dataclasses.field(default=1, metadata={"static": True})
    input_law: InputLaw = dataclasses.field(default="uniform", metadata={"static": True})
    rotate: bool = dataclasses.field(default=False, metadata={"static": True})
    nonzero: int | None = dataclasses.field(default=None, metadata={"static": True})
    fixed_support: bool = dataclasses.field(default=False, metadata={"static": True})
    condition: Float[Array, ""] | float = 1.0
    noise: Float[Array, ""] | float = 0.0
    input_scale: Float[Array, ""] | float = 1.0
    weight_scale: Float[Array, ""] | float | None = None

    name: ClassVar[str] = "linear_regression"
    kind: ClassVar[Kind] = "regression"

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise ValueError(f"inputs={self.inputs}, outputs={self.outputs}; expected at least 1 of each")
        if self.nonzero is not None and not 1 <= self.nonzero <= self.inputs:
            raise ValueError(f"nonzero={self.nonzero}; expected between 1 and inputs={self.inputs}")
        if self.input_law not in INPUT_LAWS:
            raise ValueError(f"input_law {self.input_law!r} is unknown; expected one of {', '.join(INPUT_LAWS)}")

    def draw_law(self, key: Key[Array, ""]) -> LinearLaw:
        """The episode's covariance and weights."""
        rotation_key, weight_key, place_key = jax.random.split(key, 3)
        mixing = jnp.diag(jnp.sqrt(covariance_spectrum(self.inputs, self.condition)))
        if self.rotate:
            mixing = jax.random.orthogonal(rotation_key, self.inputs) @ mixing
        scale = (self.nonzero or self.inputs) ** -0.5 if self.weight_scale is None else self.weight_scale
        weights = scale * jax.random.normal(weight_key, (self.inputs, self.outputs))
        if self.nonzero is not None:
            ranks = jax.random.permutation(place_key, jnp.indices(weights.shape)[0], axis=0, independent=True)
            weights *= ranks < self.nonzero
        return LinearLaw(self.input_scale * mixing, weights)

    def draw_examples(
        self, law: LinearLaw, key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count inputs"], Float[Array, "count outputs"]]:
        """Inputs x, and targets Wᵀx plus noise."""
        input_key, noise_key = jax.random.split(key)
        x = INPUT_LAWS[self.input_law](input_key, (count, self.inputs)) @ law.mixing.T
        return x, x @ law.weights + self.noise * jax.random.normal(noise_key, (count, self.outputs))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sine(SyntheticTask):
    """y = A sin(r u + φ) for inputs x = √3 u, u ~ U(−1, 1), with A ~ U(low, high) and φ ~ U(0, π) per episode.

    The sine regression of MAML (Finn et al., 2017) with its input range r = 5; inputs are scaled to variance 1, and
    amplitudes to order one.

    Attributes:
      fixed_support: present one support batch again at every inner step.
      low: smallest amplitude.
      high: largest amplitude.
      half_range: r, half the length of the stretch of the sine that inputs cover, in radians.
    """

    fixed_support: bool = dataclasses.field(default=False, metadata={"static": True})
    low: Float[Array, ""] | float = 0.1
    high: Float[Array, ""] | float = 2.0
    half_range: Float[Array, ""] | float = 5.0

    name: ClassVar[str] = "sine"
    kind: ClassVar[Kind] = "regression"
    inputs: ClassVar[int] = 1
    outputs: ClassVar[int] = 1

    def draw_law(self, key: Key[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The episode's amplitude and phase."""
        amplitude_key, phase_key = jax.random.split(key)
        amplitude = jax.random.uniform(amplitude_key, minval=self.low, maxval=self.high)
        return amplitude, jax.random.uniform(phase_key, maxval=math.pi)

    def draw_examples(
        self, law: tuple[Float[Array, ""], Float[Array, ""]], key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count 1"], Float[Array, "count 1"]]:
        """Inputs √3 u, and targets A sin(r u + φ)."""
        amplitude, phase = law
        u = jax.random.uniform(key, (count, 1), minval=-1.0)
        return math.sqrt(3) * u, amplitude * jnp.sin(self.half_range * u + phase)


def legendre(x: Float[Array, "*points"], degree: int) -> Float[Array, "*points degrees"]:
    """P̂_0(x) … P̂_degree(x), the Legendre polynomials orthonormal under U(−1, 1): P̂_k = √(2k+1) P_k.

    By the recurrence (k+1) P_{k+1} = (2k+1) x P_k − k P_{k−1} of Bonnet.
    """
    values = [jnp.ones_like(x), x]
    for k in range(1, degree):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return jnp.stack([math.sqrt(2 * k + 1) * value for k, value in enumerate(values[: degree + 1])], axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Polynomial(SyntheticTask):
    """y = Σ_k c_k P̂_k(u) for inputs x = √3 u, u ~ U(−1, 1), with c_k ~ N(0, 1/(degree + 1)) per episode.

    P̂_k are orthonormal Legendre polynomials (see `legendre`), so inputs and targets have variance 1.

    Attributes:
      degree: the largest k.
      fixed_support: present one support batch again at every inner step.

    Raises:
      ValueError: `degree` is negative.
    """

    degree: int = dataclasses.field(default=3, metadata={"static": True})
    fixed_support: bool = dataclasses.field(default=False, metadata={"static": True})

    name: ClassVar[str] = "polynomial"
    kind: ClassVar[Kind] = "regression"
    inputs: ClassVar[int] = 1
    outputs: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.degree < 0:
            raise ValueError(f"degree={self.degree}; expected 0 or more")

    def draw_law(self, key: Key[Array, ""]) -> Float[Array, "degrees"]:
        """The episode's coefficients."""
        return jax.random.normal(key, (self.degree + 1,)) / math.sqrt(self.degree + 1)

    def draw_examples(
        self, law: Float[Array, "degrees"], key: Key[Array, ""], count: int
    ) -> tuple[Float[Array, "count 1"], Float[Array, "count 1"]]:
        """Inputs √3 u, and targets Σ_k c_k P̂_k(u)."""
        u = jax.random.uniform(key, (count, 1), minval=-1.0)
        return math.sqrt(3) * u, legendre(u, self.degree) @ law
