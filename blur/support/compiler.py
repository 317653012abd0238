"""Options of XLA's compiler."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax

Options = dict[str, str]

ALWAYS: Options = {"xla_cpu_prefer_vector_width": "512"}
"""Vectors as wide as registers may be: LLVM's 256 bits are a precaution for processors that slowed down with more."""

FORWARD_ONLY: Options = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""Without the YNNPACK kernels of CPUs: they multiply the many small matrices of a forward pass on one thread, and
several devices wait for one another in them. Gradients are faster with them."""


class Program:
    """`jax.jit` with compiler options for gradients or for forward passes; a device is touched at the first call.

    Args:
      function: what is compiled.
      gradient: whether it computes one.
      **options: those of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], *, gradient: bool, **options: Any):
        self._function, self._gradient, self._options = function, gradient, options
        functools.update_wrapper(self, function)

    @functools.cached_property
    def jitted(self) -> Any:
        """The compiled function."""
        return jax.jit(self._function, compiler_options=compiler_options(self._gradient), **self._options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Runs it."""
        return self.jitted(*arguments, **named)


def compiler_options(gradient: bool) -> Options:
    """The options that this XLA knows and that XLA_FLAGS does not set; none on accelerators."""
    if jax.default_backend() != "cpu":
        return {}
    wanted = ALWAYS if gradient else ALWAYS | FORWARD_ONLY
    flags = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in wanted.items() if name not in flags and _knows(name, value)}


@functools.cache
def _knows(name: str, value: str) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except (ValueError, RuntimeError):
        return False
    return True
