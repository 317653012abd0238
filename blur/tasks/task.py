"""Where episodes come from: the interface of every task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Key

from blur.core.episode import Episode, Kind, Split
from blur.support.renamed import tell_new_name


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass registered as a pytree: its arrays are leaves (they stay on the device), the rest static."""

    @property
    def name(self) -> str:
        """How tables and the command line call it."""

    @property
    def kind(self) -> Kind:
        """Decides the default fitness and metric: cross-entropy and accuracy, or squared error."""

    @property
    def inputs(self) -> int:
        """Numbers per example."""

    @property
    def outputs(self) -> int:
        """Numbers per target: one per class (±1 one-hot), 1 for a binary decision (±1), or real values."""

    def sample(
        self,
        key: Key[Array, ""],
        *,
        steps: int,
        batch_size: int,
        split: Split = "train",
        query_size: int | None = None,
    ) -> Episode:
        """A random episode of `steps` support batches and a query of `query_size` (default `batch_size`) examples.

        Pure; runs inside `jit` and `vmap`. All sizes are static.
        """


def episode_drawer(draw: Callable[..., Episode]) -> Callable[..., Episode]:
    """A task's `sample` or `stream`; one that still calls its argument `steps` by the old name `unroll` gets it so."""
    names = inspect.signature(draw).parameters
    if "steps" in names or "unroll" not in names:
        return draw
    tell_new_name(f"the argument unroll of {draw.__qualname__}", "steps")
    return lambda key, *, steps, **options: draw(key, unroll=steps, **options)
