"""Mapping a function over a leading axis: all at once on accelerators, in a loop on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax

Mapping = Literal["auto", "map", "vmap"]
"""`vmap` computes all at once, `map` in a loop. `auto` is `map` on CPUs, where batched products are slow."""


def at_once(mapping: Mapping) -> bool:
    """Whether everything is computed at once on this device."""
    return mapping == "vmap" or (mapping == "auto" and jax.default_backend() != "cpu")


def mapped(function: Callable[..., Any], mapping: Mapping, *, batch_size: int | None = None) -> Callable[..., Any]:
    """`function` over the leading axis of all its arguments; a loop takes `batch_size` of them at a time."""
    if not at_once(mapping):
        batch_size = None if batch_size == 1 else batch_size  # else a batch of one would be vmapped
        return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments, batch_size=batch_size)

    return lambda *arguments: _vmapped(function, jax.tree.leaves(arguments)[0].shape[0])(*arguments)


def _vmapped(function: Callable[..., Any], length: int) -> Callable[..., Any]:
    """`jax.vmap(function)`; over an axis of length 1 the function itself, since a batched product of one is slow."""
    if length > 1:
        return jax.vmap(function)
    return lambda *arguments: jax.tree.map(
        lambda leaf: leaf[None], function(*jax.tree.map(lambda leaf: leaf[0], arguments))
    )
