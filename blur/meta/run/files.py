"""All files of a run, written where a folder is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Any

import jax.numpy as jnp

from blur.files.config import Known
from blur.files.genomes import save_genome
from blur.meta.describe import describe_run, fitness_label, with_current_names
from blur.meta.run.best import Best
from blur.meta.run.folder import RunFolder
from blur.meta.run.metrics import MetricsLine, history, plot_learning_curve
from blur.meta.run.run import Run
from blur.meta.run.state import RunState
from blur.parallel.devices import replicate
from blur.parallel.hosts import is_first_process
from blur.rules import RULES


class RunFiles:
    """The files of a run: those of `RunFolder`, genome.safetensors (the best genome so far) and learning_curve.png.

    Args:
      run: the run.
      out: the folder; None writes nothing.
      resume: continue the run in the folder.
      known: classes and functions of the rules that are not in `blur.rules.RULES`, by name.
      command: the command line that the genome file names as its origin.

    Raises:
      ValueError, FileNotFoundError: see `RunFolder`.
      TypeError: a part of a rule is not in the table of known names.
    """

    def __init__(self, run: Run, out: str | Path | None, *, resume: bool, known: Known | None, command: str | None):
        self._run, self._known, self._resume = run, known, resume
        self._origin = {} if command is None else {"command": command}
        self._folder = None
        if out is not None:
            names = {**RULES, **(known or {})}
            self._description = describe_run(run.settings, run.config, run.init, names)
            self._folder = RunFolder(
                out, self._description, resume=resume, current=lambda stored: with_current_names(stored, names)
            )

    @property
    def path(self) -> Path | None:
        """The folder."""
        return None if self._folder is None else self._folder.path

    def __enter__(self) -> RunFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.close()

    def restore(self, start: RunState) -> tuple[RunState, list[MetricsLine]]:
        """The state and the metrics to continue from: those in the folder, or `start` and none."""
        if self._folder is None or not self._resume:
            return start, []
        state, lines = self._folder.restore(start)
        return dataclasses.replace(state, states=replicate(state.states, self._run.mesh)), lines

    def save(self, state: RunState, lines: list[MetricsLine]) -> None:
        """Writes metrics and a checkpoint, and the best genome if there was a validation."""
        if self._folder is None:
            return
        self._folder.append(lines)
        self._folder.save(int(state.meta_step), state)
        if is_first_process() and jnp.isfinite(state.best.fitness):
            self._save_genome(self._folder.path / "genome.safetensors", state.best)

    def finish(self, state: RunState, lines: list[MetricsLine]) -> None:
        """Writes the files of a finished run."""
        self.save(state, lines)
        if self._folder is not None and is_first_process():
            curve = self._folder.path / "learning_curve.png"
            plot_learning_curve(curve, history(lines), fitness_label(self._run.config))

    def _save_genome(self, path: Path, best: Best) -> None:
        measured: dict[str, Any] = {"meta_step": int(best.meta_step), "validation_fitness": float(best.fitness)}
        if jnp.isfinite(best.accuracy):
            measured["validation_accuracy"] = float(best.accuracy)
        save_genome(
            path,
            self._run.settings[0].rule,
            best.genome,
            known=self._known,
            meta_training={**self._description["meta_training"], "init": self._description["init"]},
            data={"settings": self._description["settings"]},
            metrics=measured,
            **self._origin,
        )
