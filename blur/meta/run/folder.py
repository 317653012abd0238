"""A run's folder: config.json, metrics.jsonl, checkpoints/, genome.safetensors and learning_curve.png."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from blur.meta.run.checkpoint import Checkpoints
from blur.meta.run.metrics import CHECKPOINTS, CONFIG, METRICS, Record, _line, _restore_nan
from blur.parallel.hosts import is_first_process, together
from blur.support.atomic import write_file
from blur.support.errors import short


class RunFolder:
    """The files of one run, or of its continuation.

    Of many processes, which all see the folder, the first one writes; the others put their parts into checkpoints.

    Args:
      path: the folder.
      config: JSON values; the resolved configuration.
      resume: continue the run that is there.

    Raises:
      ValueError: there is a run already, or a part of one, and `resume` is false; or its configuration is another one.
      FileNotFoundError: `resume` is true, but there is no run; or another process does not see the folder.
    """

    def __init__(self, path: str | Path, config: Record, *, resume: bool):
        self.path, self._writes = Path(path), is_first_process()
        together(lambda: self._open(config, resume) if self._writes else None)
        together(lambda: None if self._writes else self._follow(config))
        self._checkpoints = Checkpoints(self.path / CHECKPOINTS)
        self._written = 0

    def restore(self, template: PyTree) -> tuple[PyTree, list[Record]]:
        """The last checkpoint's state and the records up to it; the template and none if there is no checkpoint."""
        step = self._checkpoints.latest()
        state = template if step is None else self._checkpoints.restore(step, template)
        records = [record for record in self._read_metrics() if record["meta_step"] <= (step or 0)]
        if self._writes:
            write_file(self.path / METRICS, "".join(map(_line, records)))
        self._written = len(records)
        return state, records

    def append(self, records: list[Record]) -> None:
        """Writes the records that are new since the last call."""
        if not self._writes:
            return
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.writelines(map(_line, records[self._written :]))
        self._written = len(records)

    def save(self, step: int, state: PyTree) -> None:
        """Writes a checkpoint."""
        self._checkpoints.save(step, state)

    def close(self) -> None:
        """Frees what the checkpoints hold."""
        self._checkpoints.close()

    def _open(self, config: Record, resume: bool) -> None:
        """Starts a run, or sees that there is this one."""
        parts = parts_of_run(self.path)
        if CONFIG in parts and not resume:
            raise ValueError(f"{self.path} holds a run already; resume it (--resume) or choose another folder")
        if parts and not resume:
            raise ValueError(f"{self.path} holds {parts[0]} of another run; remove it or choose another folder")
        if resume and CONFIG not in parts:
            raise FileNotFoundError(f"{self.path} holds no run to resume: there is no config.json")
        if resume:
            self._check_config(config)
        else:
            write_file(self.path / CONFIG, json.dumps(config, indent=2) + "\n")

    def _follow(self, config: Record) -> None:
        """Sees that the first process has opened this run here."""
        if not (self.path / CONFIG).exists():
            raise FileNotFoundError(
                f"process {jax.process_index()} does not see the config.json that process 0 wrote in {self.path}; "
                "choose a folder on a file system that all hosts share"
            )
        self._check_config(config)

    def _check_config(self, config: Record) -> None:
        stored = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        for name, (there, here) in _differences(stored, json.loads(json.dumps(config))).items():
            raise ValueError(
                f"{self.path} holds a run with {name} = {short(there)}, not {short(here)}; "
                "resume it with the same configuration or choose another folder"
            )

    def _read_metrics(self) -> list[Record]:
        path = self.path / METRICS
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []  # the last may be unfinished
        return [{name: _restore_nan(value) for name, value in json.loads(line).items()} for line in lines]


def parts_of_run(path: Path) -> list[str]:
    """What a folder holds that a run goes on from."""
    return [name for name in (CONFIG, METRICS, CHECKPOINTS) if (path / name).exists()]


def _differences(first: Any, second: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two JSON values differ, by dotted name."""
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
