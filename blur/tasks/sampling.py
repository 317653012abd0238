"""Drawing examples for episodes on the device: which ones, in which order, from which key."""

from __future__ import annotations

import math
from typing import get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from blur.core.episode import Split

SPLITS: tuple[str, ...] = get_args(Split)

_ROUNDS = 4


def split_key(key: Key[Array, ""], split: Split) -> Key[Array, ""]:
    """A key of the split's own: the same episode key gives unrelated draws in different splits.

    Raises:
      ValueError: `split` is not one of `train`, `validation` and `test`.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; expected one of {', '.join(SPLITS)}")
    return jax.random.fold_in(key, SPLITS.index(split))


def draw_indices(key: Key[Array, ""], pool: int, count: int) -> Int[Array, "count"]:
    """`count` indices in random order from 0 … pool − 1, int32.

    Without replacement while the pool lasts; a longer draw goes through the pool again, each time in a new order, as
    epochs do. Costs O(count + √pool), so it never touches the whole pool.
    """
    epochs = -(-count // pool)
    indices = jnp.arange(min(count, pool), dtype=jnp.int32)
    draws = jax.vmap(lambda k: _permute(k, pool, indices))(jax.random.split(key, epochs))
    return draws.reshape(-1)[:count]


def draw_disjoint(
    key: Key[Array, ""], pool: int, query: int, support: int
) -> tuple[Int[Array, "query"], Int[Array, "support"]]:
    """Divides 0 … pool − 1 at random into two parts; `query` indices, all of one part, and `support` of the other.

    The query's are distinct, the support's are drawn as by `draw_indices`. int32; O(query + support + √pool).
    """
    division_key, support_key = jax.random.split(key)
    places = query + draw_indices(support_key, pool - query, support)
    return _permute(division_key, pool, jnp.arange(query, dtype=jnp.int32)), _permute(division_key, pool, places)


def _permute(key: Key[Array, ""], pool: int, indices: Int[Array, "count"]) -> Int[Array, "count"]:
    """Applies a pseudo-random permutation of 0 … pool − 1 to indices.

    A Feistel network with random round functions on Z_a × Z_b, a·b ≥ pool, a ≈ b ≈ √pool (Luby & Rackoff, 1988).
    Values outside the pool are sent through again until they fall inside, which keeps it a permutation (cycle walking:
    Black & Rogaway, 2002).
    """
    a = math.isqrt(pool - 1) + 1
    b = -(-pool // a)
    bits = jax.random.bits(key, (2, _ROUNDS, max(a, b)), jnp.uint32)
    left_shifts, right_shifts = (bits[0] % a).astype(jnp.int32), (bits[1] % b).astype(jnp.int32)

    def once(index: Array) -> Array:
        left, right = index // b, index % b
        for left_shift, right_shift in zip(left_shifts, right_shifts, strict=True):
            left = (left + left_shift[right]) % a
            right = (right + right_shift[left]) % b
        return left * b + right

    def walk(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        index, arrived = carry
        index = jnp.where(arrived, index, once(index))
        return index, index < pool

    return jax.lax.while_loop(lambda carry: ~jnp.all(carry[1]), walk, (indices, jnp.zeros(indices.shape, bool)))[0]
