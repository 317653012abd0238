"""The part of a run's folder that a resumed run reads: config.json, metrics.jsonl and checkpoints/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from blur.meta.run.checkpoint import Checkpoints
from blur.meta.run.metrics import CHECKPOINTS, CONFIG, METRICS, MetricsLine, from_text, to_text
from blur.parallel.hosts import is_first_process, on_all_processes
from blur.support.atomic import write_file
from blur.support.errors import short

Description = dict[str, Any]
"""The resolved configuration of a run as JSON values; config.json holds it."""


class RunFolder:
    """The configuration, metrics and checkpoints of one run.

    All processes see the folder. Process 0 writes; the others add their parts to checkpoints.

    Args:
      path: the folder.
      description: the resolved configuration as JSON values.
      resume: continue the run in the folder.
      current: converts a stored description to the names of this version.

    Raises:
      ValueError: the folder holds a run, or a part of one, and `resume` is false; or the run has another configuration.
      FileNotFoundError: `resume` is true, but there is no run; or another process does not see the folder.
    """

    def __init__(
        self,
        path: str | Path,
        description: Description,
        *,
        resume: bool,
        current: Callable[[Description], Description] = lambda stored: stored,
    ):
        self.path, self._writes, self._current = Path(path), is_first_process(), current
        on_all_processes(lambda: self._open(description, resume) if self._writes else None)
        on_all_processes(lambda: None if self._writes else self._follow(description))
        self._checkpoints = Checkpoints(self.path / CHECKPOINTS)
        self._written = 0

    def restore(self, template: PyTree) -> tuple[PyTree, list[MetricsLine]]:
        """The state of the last checkpoint and the metrics up to it; without a checkpoint, the template and none."""
        step = self._checkpoints.latest()
        state = template if step is None else self._checkpoints.restore(step, template)
        lines = [line for line in self._read_metrics() if line["meta_step"] <= (step or 0)]
        if self._writes:
            write_file(self.path / METRICS, to_text(lines))
        self._written = len(lines)
        return state, lines

    def append(self, lines: list[MetricsLine]) -> None:
        """Writes the lines that are new since the last call."""
        if not self._writes:
            return
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(to_text(lines[self._written :]))
        self._written = len(lines)

    def save(self, step: int, state: PyTree) -> None:
        """Writes a checkpoint."""
        self._checkpoints.save(step, state)

    def close(self) -> None:
        """Closes the checkpoints."""
        self._checkpoints.close()

    def _open(self, description: Description, resume: bool) -> None:
        """Starts a run, or checks that the folder holds this run."""
        parts = parts_of_run(self.path)
        if CONFIG in parts and not resume:
            raise ValueError(f"{self.path} holds a run already; resume it (--resume) or choose another folder")
        if parts and not resume:
            raise ValueError(f"{self.path} holds {parts[0]} of another run; remove it or choose another folder")
        if resume and CONFIG not in parts:
            raise FileNotFoundError(f"{self.path} holds no run to resume: there is no config.json")
        if resume:
            self._check(description)
        else:
            write_file(self.path / CONFIG, json.dumps(description, indent=2) + "\n")

    def _follow(self, description: Description) -> None:
        """Checks that this process sees the run that process 0 has opened."""
        if not (self.path / CONFIG).exists():
            raise FileNotFoundError(
                f"process {jax.process_index()} does not see the config.json that process 0 wrote in {self.path}; "
                "choose a folder on a file system that all hosts share"
            )
        self._check(description)

    def _check(self, description: Description) -> None:
        stored = self._current(json.loads((self.path / CONFIG).read_text(encoding="utf-8")))
        for name, (there, here) in _differences(stored, json.loads(json.dumps(description))).items():
            raise ValueError(
                f"{self.path} holds a run with {name} = {short(there)}, not {short(here)}; "
                "resume it with the same configuration or choose another folder"
            )

    def _read_metrics(self) -> list[MetricsLine]:
        path = self.path / METRICS
        return from_text(path.read_text(encoding="utf-8")) if path.exists() else []


def parts_of_run(path: Path) -> list[str]:
    """The names of the files in a folder that a run would continue from."""
    return [name for name in (CONFIG, METRICS, CHECKPOINTS) if (path / name).exists()]


def _differences(first: Any, second: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """The differences of two JSON values, by dotted name."""
    if isinstance(first, dict) and isinstance(second, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in {**first, **second}:
            found |= _differences(first.get(key), second.get(key), f"{name}.{key}" if name else key)
        return found
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        found = {}
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            found |= _differences(a, b, f"{name}[{i}]")
        return found
    return {} if first == second else {name: (first, second)}
