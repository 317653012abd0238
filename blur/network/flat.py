"""Synapses of a layer that carries one state, as one matrix: all their states cross in a single product."""

from __future__ import annotations

import dataclasses

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

    matrix: Float[Array, "inputs states_outputs"]
    states: int = dataclasses.field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the synapses it stands for, `(c, I, O)`."""
        inputs, columns = self.matrix.shape
        return self.states, inputs, columns // self.states

    def dense(self) -> Float[Array, "states inputs outputs"]:
        """w itself."""
        return by_state(self.matrix, self.states)


def side_by_side(layer: Float[Array, "states rows columns"]) -> Float[Array, "rows states_columns"]:
    """`[c, R, C]` as `[R, c·C]`."""
    return jnp.moveaxis(layer, 0, 1).reshape(layer.shape[1], -1)


def by_state(matrix: Float[Array, "rows states_columns"], states: int) -> Float[Array, "states rows columns"]:
    """`[R, c·C]` as `[c, R, C]`."""
    return jnp.moveaxis(matrix.reshape(len(matrix), states, -1), 1, 0)
