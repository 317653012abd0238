"""Optimisers of genomes, from optax, by name."""

from __future__ import annotations

import dataclasses

import optax

from blur.rules.optax_mlp import OPTIMIZERS

GENOME_OPTIMISERS = tuple(sorted({*OPTIMIZERS, "adadelta", "adafactor", "adan", "radam"} - {"momentum", "sm3"}))
"""Optax optimisers that need only a gradient and a decaying rate. `sm3` takes no schedule; optax has no `momentum`."""


@dataclasses.dataclass(frozen=True)
class GenomeOptimiser:
    """An optax optimiser with a cosine decay of its rate to zero, on gradients clipped by their global norm.

    rate_i = ½ learning_rate (1 + cos(π i / meta_steps))

    Attributes:
      name: one of `GENOME_OPTIMISERS`.
      learning_rate: the first rate.
      meta_steps: the meta-step at which the rate reaches zero.
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
