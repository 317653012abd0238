"""Layers that share or lack synapses: any bilinear map of an activity and an array of weights."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.network.weights.base import Capability, Leaf, Weights


class Connection(abc.ABC):
    """How a layer is connected to the layer below: a description, which `DenseSynapses.hidden` may hold.

    A subclass is a frozen dataclass, such as `Convolution`. It describes one state; all states are connected alike.
    """

    @property
    @abc.abstractmethod
    def sources(self) -> int:
        """Neurons of the layer below, I."""

    @property
    @abc.abstractmethod
    def targets(self) -> int:
        """Neurons of the layer, O."""

    @property
    @abc.abstractmethod
    def weights_shape(self) -> tuple[int, ...]:
        """The shape of one state's weights; the product of all axes but the last is `fan_in`."""

    @property
    def fan_in(self) -> int:
        """Sources that each target neuron hears: all axes of the weights but the last."""
        return math.prod(self.weights_shape[:-1])

    @abc.abstractmethod
    def connect(self, weights: Array, activity: Float[Array, "batch sources"]) -> Float[Array, "batch targets"]:
        """What arrives at the targets: linear in the weights and in the activity, and nothing else."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Connected(Weights):
    """The synapses of a `Connection`.

    Attributes:
      array: `[c, *connection.weights_shape]`.
      connection: how they connect two layers.
    """

    array: Leaf
    connection: Connection = dataclasses.field(metadata={"static": True})

    refusals: ClassVar[Mapping[Capability, str]] = {
        "arrays": "needs one synapse for each pair of neurons; give DenseSynapses.hidden numbers only"
    }

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, I, O): of the dense synapses that would connect the layers alike."""
        return self.array.shape[0], self.connection.sources, self.connection.targets

    @property
    def fan_in(self) -> int:
        """See `Connection.fan_in`."""
        return self.connection.fan_in

    def connect(self, mixed: Float[Array, "states batch sources"]) -> Float[Array, "states batch targets"]:
        """See `Weights.connect`."""
        arrays = jnp.broadcast_to(self.array, (len(mixed), *self.array.shape[1:]))
        return jax.vmap(self.connection.connect)(arrays, mixed)
