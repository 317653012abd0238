"""Noise that synapses start from: cheap, because it is drawn anew for every episode."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32


def uniform_noise(key: Key[Array, ""], shape: tuple[int, ...], dtype=jnp.float32) -> Float[Array, "..."]:
    """U(−√3, √3): mean 0 and variance 1, in 2³² equal steps before they are rounded to the dtype.

    Number i is h(h(i ⊕ k₁) ⊕ k₂), where k₁ and k₂ are drawn from the key and h is a bijective hash of 32 bits: a third
    of the time of threefry's bits, a tenth of that of its normal numbers.
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    bits = hash_bits(hash_bits(counter ^ first) ^ second)
    step = math.sqrt(3) / 2**31
    return (jax.lax.bitcast_convert_type(bits, jnp.int32).astype(dtype) + 0.5) * step


def hash_bits(x: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Two rounds of xor-shift and multiplication: `lowbias32` of C. Wellons' hash prospector (2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
