"""A convolutional layer: whoever describes one bilinear map gets sending back and Hebbian changes derived."""

from __future__ import annotations

import dataclasses
import math

import jax
from jaxtyping import Array, Float

from blur.network.weights.connection import Connection


@dataclasses.dataclass(frozen=True)
class Convolution(Connection):
    """Synapses shared by all places of an image: a square kernel slides over it, with zeros around the image.

    A neuron of the layer is a place and a channel; its bias is its own, not shared by the places of a channel.

    Attributes:
      channels: of the layer; it has height · width · channels neurons.
      size: side of the kernel.
      image: (height, width, channels) of the layer below, which are flattened in this order.

    Raises:
      ValueError: a size below 1.
    """

    channels: int
    size: int
    image: tuple[int, int, int]

    def __post_init__(self) -> None:
        if min(self.channels, self.size, *self.image) < 1:
            raise ValueError(f"{self} has a size below 1; expected channels, size and image of at least 1")

    @property
    def sources(self) -> int:
        """Neurons below."""
        return math.prod(self.image)

    @property
    def targets(self) -> int:
        """Neurons of the layer: height · width · channels."""
        return math.prod(self.image[:2]) * self.channels

    @property
    def weights_shape(self) -> tuple[int, ...]:
        """(size, size, channels below, channels)."""
        return self.size, self.size, self.image[2], self.channels

    def connect(self, weights: Array, activity: Float[Array, "batch sources"]) -> Float[Array, "batch targets"]:
        """The image of every channel: u_xyo = Σ_{δ, ε, i} w_δεio a_(x+δ)(y+ε)i."""
        images = activity.reshape(-1, *self.image)
        axes = ("NHWC", "HWIO", "NHWC")
        maps = jax.lax.conv_general_dilated(images, weights, (1, 1), "SAME", dimension_numbers=axes)
        return maps.reshape(len(activity), self.targets)
