"""One process of a run on many devices: many_devices.py FOLDER DEVICES PROCESSES PROCESS COORDINATOR.

Every case becomes a run in FOLDER. The last one is interrupted by a signal that the last process alone receives; then
come mistakes, whose messages are printed.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before JAX starts
    flag = f"--xla_force_host_platform_device_count={sys.argv[2]}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()

import dataclasses
import signal
from pathlib import Path

from meta_toys import LinearDescent, linear_setting

from blur.meta import MetaTraining, meta_train, train
from blur.meta.hosts import Machines

BASE = MetaTraining(
    meta_steps=12, candidates=1, validation_every=6, validation_episodes=4, population=8, truncation=2, mapping="vmap"
)
CASES = {
    "episodes": dataclasses.replace(BASE, episodes=8),
    "candidates": dataclasses.replace(BASE, episodes=4, candidates=2, nan_policy="skip"),
    "CMA_ES": dataclasses.replace(BASE, outer="CMA_ES", candidates=2),
    "PersistentES": dataclasses.replace(BASE, outer="PersistentES", episodes=2),
    "NoiseReuseES": dataclasses.replace(BASE, outer="NoiseReuseES", candidates=2),
}
INTERRUPTED = "NoiseReuseES"


def run(case: str, folder: Path, **options):
    """A quiet run, on episodes of which some diverge."""
    known = {"LinearDescent": LinearDescent}
    config = options.pop("config", CASES[case])
    return meta_train(linear_setting(poison=0.1), config, out=folder / case, progress=False, known=known, **options)


class SignallingMeter(train.ProgressMeter):
    """Interrupts its process after the first chunk."""

    def update(self, *arguments):
        os.kill(os.getpid(), signal.SIGINT)


def mistake(case: str, folder: Path, **options) -> None:
    """Prints the message of a run that is refused."""
    try:
        run(case, folder, **options)
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}")


def main(folder: Path, processes: int, process: int, coordinator: str) -> None:
    """All cases and mistakes."""
    if processes > 1:
        Machines(coordinator=coordinator, processes=processes, process=process).join()
    train.next_length = lambda *_: 3 + process  # the processes' clocks differ
    for case in CASES:
        if case != INTERRUPTED:
            run(case, folder)
    meter, train.ProgressMeter = (
        train.ProgressMeter,
        SignallingMeter if process == processes - 1 else train.ProgressMeter,
    )
    try:
        run(INTERRUPTED, folder)
    except KeyboardInterrupt:
        print("interrupted")
    train.ProgressMeter = meter
    mistake("episodes", folder)
    mistake("episodes", folder, resume=True, config=dataclasses.replace(CASES["episodes"], seed=process))
    mistake("CMA_ES", folder / "new", config=dataclasses.replace(BASE, outer="CMA_ES", population=10))
    mistake("CMA_ES", folder / "new", devices=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
