"""The length of chunks and the time of checkpoints; all processes use those of process 0."""

from __future__ import annotations

import time

import numpy as np

from blur.meta.schedule import next_length
from blur.parallel.hosts import from_first_process

CHECKPOINT_SECONDS = 60.0
"""Wall time between two checkpoints. The end of a run and an interruption always write one."""


class Pace:
    """Adapts the length of chunks to the measured time of a meta-step.

    Attributes:
      length: the number of meta-steps of the next chunk; 1 at first.
    """

    def __init__(self) -> None:
        self.length = 1
        self._compiled: set[int] = set()
        self._saved = time.monotonic()

    def measure(self, drawn: np.ndarray, seconds: float) -> None:
        """Takes account of a chunk that played the settings `drawn`; a chunk that compiled a program does not count."""
        settings = set(drawn.tolist())
        if settings <= self._compiled:
            self.length = next_length(self.length, len(drawn), seconds)
        self._compiled |= settings

    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint. Every process has to call this after a chunk."""
        due = time.monotonic() - self._saved > CHECKPOINT_SECONDS
        self.length, due_there = from_first_process((self.length, due))
        return bool(due_there)

    def saved(self) -> None:
        """Counts the time to the next checkpoint from now."""
        self._saved = time.monotonic()
