"""How a function is mapped over a leading axis: at once where the device likes it, else one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax

Mapping = Literal["auto", "map", "vmap"]
"""`vmap` computes all at once; `map` runs a loop. `auto` is `map` on CPUs, where batched products are slow."""


def mapped(function: Callable[..., Any], mapping: Mapping, *, batch_size: int | None = None) -> Callable[..., Any]:
    """`function` over the leading axis of all its arguments; a loop takes `batch_size` of them at a time."""
    if mapping == "vmap" or (mapping == "auto" and jax.default_backend() != "cpu"):
        return jax.vmap(function)
    return lambda *arguments: jax.lax.map(lambda one: function(*one), arguments, batch_size=batch_size)
