"""Many hosts: processes join one run and decide together; process 0 writes the files."""

# No `from __future__ import annotations`: the command line reads this dataclass' types.
import contextlib
import dataclasses
import os
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils


@dataclasses.dataclass(frozen=True)
class Machines:
    """Where a run is computed. Other machines give the same results up to rounding, so a resumed run may use them.

    Attributes:
      devices: how many devices to use. By default all devices of all hosts; on one CPU host, the largest number of
        cores that divides the work.
      distributed: find and join the other processes of this job (SLURM, Open MPI, TPU pods, or Kubernetes with its
        Python client).
      coordinator: HOST:PORT of process 0, for clusters that --distributed does not find; needs --processes and
        --process.
      processes: the number of processes that join.
      process: the number of this process, from 0.
    """

    devices: int | None = None
    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    def join(self) -> None:
        """Joins the processes of a run. Call it before JAX computes anything.

        Raises:
          ValueError: no cluster was found, or an option is missing.
        """
        explicit = (self.coordinator, self.processes, self.process)
        if not self.distributed and explicit == (None, None, None):
            cores_as_devices()
            return
        if not self.distributed and None in explicit:
            raise ValueError("--coordinator, --processes and --process go together; or let --distributed find them")
        jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM, which saves the run
        try:
            jax.distributed.initialize(*explicit)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"cannot join the processes of this run: {error}; outside SLURM, Open MPI, TPU pods and Kubernetes "
                "give --coordinator HOST:PORT, --processes N and --process I"
            ) from error


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_as_devices() -> None:
    """Makes every core of this process a device of JAX. Call it when the program starts.

    A small network uses one core only, so candidates and populations are divided over the cores. Nothing changes if
    `XLA_FLAGS` or `JAX_NUM_CPU_DEVICES` sets the number of devices, or if JAX has started.
    """
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and jax.config.values["jax_num_cpu_devices"] < 0:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", usable_cores())


def is_first_process() -> bool:
    """Whether this is process 0, the one that writes files and prints."""
    return jax.process_index() == 0


def on_any_process(flag: bool) -> bool:
    """Whether `flag` is true on any process. Every process has to call this."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def from_first_process(values: tuple[int, ...]) -> tuple[int, ...]:
    """The integers of process 0. Every process has to call this."""
    if jax.process_count() == 1:
        return values
    return tuple(int(value) for value in multihost_utils.broadcast_one_to_all(np.array(values)))


def on_all_processes(function: Callable[[], None]) -> None:
    """Calls `function`; if it fails on any process, this raises on every process, so that none waits forever.

    Raises:
      ValueError, OSError: raised by `function`, on this process or on another.
    """
    failure: ValueError | OSError | None = None
    try:
        function()
    except (ValueError, OSError) as error:
        failure = error
    if on_any_process(failure is not None):
        raise failure or ValueError("another process of this run could not go on; its message says why")
