"""Normalisation of pre-activations over the batch."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from blur.core.inner_loop import SAVED_NAME
from blur.core.losses import at_least_tiny

EPSILON = 1e-5
"""Added to the variance of a batch."""


class Statistics(NamedTuple):
    """Mean and (biased) variance of a layer's pre-activations over a batch; neurons may have states or not."""

    mean: Float[Array, "*states neurons"]
    variance: Float[Array, "*states neurons"]


Normalised: TypeAlias = tuple[Array, Statistics]
Residuals: TypeAlias = tuple[Array, Statistics, Array, Array]


def batch_statistics(z: Float[Array, "*states batch neurons"], weight: Float[Array, "batch"]) -> Statistics:
    """Weighted by example: mean = Σ_b w_b z_b / Σ w, variance = Σ_b w_b (z_b − mean)² / Σ w."""
    share = _share(weight)[:, None]
    mean = jnp.sum(share * z, axis=-2)
    return Statistics(mean, jnp.sum(share * (z - mean[..., None, :]) ** 2, axis=-2))


def _share(weight: Float[Array, "batch"]) -> Float[Array, "batch"]:
    return weight / at_least_tiny(jnp.sum(weight))


def normalise(
    z: Float[Array, "*states batch neurons"],
    statistics: Statistics,
    gain: Float[Array, "*#states #neurons"],
    shift: Float[Array, "*#states #neurons"],
) -> Float[Array, "*states batch neurons"]:
    """N(z) = gain (z − mean) / √(variance + ε) + shift."""
    scale = gain * jax.lax.rsqrt(statistics.variance + EPSILON)
    offset = shift - scale * statistics.mean
    return scale[..., None, :] * z + offset[..., None, :]


@jax.custom_vjp
def normalise_batch(
    z: Float[Array, "states batch neurons"],
    weight: Float[Array, "batch"],
    gain: Float[Array, "states 1"],
    shift: Float[Array, "states 1"],
) -> tuple[Float[Array, "states batch neurons"], Statistics]:
    """z normalised with its own statistics, and these statistics.

    The gradient in z takes one pass over z: with e = z − mean, share_b = w_b / Σ w, and slopes g of the result, ġ_m and
    ġ_v of the statistics, dz = scale g + share (ġ_m − scale Σ_b g + (2 ġ_v − gain (variance + ε)^(−3/2) Σ_b g e) e).
    The examples' weights have no gradient. Reverse mode only.
    """
    statistics = batch_statistics(z, weight)
    return normalise(z, statistics, gain, shift), statistics


def _normalise_batch_forward(z: Array, weight: Array, gain: Array, shift: Array) -> tuple[Normalised, Residuals]:
    statistics = Statistics(*(checkpoint_name(each, SAVED_NAME) for each in batch_statistics(z, weight)))
    return (normalise(z, statistics, gain, shift), statistics), (z, statistics, weight, gain)


def _normalise_batch_backward(residuals: Residuals, slopes: Normalised) -> tuple[Array, Array, Array, Array]:
    (z, statistics, weight, gain), (slope, of_statistics) = residuals, slopes
    inverse = jax.lax.rsqrt(statistics.variance + EPSILON)
    total, moment = jnp.sum(slope, axis=1), jnp.sum(slope * (z - statistics.mean[:, None]), axis=1)
    by_mean = of_statistics.mean - gain * inverse * total
    by_error = 2 * of_statistics.variance - gain * inverse**3 * moment
    share = _share(weight)[:, None]
    offset = by_mean - by_error * statistics.mean
    by_z = (gain * inverse)[:, None] * slope + share * (by_error[:, None] * z + offset[:, None])
    by_gain, by_shift = (jnp.sum(each, axis=1, keepdims=True) for each in (inverse * moment, total))
    return by_z, jnp.zeros_like(weight), by_gain, by_shift


normalise_batch.defvjp(_normalise_batch_forward, _normalise_batch_backward)
