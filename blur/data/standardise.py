"""Standardising numbers: their mean becomes 0, their standard deviation 1."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Standardisation:
    """x ↦ (x − mean) / std, for NumPy and JAX arrays `[…, features]`.

    Attributes:
      mean: of each feature, or one for all.
      std: likewise; positive.
    """

    mean: Float[Any, "*features"]
    std: Float[Any, "*features"]

    def apply(self, values: Any) -> Any:
        """(values − mean) / std."""
        return (values - self.mean) / self.std

    def undo(self, values: Any) -> Any:
        """values · std + mean, the inverse of `apply`."""
        return values * self.std + self.mean


def measure(values: np.ndarray, axis: int | None = 0) -> Standardisation:
    """The statistics of an array over one axis, or over all its numbers (None), computed in float64."""
    mean = np.mean(values, axis=axis, dtype=np.float64)
    return Standardisation(mean, divisor(mean, np.std(values, axis=axis, dtype=np.float64)))


def divisor(mean: ArrayLike, std: ArrayLike) -> np.ndarray:
    """The divisor of a standardisation: `std`, or 1 where values are constant, so that they become 0.

    Rounding alone gives a constant a deviation of the order of its own precision; so std ≤ ε |mean|, with float32's ε,
    counts as constant.
    """
    return np.where(np.asarray(std) > np.finfo(np.float32).eps * np.abs(mean), std, 1.0)
