"""How a run is doing, on stderr: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 10.0


class ProgressMeter:
    """Shows fitness and accuracy of the best candidate, diverged episodes, meta-steps per second and the time left."""

    def __init__(self, meta_steps: int, done: int, *, show: bool):
        self._console = Console(stderr=True)
        self._total, self._first, self._start = meta_steps, done, time.monotonic()
        self._logged = self._start
        self._show, self._diverged = show, 0
        columns = (
            TextColumn("meta-training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not (show and self._console.is_terminal))
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
        now = time.monotonic()
        self._diverged += diverged
        status = self._status(done, now, fitness, accuracy)
        self._bar.update(self._task, completed=done, status=status)
        if self._show and not self._console.is_terminal and (now - self._logged > LOG_SECONDS or done == self._total):
            self._logged = now
            self._console.print(f"meta-step {done}/{self._total}: {status}", highlight=False, soft_wrap=True)

    def _status(self, done: int, now: float, fitness: np.ndarray, accuracy: np.ndarray) -> str:
        means = fitness.mean(axis=0)
        best = int(np.argmin(means))
        rate = (done - self._first) / max(now - self._start, 1e-9)
        parts = [f"fitness {means[best]:.4f}"]
        if np.isfinite(share := accuracy[:, best].mean()):
            parts.append(f"accuracy {share:.3f}")
        return ", ".join([*parts, f"diverged {self._diverged}", f"{rate:.1f} meta-steps/s"])
