"""Optimisers of genomes, from optax, by name."""

from __future__ import annotations

import dataclasses

import optax

OPTIMISERS = (
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "lamb",
    "lars",
    "lion",
    "nadam",
    "nadamw",
    "novograd",
    "radam",
    "rmsprop",
    "sgd",
    "sign_sgd",
    "yogi",
)
"""The optax optimisers that need nothing but a learning rate and a gradient."""


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
