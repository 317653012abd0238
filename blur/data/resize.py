"""Resizing images by exact area averaging."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def area_matrix(size: int, resized: int) -> Float[np.ndarray, "resized size"]:
    """Row i averages a line of `size` pixels over [i, i+1) · size/resized; each row sums to 1.

    Entry ij is the share of new pixel i that old pixel j covers. Any ratio will do, enlarging included.
    """
    edges = np.arange(resized + 1) * (size / resized)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) * (resized / size)


def resize(images: Float[Array, "*batch h w c"], resolution: int) -> Float[Array, "*batch resolution resolution c"]:
    """R x Cᵀ for each image and channel, with the area matrices R of the rows and C of the columns."""
    height, width = images.shape[-3:-1]
    if height == width == resolution:
        return images
    rows = jnp.asarray(area_matrix(height, resolution), images.dtype)
    columns = jnp.asarray(area_matrix(width, resolution), images.dtype)
    return jnp.einsum("rh,...hwc,sw->...rsc", rows, images, columns)
