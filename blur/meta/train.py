"""Meta-training: from random genomes to the best one found."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from blur.core.genome import check_same_genome, genome_shapes, tree_digest
from blur.core.rule import Genome
from blur.files.config import Known
from blur.meta.chunk import compiled_chunk
from blur.meta.config import MetaTraining, make_outer, run_size
from blur.meta.describe import _describe
from blur.meta.objective import Objective
from blur.meta.outer.base import Outer
from blur.meta.run.best import Kept, contenders, keep_best, validate_mixture
from blur.meta.run.folder import RunFolder
from blur.meta.run.interruption import Interruption
from blur.meta.run.metrics import Record, _records, history, plot_learning_curve
from blur.meta.run.progress import ProgressMeter
from blur.meta.run.state import RunKeys, RunState, initial_run_state, run_keys
from blur.meta.schedule import draw_settings, next_length, same_setting
from blur.meta.setting import Setting, check_settings
from blur.parallel.devices import everywhere, training_mesh
from blur.parallel.hosts import from_first_process, is_first_process, on_any_process

DEFAULTS = MetaTraining()


CHECKPOINT_SECONDS = 60.0
"""Wall time between two checkpoints; the end and an interruption always make one."""


@dataclasses.dataclass(frozen=True)
class MetaTrainResult:
    """What a run found.

    Attributes:
      genome: the best genome on the validation episodes.
      fitness: its fitness there.
      accuracy: its accuracy there; NaN in regression.
      candidate: which candidate it came from.
      meta_step: after how many meta-steps it was found.
      history: what happened on the way; see `blur.meta.run.metrics.history`.
    """

    genome: Genome
    fitness: float
    accuracy: float
    candidate: int
    meta_step: int
    history: dict[str, np.ndarray]


def meta_train(
    settings: Setting | Sequence[Setting],
    config: MetaTraining = DEFAULTS,
    *,
    init: Genome | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    known: Known | None = None,
    progress: bool = True,
    command: str | None = None,
    devices: int | None = None,
) -> MetaTrainResult:
    """Meta-trains genomes side by side and returns the one that does best on validation episodes.

    The same settings and configuration give the same numbers, whether or not the run was interrupted and resumed; on
    another number of devices, the same up to rounding. Processes that have joined (`jax.distributed`) all call this
    alike; the first one writes.

    Args:
      settings: one setting, or a mixture whose rules share one genome; each meta-step draws one by weight.
      config: everything else that the result depends on.
      init: a genome that all candidates start from, instead of random ones; it is kept if nothing better is found.
      out: a folder for configuration, metrics, checkpoints, genome and learning curve; None writes nothing.
      resume: continue the run in `out`.
      known: classes and functions of the rules that are not in `blur.rules.RULES`, by name; needed with `out`.
      progress: show progress on stderr if it is a terminal.
      command: the command line that the genome file names as its origin.
      devices: how many devices share the work; by default all that JAX sees, on all hosts; of a CPU's cores, where
        they are devices (`blur.parallel.hosts.cores_as_devices`), as many as the work divides over.

    Raises:
      ValueError: settings, configuration, `init`, `out` or `devices` do not fit.
      FileNotFoundError: there is no run to resume.
      FloatingPointError: an episode diverged under the policy `raise`.
      KeyboardInterrupt: Ctrl-C or SIGTERM came; with `out`, the run was saved first.
    """
    mixture = [settings] if isinstance(settings, Setting) else list(settings)
    check_settings(mixture)
    if init is not None:
        init = jax.tree.map(jnp.asarray, init)
        check_same_genome(genome_shapes(mixture[0].rule), init, names=("the rule", "init"))
    if resume and out is None:
        raise ValueError("resume is set, but out is not: which run should be resumed?")
    outer = make_outer(config)
    mesh = training_mesh(devices, run_size(config).candidates, *outer.divisible)
    mixture, init = everywhere((mixture, init), mesh)
    run = _Run(mixture, config, outer, known, init, command, mesh)
    state = initial_run_state(mixture, outer, run.keys, init, mesh)
    folder = None if out is None else RunFolder(out, run.description(), resume=resume)
    records: list[Record] = []
    if folder is not None and resume:
        state, records = folder.restore(state)
        state = dataclasses.replace(state, states=everywhere(state.states, mesh))
    try:
        return run.to_end(state, records, folder, progress)
    finally:
        if folder is not None:
            folder.close()


class _Run:
    """A run's fixed parts, and its loop over chunks."""

    def __init__(
        self,
        settings: list[Setting],
        config: MetaTraining,
        outer: Outer,
        known: Known | None,
        init: Genome | None,
        command: str | None,
        mesh: Mesh | None,
    ):
        self.settings, self.config, self.outer, self.known, self.init = settings, config, outer, known, init
        self.origin = {} if command is None else {"command": command}
        self.size = run_size(config)
        self.mesh, self.speaks = mesh, is_first_process()
        self.keys: RunKeys = everywhere(run_keys(config.seed, self.size.candidates), mesh)
        periods = [outer.period(setting) for setting in settings]
        self.drawn = draw_settings(settings, periods, self.size.meta_steps, config.seed)
        self.validation = Objective(
            config.fitness, config.validation_episodes, mapping=config.mapping, storage=config.storage
        )

    def to_end(
        self, state: RunState, records: list[Record], folder: RunFolder | None, progress: bool
    ) -> MetaTrainResult:
        """Runs chunks until all meta-steps are done or a signal comes."""
        done, length, met = int(state.meta_step), 1, set[int]()
        saved = time.monotonic()
        if done == 0 and self.init is not None:
            state, look = self._validate(state, done)
            records.append(look)
        with Interruption() as interruption, self._meter(done, progress) as meter:
            while done < self.size.meta_steps:
                stop = min(done + length, self._next_validation(done))
                start = time.perf_counter()
                state, new = self._advance(state, done, stop)
                if met.issuperset(self.drawn[done:stop].tolist()):  # else most of the time was compilation
                    length = next_length(length, stop - done, time.perf_counter() - start)
                met.update(self.drawn[done:stop].tolist())
                self._report(new, done, stop, meter)
                records += new
                done = stop
                if done == self._next_validation(done - 1):
                    state, look = self._validate(state, done)
                    records.append(look)
                interrupted = on_any_process(interruption.requested)
                length, late = from_first_process((length, time.monotonic() - saved > CHECKPOINT_SECONDS))
                if folder is not None and (interrupted or late):
                    self._save(folder, state, records)
                    saved = time.monotonic()
                if interrupted and done < self.size.meta_steps:
                    break
        if done < self.size.meta_steps:
            where = f"; resume with --resume --out {folder.path}" if folder else ", nothing was saved: there is no out"
            if self.speaks:
                print(f"interrupted after {done} of {self.size.meta_steps} meta-steps{where}", file=sys.stderr)
            raise KeyboardInterrupt
        return self._finish(state, records, folder)

    def _meter(self, done: int, progress: bool) -> ProgressMeter:
        return ProgressMeter(self.size.meta_steps, done, show=progress and self.speaks)

    def _next_validation(self, done: int) -> int:
        """The first meta-step after `done` that is followed by a validation."""
        every = self.config.validation_every
        return min((done // every + 1) * every, self.size.meta_steps)

    def _advance(self, state: RunState, start: int, stop: int) -> tuple[RunState, list[Record]]:
        """Meta-steps `start … stop − 1`, one dispatch for each stretch on one setting."""
        states, held, pending = state.states, list(state.held), []
        for number, first, length in same_setting(self.drawn, start, stop):
            states, held[number], metrics = compiled_chunk(self.outer)(
                self.outer,
                self.config.mapping,
                self.settings[number],
                states,
                held[number],
                self.keys.steps,
                first,
                length,
                self.mesh,
            )
            pending.append((number, first, length, metrics))
        new = [record for stretch in pending for record in _records(*stretch)]
        state = dataclasses.replace(state, states=states, held=tuple(held), meta_step=jnp.asarray(stop))
        return state, new

    def _validate(self, state: RunState, done: int) -> tuple[RunState, Record]:
        genomes = contenders(self.outer, self.settings[0].rule, state.states)
        fitness, accuracy = validate_mixture(self.validation, self.settings, genomes, self.keys.validation, self.mesh)
        candidates = self.size.candidates
        kept = keep_best(state.kept, genomes, fitness, accuracy, candidates=candidates, meta_step=done)
        look = {
            "meta_step": done,
            "validation_fitness": fitness[:candidates].tolist(),
            "validation_accuracy": accuracy[:candidates].tolist(),
        }
        return dataclasses.replace(state, kept=kept), look

    def _report(self, new: list[Record], done: int, stop: int, meter: ProgressMeter) -> None:
        arrays = {name: np.array([record[name] for record in new]) for name in ("fitness", "accuracy", "diverged")}
        if self.config.nan_policy == "raise" and arrays["diverged"].any():
            step, candidate = np.argwhere(arrays["diverged"])[0]
            raise FloatingPointError(
                f"an episode of candidate {candidate} diverged at meta-step {done + step + 1}; the policy penalise or "
                "skip would go on"
            )
        meter.update(stop, arrays["fitness"], arrays["accuracy"], int(arrays["diverged"].sum()))

    def _save(self, folder: RunFolder, state: RunState, records: list[Record]) -> None:
        """Everything that the run can go on from, and the best genome once a validation has found one."""
        folder.append(records)
        folder.save(int(state.meta_step), state)
        if self.speaks and jnp.isfinite(state.kept.fitness):
            self._save_genome(folder, state.kept)

    def _finish(self, state: RunState, records: list[Record], folder: RunFolder | None) -> MetaTrainResult:
        kept = state.kept
        result = MetaTrainResult(
            kept.genome,
            float(kept.fitness),
            float(kept.accuracy),
            int(kept.candidate),
            int(kept.meta_step),
            history(records),
        )
        if folder is not None:
            self._save(folder, state, records)
        if folder is not None and self.speaks:
            plot_learning_curve(folder.path / "learning_curve.png", result.history, self.fitness_name)
        return result

    def _save_genome(self, folder: RunFolder, kept: Kept) -> None:
        from blur.files.genomes import save_genome

        description = self.description()
        measured = {"meta_step": int(kept.meta_step), "validation_fitness": float(kept.fitness)}
        if jnp.isfinite(kept.accuracy):
            measured["validation_accuracy"] = float(kept.accuracy)
        save_genome(
            folder.path / "genome.safetensors",
            self.settings[0].rule,
            kept.genome,
            known=self.known,
            meta_training={**description["meta_training"], "init": description["init"]},
            data={"settings": description["settings"]},
            metrics=measured,
            **self.origin,
        )

    @property
    def fitness_name(self) -> str:
        """What is minimised."""
        return "1 − accuracy" if self.config.fitness == "accuracy" else self.config.fitness or "fitness"

    def description(self) -> dict[str, Any]:
        """The resolved configuration as JSON values; of the initial genome a hash."""
        from blur.rules import RULES

        known = {**RULES, **(self.known or {})}
        settings = [_describe(setting, known) for setting in self.settings]
        return {
            "settings": settings,
            "meta_training": {**dataclasses.asdict(self.config), **self.size._asdict()},
            "init": None if self.init is None else tree_digest(self.init),
        }
