"""One process of a run on many devices: many_devices.py FOLDER DEVICES PROCESSES PROCESS COORDINATOR.

Every case becomes a run in FOLDER; the last one is interrupted by a signal that the last process alone receives. Then
come mistakes. What is to be heard is on stderr.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before JAX starts
    flag = f"--xla_force_host_platform_device_count={sys.argv[2]}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()

import dataclasses
import functools
import signal
from pathlib import Path

import jax
from meta_toys import LinearDescent, linear_setting

from blur.meta import MetaTraining, make_outer, meta_train, train
from blur.meta.run import pace
from blur.meta.run.state import initial_run_state, run_keys
from blur.parallel.devices import replicate, training_mesh
from blur.parallel.hosts import Machines

KNOWN = {"LinearDescent": LinearDescent}
SMALL = MetaTraining(
    meta_steps=12, candidates=2, validation_every=6, validation_episodes=4, population=8, truncation=2, mapping="vmap"
)
CASES = {
    "adam": dataclasses.replace(SMALL, episodes=4, nan_policy="skip"),
    "CMA_ES": dataclasses.replace(SMALL, outer="CMA_ES", candidates=1, episodes=2),
    "NoiseReuseES": dataclasses.replace(SMALL, outer="NoiseReuseES"),
}
INTERRUPTED = "NoiseReuseES"


say = functools.partial(print, file=sys.stderr)


def run(case: str, folder: Path, **options):
    """A quiet run, on episodes of which some diverge."""
    config = dataclasses.replace(CASES[case], **options.pop("changes", {}))
    return meta_train(linear_setting(poison=0.1), config, out=folder / case, progress=False, known=KNOWN, **options)


class SignallingMeter(train.ProgressMeter):
    """Interrupts its process after the first chunk."""

    def update(self, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)


def interrupt(folder: Path, *, signalled: bool) -> None:
    """The last case; where it is not `signalled` itself, another process is."""
    meter = train.ProgressMeter
    train.ProgressMeter = SignallingMeter if signalled else meter
    try:
        run(INTERRUPTED, folder)
    except KeyboardInterrupt:
        say("interrupted")
    train.ProgressMeter = meter


def mistake(case: str, folder: Path, **options) -> None:
    """The message of a run that is refused."""
    try:
        run(case, folder, **options)
    except (ValueError, OSError) as error:
        say(error)


def say_parts() -> None:
    """Prints how many learners each device has, by candidate and member, and how many devices have the data."""
    config = CASES[INTERRUPTED]
    outer = make_outer(config)
    mesh = training_mesh(None, config.candidates, *outer.divisible)
    setting, keys = replicate((linear_setting(), run_keys(0, config.candidates)), mesh)
    inner_states = initial_run_state([setting], outer, keys, None, mesh).inner_states
    say("learners:", {leaf.sharding.shard_shape(leaf.shape)[:2] for leaf in jax.tree.leaves(inner_states)})
    say("copies of data:", {len(leaf.devices()) for leaf in jax.tree.leaves(setting)})


def main(folder: Path, processes: int, process: int, coordinator: str) -> None:
    """All cases, then all mistakes."""
    if processes > 1:
        Machines(coordinator=coordinator, processes=processes, process=process).join()
    pace.next_length = lambda *_: 3 + process  # the processes' clocks differ
    for case in CASES:
        if case != INTERRUPTED:
            run(case, folder)
    interrupt(folder, signalled=process == processes - 1)
    say_parts()
    mistake("adam", folder)
    mistake("adam", folder, resume=True, changes={"seed": process})
    mistake("CMA_ES", folder / "new", devices=jax.device_count(), changes={"population": 10})
    mistake("adam", folder / "new", devices=jax.device_count(), changes={"candidates": 1, "episodes": 1})
    mistake("adam", folder / "new", devices=9)
    mistake("adam", folder / "new", devices=2 if processes > 1 else 3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
