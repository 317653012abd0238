"""Meta-training: from random genomes to the best one found."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from blur.core.rule import Genome
from blur.files.config import Known
from blur.meta.meta_training import MetaTraining, make_outer, run_size
from blur.meta.run.files import RunFiles
from blur.meta.run.interruption import Interruption
from blur.meta.run.pace import Pace
from blur.meta.run.progress import ProgressMeter
from blur.meta.run.result import MetaTrainResult, make_result
from blur.meta.run.run import check_start, make_run
from blur.meta.run.stages import advance, next_validation, report, validate_candidates
from blur.meta.run.state import initial_run_state
from blur.meta.setting import Setting
from blur.parallel.devices import training_mesh
from blur.parallel.hosts import is_first_process, on_any_process

DEFAULTS = MetaTraining()


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
    with the same arguments; process 0 writes the files.

    Args:
      settings: one setting, or a mixture whose rules share one genome; each meta-step draws one by weight.
      config: everything else that the result depends on.
      init: a genome that all candidates start from, instead of random ones; it is returned if no better one is found.
      out: a folder for configuration, metrics, checkpoints, genome and learning curve; None writes nothing.
      resume: continue the run in `out`.
      known: classes and functions of the rules that are not in `blur.rules.RULES`, by name; needed with `out`.
      progress: show progress on stderr if it is a terminal.
      command: the command line that the genome file names as its origin.
      devices: how many devices share the work. By default all devices of all hosts; where cores are devices
        (`blur.parallel.hosts.cores_as_devices`), the largest number of cores that divides the work.

    Raises:
      ValueError: settings, configuration, `init`, `out` or `devices` do not fit.
      FileNotFoundError: there is no run to resume.
      FloatingPointError: an episode diverged under the policy `raise`.
      KeyboardInterrupt: Ctrl-C or SIGTERM came; with `out`, the run was saved first.

    Examples:
      >>> setting = blur.Setting(blur.TwoStateSGD(hidden=(8,)), blur.make_task("xor"), steps=2, batch_size=8)
      >>> config = blur.MetaTraining(meta_steps=2, candidates=1, validation_episodes=2)
      >>> result = blur.meta_train(setting, config)
      >>> result.history["fitness"].shape  # [meta-steps, candidates]
      (2, 1)
    """
    if resume and out is None:
        raise ValueError("resume is set, but out is not: which run should be resumed?")
    mixture, init = check_start(settings, init)
    outer = make_outer(config)
    mesh = training_mesh(devices, run_size(config).candidates, *outer.divisible)
    run = make_run(mixture, config, outer, mesh, init)
    with RunFiles(run, out, resume=resume, known=known, command=command) as files:
        state, lines = files.restore(initial_run_state(run.settings, outer, run.keys, run.init, mesh))
        done, interrupted, pace = int(state.meta_step), False, Pace()
        if done == 0 and init is not None:
            state, line = validate_candidates(run, state)
            lines.append(line)
        show = progress and is_first_process()
        with Interruption() as interruption, ProgressMeter(run.meta_steps, done, show=show) as meter:
            while done < run.meta_steps and not interrupted:
                stop = min(done + pace.length, next_validation(run, done))
                started = time.perf_counter()
                state, new = advance(run, state, stop)
                pace.measure(run.drawn[done:stop], time.perf_counter() - started)
                report(new, meter, config.nan_policy)
                lines += new
                if stop == next_validation(run, done):
                    state, line = validate_candidates(run, state)
                    lines.append(line)
                done, interrupted = stop, on_any_process(interruption.requested)
                if pace.checkpoint_due() or interrupted:
                    files.save(state, lines)
                    pace.saved()
        if done < run.meta_steps:
            _say_interrupted(done, run.meta_steps, files.path)
            raise KeyboardInterrupt
        files.finish(state, lines)
    return make_result(state.best, lines)


def _say_interrupted(done: int, meta_steps: int, folder: Path | None) -> None:
    where = f"; resume with --resume --out {folder}" if folder else ", nothing was saved: there is no out"
    if is_first_process():
        print(f"interrupted after {done} of {meta_steps} meta-steps{where}", file=sys.stderr)
