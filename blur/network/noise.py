"""Normal noise from which synapses start. Every episode draws it anew, so it is made to be cheap."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, UInt32


def normal_noise(key: Key[Array, ""], count: int, dtype: DTypeLike = jnp.float32) -> Float[Array, "count"]:
    """N(0, 1), √2 erf⁻¹(u) of numbers u in (−1, 1) that have 23 bits: up to 5.3 standard deviations.

    The bits of number i are h(h(i ⊕ k₁) ⊕ k₂), where k₁ and k₂ are drawn from the key and h is a bijective hash of 32
    bits, which costs less than threefry's. (Uniform noise is cheaper, but more random genomes fail to learn from it.)
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, count)
    bits = hash_bits(hash_bits(counter ^ first) ^ second) >> 9
    u = (jax.lax.bitcast_convert_type(bits, jnp.int32).astype(dtype) + 0.5) * 2.0**-22 - 1
    return math.sqrt(2) * jax.lax.erf_inv(u)


def hash_bits(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Two rounds of xor-shift and multiplication: `lowbias32` of C. Wellons' hash prospector (2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
