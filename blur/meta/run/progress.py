"""A progress bar on stderr, if stderr is a terminal."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressMeter:
    """Shows fitness and accuracy of the best candidate, diverged episodes, meta-steps per second and the time left."""

    def __init__(self, meta_steps: int, done: int, *, show: bool):
        console = Console(stderr=True)
        self._first, self._start, self._diverged = done, time.monotonic(), 0
        columns = (
            TextColumn("meta-training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not (show and console.is_terminal))
        self._task = self._bar.add_task("meta-training", total=meta_steps, completed=done, status="compiling")

    def __enter__(self) -> ProgressMeter:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: int, fitness: np.ndarray, accuracy: np.ndarray, diverged: int) -> None:
        """After a chunk: `fitness` and `accuracy` are its `[meta-steps, candidates]`."""
        self._diverged += diverged
        status = self._status(done, fitness, accuracy)
        self._bar.update(self._task, completed=done, status=status)

    def _status(self, done: int, fitness: np.ndarray, accuracy: np.ndarray) -> str:
        means = fitness.mean(axis=0)
        best = int(np.argmin(means))
        rate = (done - self._first) / max(time.monotonic() - self._start, 1e-9)
        parts = [f"fitness {means[best]:.4f}"]
        if np.isfinite(share := accuracy[:, best].mean()):
            parts.append(f"accuracy {share:.3f}")
        return ", ".join([*parts, f"diverged {self._diverged}", f"{rate:.1f} meta-steps/s"])
