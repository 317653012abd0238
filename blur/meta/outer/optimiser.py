"""Optimisers of genomes, from optax, by name."""

from __future__ import annotations

import dataclasses

import optax

from blur.rules.optax_mlp import OPTIMIZERS

OPTIMISERS = tuple(sorted({*OPTIMIZERS, "adadelta", "adafactor", "adan", "radam"} - {"momentum", "sm3"}))
"""Optax optimisers that need nothing but a gradient and a rate that decays: `sm3` takes none of those, `momentum` is no
name of optax."""


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """An optax optimiser with a cosine decay of its rate to zero, on gradients clipped by their global norm.

    rate_i = ½ learning_rate (1 + cos(π i / meta_steps))

    Attributes:
      name: one of `OPTIMISERS`.
      learning_rate: the first rate.
      meta_steps: when the rate reaches zero.
      clip: largest global norm of a gradient; infinity for no clipping.
    """

    name: str = "adam"
    learning_rate: float = 1e-2
    meta_steps: int = 2000
    clip: float = 1.0

    def build(self) -> optax.GradientTransformation:
        """The optax transformation."""
        rate = optax.cosine_decay_schedule(self.learning_rate, self.meta_steps)
        return optax.chain(optax.clip_by_global_norm(self.clip), getattr(optax, self.name)(rate))
