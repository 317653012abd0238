"""Synapses of a layer that carries one state, as one matrix, so that one product serves all their states.

Products of large matrices are faster than several of their parts, and nothing has to be copied once for each state.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FlatWeights:
    """Synapses `[c, I, O]` stored as `[I, c·O]`, state after state: x w^c for all c is x @ matrix.

    Attributes:
      matrix: w, `[I, c·O]`.
      states: c.
    """

    matrix: Any
    states: int = dataclasses.field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the synapses it stands for, `(c, I, O)`."""
        inputs, columns = self.matrix.shape
        return self.states, inputs, columns // self.states

    def heard_by(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch states_outputs"]:
        """x w, `[batch, c·O]`."""
        return x @ self.matrix

    def dense(self) -> Float[Array, "states inputs outputs"]:
        """w itself."""
        return by_state(self.matrix, self.states)


def flat(weights: Float[Array, "states inputs outputs"]) -> FlatWeights:
    """Synapses `[c, I, O]` as one matrix."""
    states, inputs, _ = weights.shape
    return FlatWeights(jnp.moveaxis(weights, 0, 1).reshape(inputs, -1), states)


def is_flat(weights: Any) -> bool:
    """Whether these are synapses stored as one matrix."""
    return isinstance(weights, FlatWeights)


def by_state(matrix: Float[Array, "rows states_columns"], states: int) -> Float[Array, "states rows columns"]:
    """`[R, c·C]` as `[c, R, C]`: copied state by state, as compilers merge a transposition into all that reads it."""
    rows, columns = matrix.shape
    layers = jnp.zeros((states, rows, columns // states), matrix.dtype)
    for state, layer in enumerate(jnp.split(matrix, states, axis=1)):
        layers = layers.at[state].set(layer)
    return layers
