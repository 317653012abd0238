"""Synapses of a layer that carries one state, as one matrix, so that one product serves all their states.

Products of large matrices are faster than several of their parts, and nothing has to be copied once for each state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.network.mixing import Activity, mix_side_by_side
from blur.network.weights.base import Capability, Leaf, Pair, Transforms, Weights, saved


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FlatWeights(Weights):
    """Synapses `[c, I, O]` stored as `[I, c·O]`, state after state: x w^c for all c is x @ matrix.

    Attributes:
      matrix: w, `[I, c·O]`.
      states: c.
    """

    matrix: Leaf
    states: int = dataclasses.field(metadata={"static": True})

    refusals: ClassVar[Mapping[Capability, str]] = {
        "arrays": "needs synapses as arrays, but the input's are one matrix; use DenseSynapses(flat_input=False)"
    }

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, I, O): the shape of the dense array."""
        inputs, columns = self.matrix.shape
        return self.states, inputs, columns // self.states

    def connect(self, mixed: Float[Array, "states batch inputs"]) -> Float[Array, "states batch outputs"]:
        """See `Weights.connect`."""
        return jnp.einsum("cbi,cio->cbo", mixed, self.dense())

    def heard_by(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch states_outputs"]:
        """x w, `[batch, c·O]`."""
        return x @ self.matrix

    def send(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """See `Weights.send`; the single state of an activity is mixed where it arrives.

        Raises:
          ValueError: the activity carries several states.
        """
        return mixed_by_state(self.heard_by(single_state(activity)), transform, self.states)

    def propose(self, pair: Pair, transforms: Transforms) -> FlatWeights:
        """See `Weights.propose`: one product."""
        pre, post = single_state(pair.pre), post_side_by_side(pair, transforms)
        return FlatWeights(pre.T @ post, self.states)

    def dense(self) -> Float[Array, "states inputs outputs"]:
        """The synapses as an array."""
        return by_state(self.matrix, self.states)


def flat(weights: Float[Array, "states inputs outputs"]) -> FlatWeights:
    """Synapses `[c, I, O]` as one matrix."""
    states, inputs, _ = weights.shape
    return FlatWeights(jnp.moveaxis(weights, 0, 1).reshape(inputs, -1), states)


def single_state(activity: Activity) -> Float[Array, "batch inputs"]:
    """The one state of an activity.

    Raises:
      ValueError: the activity carries several states.
    """
    if len(activity) != 1:
        raise ValueError(f"the input carries {len(activity)} states, but its synapses are stored for one")
    return activity[0]


def mixed_by_state(
    rows: Float[Array, "batch states_outputs"], transform: Float[Array, "states states"], states: int
) -> Activity:
    """T[0, c] u_c, where x w = (u_1, …, u_c) arrives at the targets side by side."""
    arriving = by_state(rows, states)
    return transform[0][:, None, None] * saved(arriving)


def post_side_by_side(pair: Pair, transforms: Transforms) -> Float[Array, "batch states_outputs"]:
    """p, so that the Hebbian sum of a single state x is xᵀ p: step sizes and the examples' weights are in it."""
    return mix_side_by_side(pair.weighted, transforms.pre[0] * transforms.post)


def by_state(matrix: Float[Array, "rows states_columns"], states: int) -> Float[Array, "states rows columns"]:
    """`[R, c·C]` as `[c, R, C]`: copied state by state, as compilers merge a transposition into all that reads it."""
    rows, columns = matrix.shape
    layers = jnp.zeros((states, rows, columns // states), matrix.dtype)
    for state, layer in enumerate(jnp.split(matrix, states, axis=1)):
        layers = layers.at[state].set(layer)
    return layers
