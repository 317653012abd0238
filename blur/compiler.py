"""Options of XLA's compiler that are worth setting."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

FORWARD_ONLY = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""Without the YNNPACK kernels of CPUs: they multiply the many small matrices of a forward pass on one thread, and
several devices wait for one another in them. Gradients are faster with them."""


class ForwardOnly:
    """`jax.jit` of a program without a gradient; importing it touches no device, the first call does.

    Args:
      function: what is compiled.
      **options: those of `jax.jit`.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        self._function, self._options = function, options
        functools.update_wrapper(self, function)

    @functools.cached_property
    def jitted(self) -> Any:
        """What `jax.jit` returns."""
        return jax.jit(self._function, compiler_options=_known(FORWARD_ONLY), **self._options)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Runs it."""
        return self.jitted(*arguments, **named)


def _known(options: dict[str, str]) -> dict[str, str]:
    """The options, or none on accelerators and where this XLA does not know them."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except (ValueError, RuntimeError):
        return {}
    return options
